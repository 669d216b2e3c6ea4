#!/usr/bin/env python3
"""Runs the steps of suites.toml and sums up their tests.

    suites.py check|test [--only STEP ...]

Says what each step does and how many seconds it took; goes on after a failure with every step that does not need the failed one;
always runs the steps that clean up, also after Ctrl-C. The last line is `N passed, N failed, N skipped`; the exit status is 0 only
if nothing failed. A suite that dies, runs out of time, runs no test or cannot be started counts as one failure.

Full output of every step stands in target/logs/<step>.log.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tally
from tally import Count

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOGS = ROOT / "target/logs"
GRACE = 20  # seconds that a step gets to end after it was told to
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # signals that end a run
SHOWN = 60  # lines of a failed background step that are printed


@dataclass(frozen=True)
class Step:
    """One command. `counts` names how its output is read; `needs` are steps that must have succeeded before."""

    name: str
    run: str
    counts: str = "nothing"
    needs: tuple[str, ...] = ()
    into: tuple[str, ...] = ("test",)
    background: bool = False
    always: bool = False
    embedded: bool = False
    timeout: int = 1800
    env: dict = field(default_factory=dict, hash=False)


@dataclass
class Outcome:
    step: Step
    count: Count = field(default_factory=Count)
    seconds: float = 0.0
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem and self.count.failed == 0


def plan(table: dict, what: str, environment: dict, only: list[str] | None = None) -> list[Step]:
    """The steps of `check` or `test`, in order. With a foreign cluster those of the embedded one fall away."""
    steps = []
    for entry in table["step"]:
        entry = {**entry, "needs": tuple(entry.get("needs", ())), "into": tuple(entry.get("into", ("test",)))}
        step = Step(**entry)
        if what not in step.into or (only and step.name not in only):
            continue
        if step.embedded and environment.get("E2E_CONTEXT"):
            continue
        steps.append(step)
    names = {step.name for step in steps}
    return [Step(**{**vars(step), "needs": tuple(need for need in step.needs if need in names)}) for step in steps]


def judge(step: Step, status: int | None, output: str) -> tuple[Count, str]:
    """What a finished command counts for, and what is wrong with it. `status` is None when its time was up."""
    count = tally.READERS[step.counts](output)
    if step.counts == "gate":
        count = Count(passed=int(status == 0), failed=int(status != 0))
    if status is None:
        problem = f"not finished after {step.timeout} s"
    elif status != 0 and count.failed == 0:
        problem = f"died with exit status {status}"
    elif status != 0:
        problem = "failed"
    elif step.counts in ("cargo", "go", "unittest") and count.passed + count.failed == 0:
        problem = "ran no test"
    else:
        problem = ""
    if problem and count.failed == 0:
        count = count + Count(failed=1)
    return count, problem


class Interrupted(Exception):
    pass


class Runner:
    """Runs one plan. Foreground steps go one after the other, since compilers share the machine badly; background steps, which
    mostly wait for the network, run beside them."""

    def __init__(self, steps: list[Step], logs: Path, out=sys.stdout):
        self.steps, self.logs, self.out = steps, logs, out
        self.outcomes: dict[str, Outcome] = {}
        self.done = {step.name: threading.Event() for step in steps}
        self.running: dict[str, subprocess.Popen] = {}
        self.lock = threading.Lock()
        self.stopping = False
        self.closing = False
        logs.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        with self.lock:
            print(text, file=self.out, flush=True)

    def run(self) -> list[Outcome]:
        threads = [threading.Thread(target=self.take, args=(step,), daemon=True) for step in self.steps if step.background]
        for thread in threads:
            thread.start()
        try:
            for step in self.steps:
                if not step.background and not step.always:
                    self.take(step)
            for thread in threads:
                thread.join()
            self.closing = True
        except (KeyboardInterrupt, Interrupted):
            self.stop()
        for step in self.steps:
            if step.always:
                self.take(step)
        return [self.outcomes.get(step.name) or Outcome(step, Count(failed=1), 0.0, "not run: interrupted") for step in self.steps]

    def interrupt(self, *_) -> None:
        """Handler of the signals that end a run. It counts once, and not in the clean-up, which must not be cut short. A handler,
        because ignored signals would be ignored by the steps of the clean-up too."""
        if not self.closing:
            self.closing = True
            raise Interrupted

    def take(self, step: Step) -> None:
        for need in step.needs:
            self.done[need].wait()
        missing = [need for need in step.needs if not self.outcomes[need].ok]
        if missing:
            outcome = Outcome(step, Count(failed=1), 0.0, f"not run: {missing[0]} failed")
            self.say(f"==> {step.name}: {outcome.problem}")
        elif self.stopping and not step.always:
            outcome = Outcome(step, Count(failed=1), 0.0, "not run: interrupted")
        else:
            outcome = self.execute(step)
        self.outcomes[step.name] = outcome
        self.done[step.name].set()

    def execute(self, step: Step) -> Outcome:
        self.say(f"==> {step.name}{' (in the background)' if step.background else ''}: {step.run}")
        log, began = self.logs / f"{step.name}.log", time.monotonic()
        # The output goes through a file: a pipe would stay open as long as any daemon that the step leaves behind.
        with open(log, "wb") as sink:
            child = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", step.run],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=os.environ | step.env,
                start_new_session=True,
            )
        self.running[step.name] = child
        try:
            status = self.follow(step, child, log, began)
        except BaseException:
            self.end(child)  # in a session of its own: no signal from the terminal reaches it
            raise
        finally:
            self.running.pop(step.name, None)
        output = log.read_text(errors="replace")
        count, problem = judge(step, status, output)
        outcome = Outcome(step, count, time.monotonic() - began, problem)
        if problem and step.background:
            self.say("\n".join(output.splitlines()[-SHOWN:]))
        if problem and step.counts == "go":
            self.say(tally.go_failures(output))
        self.say(f"    {step.name}: {outcome.problem or 'done'}, {describe(step, count)}{outcome.seconds:.1f} s")
        return outcome

    def follow(self, step: Step, child: subprocess.Popen, log: Path, began: float) -> int | None:
        """Prints what the child writes until it ends. Returns its exit status, or None when it was ended for its time."""
        with open(log, errors="replace") as source:
            while True:
                try:
                    status = child.wait(0.2)
                except subprocess.TimeoutExpired:
                    status = None
                self.show(step, source.read())
                if status is not None:
                    return status
                if time.monotonic() - began > step.timeout:
                    self.end(child)
                    return None

    def show(self, step: Step, text: str) -> None:
        if text and not step.background and step.counts != "go":
            with self.lock:
                self.out.write(text)
                self.out.flush()

    def end(self, child: subprocess.Popen) -> None:
        """Ends the process group of a step: politely, then not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
                child.wait(GRACE)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def stop(self) -> None:
        self.stopping = True
        self.say("==> interrupted: ending what runs, then cleaning up")
        for child in list(self.running.values()):
            self.end(child)


def describe(step: Step, count: Count) -> str:
    return "" if step.counts in ("nothing", "gate") else f"{count}, "


def report(outcomes: list[Outcome], seconds: float) -> str:
    """The closing table; its last line is the sum."""
    total = sum((outcome.count for outcome in outcomes), Count())
    width = max((len(outcome.step.name) for outcome in outcomes), default=0)
    lines = ["", f"==> all steps: {seconds:.0f} s"]
    for outcome in outcomes:
        mark = "ok  " if outcome.ok else "FAIL"
        counted = "" if outcome.step.counts in ("nothing", "gate") else f"  {outcome.count}"
        problem = "" if outcome.ok or not outcome.problem else f"  ({outcome.problem}; target/logs/{outcome.step.name}.log)"
        lines.append(f"    {mark} {outcome.step.name:<{width}} {outcome.seconds:7.1f} s{counted}{problem}")
    return "\n".join([*lines, str(total)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["check", "test"])
    parser.add_argument("--only", action="append", help="run this step alone (may be repeated)")
    arguments = parser.parse_args()
    table = tomllib.loads((HERE / "suites.toml").read_text())
    steps = plan(table, arguments.what, dict(os.environ), arguments.only)

    # Everything is compiled once here: the compiler's notes for the next build would cost gigabytes and save nothing.
    os.environ.setdefault("CARGO_INCREMENTAL", "0")
    runner = Runner(steps, LOGS)
    for number in ENDING:
        signal.signal(number, runner.interrupt)
    began = time.monotonic()
    outcomes = runner.run()
    print(report(outcomes, time.monotonic() - began), flush=True)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
