"""Reads test counts out of the output of cargo, go and unittest. Pure: no IO, no processes.

Each reader takes the whole output of a suite and returns what it found; nothing found is a count of zero, which the caller judges.
"""

import json
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE)
CARGO_SKIPPED = re.compile(r"^test skipped: ", re.MULTILINE)
UNITTEST = re.compile(r"^Ran (\d+) tests? in .*\n\s*^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", re.MULTILINE)


def cargo(output: str) -> Count:
    """`cargo test`: one result line per test binary. It knows no test that finds out by itself that it cannot run here; such a one
    says so in a line of its own, and has not passed."""
    total = sum((Count(*map(int, numbers)) for numbers in CARGO.findall(output)), Count())
    skipped = min(len(CARGO_SKIPPED.findall(output)), total.passed)
    return total + Count(passed=-skipped, skipped=skipped)


def unittest(output: str) -> Count:
    """`python3 -m unittest`, once or several times in a row."""
    total = Count()
    for ran, details in UNITTEST.findall(output):
        named = dict(re.findall(r"([a-z ]+)=(\d+)", details))
        named = {key.strip(): int(value) for key, value in named.items()}
        failed = named.get("failures", 0) + named.get("errors", 0) + named.get("unexpected successes", 0)
        skipped = named.get("skipped", 0)
        total += Count(max(int(ran) - failed - skipped, 0), failed, skipped)
    return total


def _go_events(output: str):
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def go(output: str) -> Count:
    """`go test -json`."""
    ends = {(event.get("Package"), event["Test"]): event["Action"] for event in _go_events(output)
            if event.get("Test") and event.get("Action") in ("pass", "fail", "skip")}
    found = list(ends.values())
    return Count(found.count("pass"), found.count("fail"), found.count("skip"))


def go_failures(output: str) -> str:
    """What failed tests and packages printed, and whatever is no JSON (errors of the compiler)."""
    events = list(_go_events(output))
    failed = {(event.get("Package"), event.get("Test")) for event in events if event.get("Action") == "fail"}
    shown = [line for line in output.splitlines() if not line.startswith("{")]
    shown += [event.get("Output", "").rstrip("\n") for event in events
              if event.get("Action") in ("output", "build-output") and ((event.get("Package"), event.get("Test")) in failed or "ImportPath" in event)]
    return "\n".join(shown)


READERS = {"cargo": cargo, "go": go, "unittest": unittest, "gate": lambda _: Count(), "nothing": lambda _: Count()}
