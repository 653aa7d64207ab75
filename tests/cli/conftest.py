"""The real `artfs`, run as a process with a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.daemons import daemons_for
from tests.support.starter import Done, Request, starter

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 60
STORE_MADE = "was made here"


class Result(msgspec.Struct, frozen=True):
    """What a command line did."""

    code: int
    out: str
    err: str
    stores_made: int = 0
    """How often it said that it made one."""

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


_COPIES = "other mount namespaces have it mounted still"


class Cli:
    """Runs `artfs` over a store and a home in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "store"
        self.state = directory / "state"
        self.prefix: list[str] = []
        runtime = directory / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "ARTFS_STORE": str(self.store),
            "ARTFS_ENTITY": "tester",
            "HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_DATA_HOME": str(directory / "data"),
            "XDG_STATE_HOME": str(self.state),
            "XDG_CACHE_HOME": str(directory / "cache"),
            "XDG_RUNTIME_DIR": str(runtime),
        }

    def command(self, *arguments: str | Path) -> list[str]:
        """The argument list that runs `artfs` with these arguments."""
        return [*self.prefix, sys.executable, "-m", "artfs", *map(str, arguments)]

    def run(self, *arguments: str | Path, env: dict[str, str] | None = None) -> Result:
        """Run to the end, whatever comes of it; standard input is empty."""
        done = self._done([str(each) for each in arguments], self.environment | (env or {}))
        # That a store is made is said once, and of no interest to most tests. A namespace that
        # another test makes has a copy of every mount for a moment.
        said = done.err.decode().splitlines(keepends=True)
        kept = [line for line in said if STORE_MADE not in line and not line.startswith(_COPIES)]
        stores_made = sum(STORE_MADE in line for line in said)
        return Result(done.code, done.out.decode(), "".join(kept), stores_made)

    def _done(self, arguments: list[str], environment: dict[str, str]) -> Done:
        ready = starter(str(ROOT))
        if not self.prefix and ready.fits(environment):
            request = Request(
                arguments=arguments,
                environment=environment,
                directory=str(self.directory),
                daemons=daemons_for(arguments, environment),
            )
            return ready.run(request, timeout_s=_TIMEOUT_S)
        done = subprocess.run(
            self.command(*arguments),
            env=environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str | Path) -> Result:
        """Run what must succeed, and say nothing on standard error."""
        result = self.run(*arguments)
        assert (result.code, result.err) == (0, ""), result
        return result

    def fails(
        self,
        code: int,
        *arguments: str | Path,
        says: str | Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> str:
        """Run what must fail with this exit code and exactly one line; that line."""
        result = self.run(*arguments, env=env)
        assert result.code == code, result
        assert result.err.startswith("artfs: "), result.err
        assert result.err.count("\n") == 1, result.err
        assert result.err.endswith("\n")
        for text in [says] if isinstance(says, str) else says:
            assert text in result.err, result.err
        return result.err

    def script(self, path: Path) -> str:
        """Run a Python script that uses the SDK; what it prints, without the last newline."""
        done = subprocess.run(
            [sys.executable, str(path)],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return done.stdout.rstrip("\n")

    def popen(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            # What a shell without job control starts in the background would ignore Ctrl-C.
            ["env", "--default-signal=INT", *self.command(*arguments)],
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`artfs` over a store that does not exist yet."""
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `filled` says, to be copied."""
    cli = Cli(tmp_path_factory.mktemp("template"))
    data = cli.directory / "data-files"
    (data / "sub").mkdir(parents=True)
    (data / "a.txt").write_text("alpha\n")
    (data / "b.bin").write_bytes(b"\0" * 5000)
    (data / "sub" / "run.sh").write_text("#!/bin/sh\necho hello\n")
    (data / "sub" / "run.sh").chmod(0o755)
    (data / "link").symlink_to("a.txt")
    cli.ok("put", data, "-n", "demo/data", "-t", "dataset", "--description", "first")
    (data / "a.txt").write_text("changed\n")
    (data / "b.bin").unlink()
    (data / "new.txt").write_text("new\n")
    cli.ok("put", data, "-n", "demo/data", "-a", "best", "--metadata", '{"epochs": 3}')
    cli.ok("put", data / "a.txt", "-n", "other/model", "-t", "model")
    return cli.directory


@pytest.fixture
def filled(tmp_path: Path, template: Path) -> Cli:
    """`artfs` over a store with demo/data:v0 and v1 (latest, best), and other/model:v0."""
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Cli(tmp_path)
