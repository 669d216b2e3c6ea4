"""The runner of suites: what counts as a failure, what runs after one, what is always cleaned up."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import tomllib
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

import suites
import tally
from suites import Runner, Step, judge, plan, report
from tally import Count

CARGO = """
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
"""
GO = "\n".join([
    '{"Action":"run","Package":"p","Test":"TestA"}',
    '{"Action":"output","Package":"p","Test":"TestB","Output":"why it failed\\n"}',
    '{"Action":"pass","Package":"p","Test":"TestA"}',
    '{"Action":"fail","Package":"p","Test":"TestB"}',
    '{"Action":"skip","Package":"p","Test":"TestC"}',
    '{"Action":"fail","Package":"p"}',
])
UNITTEST = """
----------------------------------------------------------------------
Ran 25 tests in 0.6s

FAILED (failures=2, errors=1, skipped=3)
----------------------------------------------------------------------
Ran 1 test in 0.6s

OK
"""


class Tallies(unittest.TestCase):
    def test_all_result_lines_of_cargo_are_added(self):
        self.assertEqual(tally.cargo(CARGO), Count(15, 2, 1))

    def test_a_rust_test_that_says_that_it_is_skipped_has_not_passed(self):
        said = "---- a stdout ----\ntest skipped: no audit log here\n"
        self.assertEqual(tally.cargo(said + CARGO), Count(14, 2, 2))
        self.assertEqual(judge(Step("s", "true", counts="cargo"), 0, said + CARGO.replace("2 failed", "0 failed"))[1], "")

    def test_packages_of_go_are_no_tests(self):
        self.assertEqual(tally.go(GO), Count(1, 1, 1))

    def test_what_a_failed_go_test_printed_is_shown(self):
        self.assertIn("why it failed", tally.go_failures("compiler says no\n" + GO))
        self.assertIn("compiler says no", tally.go_failures("compiler says no\n" + GO))

    def test_skipped_and_failed_unittests_have_not_passed(self):
        self.assertEqual(tally.unittest(UNITTEST), Count(20, 3, 3))

    def test_a_real_unittest_run_is_read(self):
        source = """
            import unittest
            class T(unittest.TestCase):
                def test_a(self): pass
                def test_b(self): self.fail()
                @unittest.skip("x")
                def test_c(self): pass
            unittest.main()
        """
        ran = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True)
        self.assertEqual(tally.unittest(ran.stderr), Count(1, 1, 1))


class Judging(unittest.TestCase):
    def check(self, counts, status, output, count, problem):
        self.assertEqual(judge(Step("s", "true", counts=counts, timeout=5), status, output), (count, problem))

    def test_cases(self):
        self.check("cargo", 101, "error: could not compile", Count(0, 1, 0), "died with exit status 101")
        self.check("cargo", 0, "", Count(0, 1, 0), "ran no test")
        self.check("cargo", 101, CARGO, Count(15, 2, 1), "failed")
        self.check("cargo", None, CARGO.replace("2 failed", "0 failed"), Count(15, 1, 1), "not finished after 5 s")
        self.check("gate", 0, "", Count(1, 0, 0), "")
        self.check("gate", 1, "", Count(0, 1, 0), "failed")
        self.check("nothing", 0, "", Count(), "")
        self.check("nothing", 2, "", Count(0, 1, 0), "died with exit status 2")


class Running(unittest.TestCase):
    def run_steps(self, *steps):
        with tempfile.TemporaryDirectory() as folder:
            out = io.StringIO()
            outcomes = Runner(list(steps), Path(folder) / "logs", out).run()
        return {outcome.step.name: outcome for outcome in outcomes}, out.getvalue()

    def test_a_failure_stops_only_what_needs_it(self):
        found, _ = self.run_steps(
            Step("a", "false", counts="gate"), Step("b", "true", counts="gate", needs=("a",)), Step("c", "true", counts="gate")
        )
        self.assertEqual([found[name].ok for name in "abc"], [False, False, True])
        self.assertEqual(found["b"].problem, "not run: a failed")

    def test_background_steps_are_awaited_by_those_who_need_them(self):
        with tempfile.TemporaryDirectory() as folder:
            pipe = f"{folder}/pipe"
            os.mkfifo(pipe)
            # `slow` can end only when `other` has run: so it did not hold the foreground up.
            found, _ = self.run_steps(
                Step("slow", f"read line < {pipe}; echo $line > {folder}/result", background=True),
                Step("other", f"echo hello > {pipe}"),
                Step("last", f"grep hello {folder}/result", needs=("slow",)),
            )
        self.assertTrue(all(outcome.ok for outcome in found.values()))

    def test_clean_up_runs_after_a_failure_and_last(self):
        found, printed = self.run_steps(Step("down", "true", always=True), Step("up", "false"))
        self.assertTrue(found["down"].ok)
        self.assertLess(printed.index("==> up"), printed.index("==> down"))

    def test_a_step_that_takes_too_long_is_ended_with_its_children(self):
        with tempfile.TemporaryDirectory() as folder:
            found, _ = self.run_steps(Step("s", f"sleep 600 & echo $! > {folder}/pid; wait", timeout=1))
            pid = int(Path(folder, "pid").read_text())
        self.assertEqual(found["s"].problem, "not finished after 1 s")
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]:
            self.assertLess(time.monotonic(), deadline, "the child still runs")

    def test_a_daemon_left_behind_does_not_hold_the_step_up(self):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            found, _ = self.run_steps(Step("s", f"setsid sleep 60 & echo $! > {folder}/pid"))
            self.addCleanup(os.kill, int(Path(folder, "pid").read_text()), signal.SIGKILL)
        self.assertTrue(found["s"].ok)
        self.assertLess(time.monotonic() - began, 30)

    def test_output_is_passed_on_and_standard_input_is_empty(self):
        _, printed = self.run_steps(Step("s", "cat; echo said"))
        self.assertIn("said", printed)

    def test_every_interrupt_ends_what_runs_and_none_cuts_the_clean_up_short(self):
        source = f"""
            import signal, sys
            from pathlib import Path
            sys.path.insert(0, {str(SCRIPTS)!r})
            import suites
            from suites import Runner, Step
            folder = Path(sys.argv[1])
            steps = [
                Step("beside", f"echo $$ > {{folder}}/beside; touch {{folder}}/begun; exec sleep 600", background=True),
                Step("long", f"echo $$ > {{folder}}/long; until test -e {{folder}}/begun; do sleep 0.1; done; echo started; exec sleep 600"),
                Step("next", "true"),
                Step("down", f"echo down; read line < {{folder}}/gate; echo cleaned", always=True),
            ]
            runner = Runner(steps, folder / "logs")
            for number in suites.ENDING:
                signal.signal(number, runner.interrupt)
            print(suites.report(runner.run(), 0))
        """
        for first in suites.ENDING:
            with self.subTest(first), tempfile.TemporaryDirectory() as folder:
                os.mkfifo(f"{folder}/gate")
                child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(source), folder], stdout=subprocess.PIPE, text=True)
                printed, alive = "", []
                for line in child.stdout:
                    printed += line
                    if line == "started\n":
                        child.send_signal(first)
                    if line == "down\n":
                        pids = {name: int(Path(folder, name).read_text()) for name in ("long", "beside")}
                        alive = [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]
                        for name in alive:
                            os.kill(pids[name], signal.SIGKILL)
                        for number in suites.ENDING:
                            child.send_signal(number)
                        Path(folder, "gate").write_text("go\n")
                child.stdout.close()
                child.wait(60)
                self.assertEqual(alive, [], "they run on beside the clean-up")
                self.assertIn("cleaned", printed)
                self.assertRegex(printed, "next .*not run")

    def test_an_interrupt_during_the_clean_up_of_a_finished_run_changes_nothing(self):
        runner = Runner([Step("down", f"kill -TERM {os.getpid()}; echo cleaned", always=True)], Path(self.folder()), io.StringIO())
        before = signal.signal(signal.SIGTERM, runner.interrupt)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        self.assertTrue(all(outcome.ok for outcome in runner.run()))

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name


class Reporting(unittest.TestCase):
    def test_the_last_line_is_the_sum_alone(self):
        outcomes = [suites.Outcome(Step("a", "x"), Count(1, 2, 3)), suites.Outcome(Step("b", "x"), Count(10, 0, 0))]
        self.assertEqual(report(outcomes, 1.0).splitlines()[-1], "11 passed, 2 failed, 3 skipped")


class ThePlan(unittest.TestCase):
    TABLE = tomllib.loads((SCRIPTS / "suites.toml").read_text())

    def test_needs_name_earlier_steps(self):
        seen = set()
        for step in plan(self.TABLE, "test", {}):
            self.assertLessEqual(set(step.needs), seen, step.name)
            seen.add(step.name)

    def test_everything_in_check_is_in_test(self):
        everything = {step.name for step in plan(self.TABLE, "test", {})}
        self.assertLessEqual({step.name for step in plan(self.TABLE, "check", {})}, everything)

    def test_a_cluster_that_was_started_is_stopped_whatever_happens(self):
        steps = {step.name: step for step in plan(self.TABLE, "test", {})}
        self.assertTrue(steps["cluster-down"].always)
        self.assertTrue(steps["leftovers"].always)

    def test_leftovers_are_told_from_what_was_there_before_anything_was_started(self):
        names = [step.name for step in plan(self.TABLE, "test", {})]
        starting = [names.index(name) for name in ("unit", "cluster-unit", "cluster", "cluster-up", "end-to-end")]
        self.assertLess(names.index("snapshot"), min(starting))

    def test_every_cluster_that_a_test_may_leave_running_is_stopped_at_the_end_and_before_its_state_is_deleted(self):
        (down,) = [step for step in plan(self.TABLE, "test", {}) if step.name == "cluster-down"]
        printed = subprocess.run(["make", "-n", "clean"], cwd=suites.ROOT, capture_output=True, text=True, timeout=60)
        clean = printed.stdout.partition("rm -rf target")[0]
        for state in ("target/test/cluster", "target/test/cluster-alone"):
            self.assertRegex(down.run, rf"down --state {state}\s")
            self.assertRegex(clean, rf"{state}[ ;]")

    def test_go_ends_its_tests_in_order_before_the_step_is_ended(self):
        (step,) = [step for step in plan(self.TABLE, "test", {}) if step.name == "cluster"]
        self.assertIn("-timeout 14m", step.run)
        self.assertGreater(step.timeout, 14 * 60)

    def test_with_a_foreign_cluster_the_embedded_one_is_left_alone(self):
        names = {step.name for step in plan(self.TABLE, "test", {"E2E_CONTEXT": "mine"})}
        self.assertIn("end-to-end", names)
        self.assertFalse({"snapshot", "cluster-up", "cluster-down", "leftovers"} & names)


if __name__ == "__main__":
    unittest.main()
