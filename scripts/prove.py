"""Takes out each mechanism that a test watches, and sees the test fail: `make prove`.

A test says what it watches: `@pytest.mark.breaks(path, line, instead)`. In a copy of the project, `line` is replaced by
`instead`, and the test has to fail. Arguments are passed to pytest, to choose tests: `-k receipt`. With `--changed`,
only those are tried that watch a file, or stand in one, which differs from where this branch left `origin/main`, or
`main`, or from the commit before the last one where it left neither; `--changed=<commit>` compares with another one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

ROOT = Path(__file__).parent.parent
INSTALLED = (".venv", "node_modules")
SERVED = "static/vendor"  # installed as well, but nothing is served by way of a link
PROFILE = {"TEST_PROFILE": "prove"}
CHANGED = "--changed"
HOLDS = "fails"  # as the test should, without what it watches
FAILED = 1  # pytest's exit status where tests ran and failed; others are errors of another kind


@dataclass(frozen=True)
class Proof:
    """A test, and what has to be taken out for it to fail."""

    test: str
    path: str
    line: str
    instead: str


@dataclass
class Collector:
    """A plugin of pytest's that notes which tests watch what. One with parameters is one test."""

    proofs: dict[Proof, None] = field(default_factory=dict)

    def keep(self, files: set[str]) -> None:
        """Forget the tests that neither stand in one of `files` nor watch one."""
        self.proofs = {
            proof: None for proof in self.proofs if not files.isdisjoint((proof.path, proof.test.partition("::")[0]))
        }

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what was collected."""
        for item in session.items:
            for mark in item.iter_markers("breaks"):
                self.proofs[Proof(item.nodeid.partition("[")[0], *mark.args)] = None


def main(arguments: Sequence[str]) -> int:
    """Try the chosen proofs, a line each, and say which did not hold; returns the exit status."""
    collector = Collector()
    chosen = [argument for argument in arguments if not argument.startswith(CHANGED)]
    pytest.main(["--collect-only", "-qq", "--no-summary", *chosen], plugins=[collector])
    for argument in set(arguments) - set(chosen):
        collector.keep(changed(argument.partition("=")[2]))
    if not collector.proofs:
        print("no test that was chosen watches anything")
        return 0 if len(chosen) < len(arguments) else 1
    with TemporaryDirectory() as folder:
        copy = copy_project(Path(folder) / "parlor")
        control = run(copy, *dict.fromkeys(proof.test for proof in collector.proofs))
        if control.returncode:
            print(f"{control.stdout}there are tests that fail with everything in its place, or none")
            return 1
        verdicts = {proof: show(copy, proof) for proof in collector.proofs}
    unproven = {proof: verdict for proof, verdict in verdicts.items() if verdict != HOLDS}
    print(f"{len(verdicts) - len(unproven)} of {len(verdicts)} mechanisms are watched by a test")
    for proof, verdict in unproven.items():
        print(f"{verdict:12} {proof.test}  {proof.path}: {proof.line!r} -> {proof.instead!r}")
    return 1 if unproven else 0


def changed(base: str) -> set[str]:
    """Return the files that differ from the commit `base`, or else from where this branch began."""
    base = base or branching_point()
    return {*_git("diff", "--name-only", base).splitlines(), *_git("ls-files", "-o", "--exclude-standard").splitlines()}


def branching_point() -> str:
    """Return where this branch left `origin/main`, or `main`; the commit before the last one where there is neither."""
    head = _git("rev-parse", "HEAD").strip()
    for main_branch in ("origin/main", "main"):
        with suppress(subprocess.CalledProcessError):  # there is none
            base = _git("merge-base", "HEAD", main_branch).strip()
            if base != head:
                return base
    return "HEAD~1"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def copy_project(target: Path) -> Path:
    """Copy what git knows to `target`, with links to what is installed."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, files.stdout.decode().split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    for name in INSTALLED:
        (target / name).symlink_to((ROOT / name).resolve())
    shutil.copytree(ROOT / SERVED, target / SERVED)
    return target


def show(copy: Path, proof: Proof) -> str:
    """Try one proof, print what came of it, and return that."""
    started = monotonic()
    verdict = try_out(copy, proof)
    print(f"{verdict:12} {monotonic() - started:5.1f} s  {proof.test}", flush=True)
    return verdict


def try_out(copy: Path, proof: Proof) -> str:
    """Return how the test does without what it watches: "fails", as it should, or what else."""
    path = copy / proof.path
    whole = path.read_text()
    if whole.count(proof.line) != 1:
        return "no such line"
    path.write_text(whole.replace(proof.line, proof.instead))
    try:
        status = run(copy, proof.test).returncode
    finally:
        path.write_text(whole)
    return {0: "PASSES", FAILED: HOLDS}.get(status, f"ERROR {status}")


def run(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run `tests` until one fails, and return how pytest ended."""
    command = [sys.executable, "-m", "pytest", "-qq", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=copy, env=os.environ | PROFILE, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
