"""Several users of one machine, in tests that run as root: real processes, homes and groups."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.support.starter import Request, User, starter, starter_for_others

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 60


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user with a home; uid 0 is root."""

    uid: int
    gid: int
    home: Path
    groups: tuple[int, ...] = ()
    umask: int = 0o022
    environment: dict[str, str] = {}

    def with_umask(self, umask: int) -> Person:
        """The same person, who lets others do more or less."""
        return msgspec.structs.replace(self, umask=umask)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Begin a command as this user."""
        groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        wrapped = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", groups, *command]
        process: subprocess.Popen[str] = subprocess.Popen(
            wrapped,
            cwd=_ROOT,
            env=self._environment(),
            umask=self.umask,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **{"stdin": subprocess.PIPE, **options},
        )
        return process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, however it ends."""
        process = self.start(command)
        out, err = process.communicate(timeout=_TIMEOUT_S)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def artfs(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `artfs`, however it ends."""
        environment = self._environment()
        ready = starter_for_others(str(_ROOT)) if self.uid else starter(str(_ROOT))
        if ready is None or not ready.fits(environment):
            return self.run(sys.executable, "-m", "artfs", *arguments)
        request = Request(
            arguments=list(arguments),
            environment=environment,
            directory=str(_ROOT),
            umask=self.umask,
            user=User(uid=self.uid, gid=self.gid, groups=self.groups),
        )
        done = ready.run(request, timeout_s=_TIMEOUT_S)
        return subprocess.CompletedProcess(
            arguments, done.code, done.out.decode(), done.err.decode()
        )

    def does(self, *arguments: str) -> str:
        """Run `artfs`, which must succeed; what it printed."""
        done = self.artfs(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def python(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program, however it ends."""
        return self.run(sys.executable, "-c", code, *arguments)

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "LC_ALL": "C.UTF-8",
            "USER": f"user{self.uid}",
            **self.environment,
        }


class People(msgspec.Struct, frozen=True):
    """A place that all of them can reach, and users who have never been here."""

    root: Path
    first_uid: int

    def person(self, number: int, *, groups: tuple[int, ...] = (), umask: int = 0o022) -> Person:
        """User `number`, with a home of their own."""
        uid = self.first_uid + number
        home = self.root / f"home{number}"
        if not home.exists():
            home.mkdir(mode=0o700)
            os.chown(home, uid, uid)
        return Person(uid=uid, gid=uid, home=home, groups=groups, umask=umask)

    def superuser(self, *, umask: int = 0o022) -> Person:
        """Root, with a home of its own."""
        home = self.root / "home-root"
        home.mkdir(mode=0o700, exist_ok=True)
        return Person(uid=0, gid=0, home=home, umask=umask)

    @property
    def gid(self) -> int:
        """A group that nobody is a member of without being given it."""
        return self.first_uid + 99


@contextmanager
def people() -> Iterator[People]:
    """Users for one test; what they left in /tmp is removed."""
    # Numbers that no other test running now uses: /tmp/artfs-UID is for the whole machine.
    first = 100_000 + 100 * random.randrange(5_000)
    root = Path(tempfile.mkdtemp(prefix="artfs-people-"))
    root.chmod(0o755)
    try:
        yield People(root, first)
    finally:
        shutil.rmtree(root)
        for path in Path(tempfile.gettempdir()).glob("artfs-*"):
            if path.name.removeprefix("artfs-") in {str(first + n) for n in range(100)}:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
