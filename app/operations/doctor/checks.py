"""The result of a check: a line that says what it saw and how to fix it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How well it is. What could not be found out is not wrong, and not fine either."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, a sentence each for what was seen and for what to do."""

    verdict: Verdict
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:8} {self.seen} {self.remedy}".rstrip()


def ok(seen: str) -> Check:
    """Return the finding that something is as it should be."""
    return Check(Verdict.OK, seen)


def warning(seen: str, remedy: str) -> Check:
    """Return the finding that something works, and may not do so for long, or for all."""
    return Check(Verdict.WARNING, seen, remedy)


def wrong(seen: str, remedy: str) -> Check:
    """Return the finding that something does not work."""
    return Check(Verdict.WRONG, seen, remedy)


def unknown(seen: str, remedy: str) -> Check:
    """Return the finding that nothing could be found out."""
    return Check(Verdict.UNKNOWN, seen, remedy)


def status(findings: Iterable[Check]) -> int:
    """Return the exit status: 1 where something is wrong, else 2 where something could not be found out, else 0."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.WRONG in verdicts:
        return 1
    return 2 if Verdict.UNKNOWN in verdicts else 0
