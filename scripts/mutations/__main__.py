"""Runs the mutants of mutants.toml: see scripts/mutate."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = Path(__file__).with_name("mutants.toml")
_PATIENCE_S = 300
_FAILED = re.compile(r"^(?:=+ )?\d+ (?:failed|error)", re.MULTILINE)


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change that breaks a promise, and the tests that must notice: arguments of pytest."""

    promise: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> str:
        """Break it in a copy; what the file was. Raises: ValueError where it has changed."""
        path = root / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            found = text.count(self.old)
            raise ValueError(f"{self.promise}: {self.file} has this {found} times: {self.old!r}")
        path.write_text(text.replace(self.old, self.new), "utf-8")
        return text


def mutants() -> list[Mutant]:
    """All of them, in their order."""
    found = msgspec.toml.decode(MUTANTS.read_bytes(), type=dict[str, list[Mutant]])
    return found["mutant"]


def main() -> int:
    """Run those of some promises, or all; 1 where one survives."""
    parser = argparse.ArgumentParser(prog="scripts/mutate")
    parser.add_argument("promises", nargs="*", metavar="PROMISE")
    parser.add_argument("--check", action="store_true", help="only look whether they can be made")
    options = parser.parse_args()
    chosen = [m for m in mutants() if not options.promises or m.promise in options.promises]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="artfs-mutants-") as directory:
        copy = Path(directory) / "artfs"
        _copy(copy)
        # Tests that fail anyhow kill nothing.
        sound = cache(partial(_outcome, copy))
        for mutant in chosen:
            is_sound = options.check or sound(mutant.tests) == "SURVIVED"
            before = mutant.apply(copy)
            if not options.check:
                began_s = time.monotonic()
                outcome = _outcome(copy, mutant.tests) if is_sound else "ITS TESTS FAIL WITHOUT IT"
                survived += outcome != "killed"
                took_s = time.monotonic() - began_s
                print(f"{mutant.promise}  {outcome}  {mutant.what} ({took_s:.0f} s)", flush=True)
            (copy / mutant.file).write_text(before, "utf-8")
    print(f"{len(chosen)} mutants, {survived} survived" if not options.check else "all can be made")
    return 1 if survived else 0


def _copy(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target / name)


def _outcome(copy: Path, tests: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=copy,
            # What is compiled would be as old as the file that is changed back within a second.
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "killed"
    return judged(done.returncode, done.stdout.decode(errors="replace"))


def judged(code: int, said: str) -> str:
    """What an exit code of pytest and what it said mean for a mutant."""
    if code == 0:
        return "SURVIVED"
    # pytest ends with 1 as well where it dies itself: that kills nothing.
    if code == 1 and _FAILED.search(said):
        return "killed"
    return f"COULD NOT BE TRIED\n{said[-2000:]}\n"


if __name__ == "__main__":
    sys.exit(main())
