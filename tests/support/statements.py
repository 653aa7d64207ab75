"""SQL that is compiled once for all stores of a test process, and of those that it forks.

SQLAlchemy keeps what it compiled for each engine, and each test has stores of its own.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event


class _Compiled(dict[Any, Any]):
    """Statements by what they say: any engine of a kind of database finds those of another one."""

    def get(self, key: Any, default: Any = None) -> Any:
        """See dict."""
        return super().get(_of_any_engine(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_any_engine(key), value)


def _of_any_engine(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *rest = key
    return (dialect.name, *rest)


def share_statements() -> None:
    """Let all connections of this process, and of those that it forks, use what was compiled."""
    compiled = _Compiled()

    @event.listens_for(Engine, "engine_connect")
    def use_compiled(connection: Connection) -> None:
        connection.execution_options(compiled_cache=compiled)


_COMMANDS = (
    "put file -n warm/up -a best",
    "put other -n warm/up",
    "put other -n warm/up",
    "ls",
    "ls warm",
    "ls warm/up",
    "history warm/up",
    "get warm/up:best --root got",
    "alias add warm/up:v0 prod",
    "edit warm/up --description text",
    "diff warm/up:v0 warm/up:v1",
    "verify",
    "rm warm/up:v0 --aliases --yes",
    "gc",
)


def warm_up() -> None:
    """Do in this process, which is to fork, what its children will do: they have it compiled."""
    from artfs.cli.app import run  # noqa: PLC0415 - of those that are forked

    environment, directory, handlers = dict(os.environ), Path.cwd(), list(logging.root.handlers)
    with tempfile.TemporaryDirectory(prefix="artfs-warm-") as home:
        os.environ.update(HOME=home, XDG_RUNTIME_DIR=home, ARTFS_STORE=f"{home}/store")
        os.chdir(home)
        Path("file").write_bytes(b"1")
        Path("other").write_bytes(bytes(3_000_000))
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            codes = {line: run(line.split()) for line in _COMMANDS}
        os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    logging.root.handlers[:] = handlers
    failed = [line for line, code in codes.items() if code]
    assert not failed, f"{failed}: {said.getvalue()}"
    alive = [each.name for each in threading.enumerate()]
    assert len(alive) == 1, f"children of a process with threads: {alive}"
