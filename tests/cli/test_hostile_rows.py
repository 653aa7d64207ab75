"""Rows that no artfs wrote: each command says so in one line, with a documented exit code."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from artfs.cli.app import run
from tests.cli.conftest import Cli

DOCUMENTED = {0, 3, 5, 7, 8, 11}

ROWS: dict[str, tuple[str, object]] = {
    "negative size": ("versions SET size_bytes = ?", -5),
    "size is text": ("versions SET size_bytes = ?", "many"),
    "negative count": ("versions SET file_count = ?", -1),
    "odd state": ("versions SET state = ?", "MAYBE"),
    "metadata is no JSON": ("versions SET metadata = ?", "{"),
    "metadata is a list": ("versions SET metadata = ?", "[]"),
    "metadata is deep": ("versions SET metadata = ?", "[" * 100_000),
    "metadata is no UTF-8": ("versions SET metadata = CAST(? AS TEXT)", b"\xff\xfe"),
    "tree is short": ("versions SET tree = ?", b"x"),
    "tree is text": ("versions SET tree = ?", "x"),
    "time is text": ("versions SET created_at_ns = ?", "yesterday"),
    "type is a number": ("versions SET description = CAST(? AS TEXT)", b"\xff"),
    "blob size is text": ("blobs SET size_bytes = ?", "x"),
    "offset is negative": ("blobs SET offset_bytes = ?", -1),
    "run state": ("runs SET state = ?", "odd"),
    "run config": ("runs SET config = ?", "nothing"),
}

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("ls", "demo"),
    ("ls", "demo/data"),
    ("ls", "demo/data:v0"),
    ("get", "demo/data:v0", "--root", "out"),
    ("history", "demo/data"),
    ("verify",),
    ("gc",),
    ("status",),
    ("doctor",),
    ("manifest", "demo/data:v0"),
)


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_that_no_artfs_wrote_is_one_line_with_a_documented_exit_code(
    cli: Cli, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in cli.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(cli.directory)
    (cli.directory / "a.txt").write_text("a")
    assert run(["run", "-p", "demo", "--", "true"]) == 0
    assert run(["put", "a.txt", "-n", "demo/data"]) == 0
    change, value = ROWS[kind]
    with closing(sqlite3.connect(cli.store / "catalog.sqlite")) as connection:
        connection.execute(f"UPDATE {change}", (value,))
        connection.commit()
    capsys.readouterr()
    for command in COMMANDS:
        code = run(command)
        said = capsys.readouterr().err
        assert code in DOCUMENTED, (command, code, said)
        assert "internal error" not in said, (command, said)
        assert "Traceback" not in said, (command, said)
        assert said.count("artfs: ") <= 1, (command, said)
