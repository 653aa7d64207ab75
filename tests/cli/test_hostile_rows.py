"""Rows and schemas that no artfs wrote: each command says so in one line that names what is
damaged, with a documented exit code; what is sound is still listed, read and kept.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from artfs.cli.app import run
from tests.cli.conftest import Cli

DOCUMENTED = {0, 3, 5, 10, 11}
"""Exit codes that a damaged catalog may lead to."""

OF_V1 = ' WHERE "index" = 1 AND artifact_id = (SELECT min(id) FROM artifacts)'
NO_UTF8 = b"\xff\xfe"
DIGEST = b"d" * 32

# What each column of a version may not be. All of these are about `demo/data:v1`.
VERSIONS: dict[str, tuple[str, object]] = {
    "size below zero": ("size_bytes = ?", -5),
    "size is text": ("size_bytes = ?", "many"),
    "size is a blob": ("size_bytes = ?", b"12"),
    "size has a fraction": ("size_bytes = ?", 1.5),
    "size is infinite": ("size_bytes = ?", float("inf")),
    "count below zero": ("file_count = ?", -1),
    "count is text": ("file_count = ?", "x"),
    "state is odd": ("state = ?", "MAYBE"),
    "state is a blob": ("state = ?", b"COMMITTED"),
    "state is no UTF-8": ("state = CAST(? AS TEXT)", NO_UTF8),
    "digest is short": ("digest = ?", "abc"),
    "digest is a number": ("digest = ?", 7),
    "content digest is a blob": ("content_digest = ?", b"x"),
    "tree is short": ("tree = ?", b"x"),
    "tree is text": ("tree = ?", "x"),
    "tree is a large number": ("tree = ?", 10**12),
    "tree is below zero": ("tree = ?", -1),
    "metadata is no JSON": ("metadata = ?", "{"),
    "metadata is a list": ("metadata = ?", "[]"),
    "metadata is deep": ("metadata = ?", '{"a":' + "[" * 100_000),
    "metadata is deep and whole": ("metadata = ?", '{"a":' + "[" * 980 + "]" * 980 + "}"),
    "metadata is no UTF-8": ("metadata = CAST(? AS TEXT)", NO_UTF8),
    "metadata is a blob": ("metadata = ?", b"{}"),
    "metadata has a huge number": ("metadata = ?", '{"a": ' + "9" * 5000 + "}"),
    "time is text": ("created_at_ns = ?", "yesterday"),
    "time is below zero": ("created_at_ns = ?", -(2**62)),
    "time has a fraction": ("created_at_ns = ?", 1e300),
    "description is no UTF-8": ("description = CAST(? AS TEXT)", NO_UTF8),
    "description is a blob": ("description = ?", b"x"),
    "time to live is text": ("ttl_s = ?", "soon"),
    "time to live is huge": ("ttl_s = ?", 2**62),
    "its artifact is none": ("artifact_id = ?", 99),
    "its artifact is text": ("artifact_id = ?", "x"),
    "its own number is text": ('"index" = ?', "x"),
}

# Whole statements about other tables, and what the line names.
OTHERS: dict[str, tuple[str, tuple[object, ...]]] = {
    "project's name is a path": ("UPDATE projects SET name = ?", ("../x",)),
    "project's name is a blob": ("UPDATE projects SET name = ?", (b"demo",)),
    "project's time is text": ("UPDATE projects SET created_at_ns = ?", ("x",)),
    "artifact's name is a path": ("UPDATE artifacts SET name = ?", ("a/b",)),
    "artifact's type is a blob": ("UPDATE artifacts SET type = ?", (b"x",)),
    "artifact's next number is text": ("UPDATE artifacts SET next_index = ?", ("x",)),
    "artifact's next number is huge": ("UPDATE artifacts SET next_index = ?", (2**63 - 1,)),
    "two last numbers": ("INSERT INTO numbers VALUES (99)", ()),
    "no last number": ("DELETE FROM numbers", ()),
    "the last number is huge": ("UPDATE numbers SET last = ?", (2**63 - 1,)),
    "artifact's time is large": ("UPDATE artifacts SET created_at_ns = ?", (-(2**62),)),
    "artifact's tags are a number": ("UPDATE artifacts SET tags = ?", ("[1]",)),
    "artifact's description is a blob": ("UPDATE artifacts SET description = ?", (b"x",)),
    "artifact's project is none": ("UPDATE artifacts SET project_id = ?", (99,)),
    "a link leads nowhere": (f"UPDATE links SET version_id = ?{OF_V1}", ("0" * 32,)),
    "a link's version is a blob": (f"UPDATE links SET version_id = ?{OF_V1}", (b"x",)),
    "a link's number is text": (f'UPDATE links SET "index" = ?{OF_V1}', ("x",)),
    "a link's number is below zero": (f'UPDATE links SET "index" = ?{OF_V1}', (-3,)),
    "an alias is a path": ("UPDATE aliases SET name = ? WHERE name = 'mine'", ("a/b",)),
    "an alias is a blob": ("UPDATE aliases SET name = ? WHERE name = 'mine'", (b"x",)),
    "an alias leads nowhere": ("UPDATE aliases SET version_id = ?", ("0" * 32,)),
    "a tag is a blob": ("INSERT INTO tags SELECT id, ? FROM versions", (b"x",)),
    "a run's state is odd": ("UPDATE runs SET state = ?", ("odd",)),
    "a run's config is no JSON": ("UPDATE runs SET config = ?", ("nothing",)),
    "a run's config is a list": ("UPDATE runs SET config = ?", ("[]",)),
    "a run's time is text": ("UPDATE runs SET created_at_ns = ?", ("x",)),
    "a run's name is a blob": ("UPDATE runs SET name = ?", (b"x",)),
    "a blob's size is text": ("UPDATE blobs SET size_bytes = ?", ("x",)),
    "a blob's size is below zero": ("UPDATE blobs SET size_bytes = ?", (-1,)),
    "a blob's size is huge": ("UPDATE blobs SET size_bytes = ?", (2**63 - 1,)),
    "a blob's place is below zero": ("UPDATE blobs SET offset_bytes = ?", (-1,)),
    "a blob's place is huge": ("UPDATE blobs SET offset_bytes = ?", (2**62,)),
    "a blob's digest is short": (
        "UPDATE blobs SET sha256 = ? WHERE sha256 = (SELECT min(sha256) FROM blobs)",
        (b"x",),
    ),
    "a blob's pack is none": ("UPDATE blobs SET pack_id = ?", (99,)),
    "a blob's condemnation is text": ("UPDATE blobs SET condemned_at_ns = ?", ("x",)),
    "a pack's size is text": ("UPDATE packs SET size_bytes = ?", ("x",)),
    "a pack's size is below zero": ("UPDATE packs SET size_bytes = ?", (-1,)),
    "a pack's digest is short": (
        "UPDATE packs SET sha256 = ? WHERE id = (SELECT min(id) FROM packs)",
        (b"x",),
    ),
    "a pack's digest is a number": (
        "UPDATE packs SET sha256 = ? WHERE id = (SELECT min(id) FROM packs)",
        (10**12,),
    ),
    "the last number is text": ("UPDATE numbers SET last = ?", ("x",)),
    "there is no last number": ("DELETE FROM numbers WHERE last != ?", ("x",)),
    "the schema's number is a blob": (
        "UPDATE settings SET value = ? WHERE key = 'artfs_schema'",
        (b"2",),
    ),
    "the schema's number is long": (
        "UPDATE settings SET value = ? WHERE key = 'artfs_schema'",
        ("9" * 5000,),
    ),
    "all settings are blobs": ("UPDATE settings SET value = ? WHERE key != 'artfs_schema'", (b"",)),
}

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("ls",),
    ("ls", "demo"),
    ("ls", "demo/data", "--json"),
    ("ls", "demo/data:v1"),
    ("ls", "demo/data:v0"),
    ("history", "demo/data"),
    ("history", "demo/data", "--json"),
    ("manifest", "demo/data:v1"),
    ("diff", "demo/data:v0", "demo/data:v1"),
    ("get", "demo/data:v1", "--root", "out"),
    ("verify",),
    ("status",),
    ("doctor",),
    ("alias", "add", "demo/data:v1", "other"),
    ("put", "b.txt", "-n", "demo/data"),
    ("gc", "--grace", "0"),
    ("rm", "--yes", "--aliases", "demo/data:v1"),
    ("ls", "demo/data"),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a store of two versions, one with an alias, and a run that made one."""
    cli = Cli(tmp_path_factory.mktemp("prepared"))
    (cli.directory / "a.txt").write_text("a")
    (cli.directory / "b.txt").write_text("b")
    for command in (
        (
            "run",
            "-p",
            "demo",
            "--",
            sys.executable,
            "-m",
            "artfs",
            "put",
            "a.txt",
            "-n",
            "demo/data",
        ),
        ("put", "a.txt", "b.txt", "-n", "demo/data"),
        ("alias", "add", "demo/data:v1", "mine"),
    ):
        done = cli.run(*command)
        assert done.code == 0, done.err
    return cli.directory


@pytest.fixture
def home(cli: Cli, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A copy of the prepared home, in which commands run in this process."""
    shutil.copytree(prepared, cli.directory, dirs_exist_ok=True)
    for name, text in cli.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(cli.directory)
    return cli


def change(cli: Cli, statement: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(cli.store / "catalog.sqlite")) as connection:
        connection.execute(statement, values)
        connection.commit()


def said_by(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """What a command printed, once it has kept to what every command keeps to."""
    capsys.readouterr()
    code = run(command)
    out, err = capsys.readouterr()
    assert code in DOCUMENTED, (command, code, err)
    assert "internal error" not in err, (command, err)
    assert "Traceback" not in err, (command, err)
    assert err.count("artfs: ") == (code != 0 and "DAMAGE" not in out), (command, code, out, err)
    return code, out, err


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_version_that_no_artfs_wrote_is_named_can_be_deleted_and_hides_no_other(
    home: Cli, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assignment, value = VERSIONS[kind]
    change(home, f"UPDATE versions SET {assignment}{OF_V1}", (value,))
    for command in COMMANDS:
        code, out, err = said_by(command, capsys)
        if command in {("ls", "demo/data:v0"), ("rm", "--yes", "--aliases", "demo/data:v1")}:
            assert code == 0, (command, err)
        if command == ("ls", "demo/data:v1"):
            assert code == 11, (command, out, err)
            assert "demo/data:v1: " in err, err
        if command == ("ls", "demo/data", "--json"):
            assert code == 11, (command, out, err)
            assert "v0" in out, out
            assert "demo/data:v1: " in err, err
        if command[0] == "gc":
            assert code == 11, (command, out, err)
        if command[0] in {"gc", "doctor", "verify"}:
            assert "data:v1" in out + err or "version" in out + err, (command, out, err)
        if command == ("ls", "demo/data"):
            assert code == 0, (command, out, err)
            assert "damaged" not in out, out
    assert said_by(("gc", "--grace", "0"), capsys)[0] in {0, 11}
    assert said_by(("get", "demo/data:v0", "--root", "out0"), capsys)[0] == 0
    assert (home.directory / "out0" / "a.txt").read_text() == "a"


@pytest.mark.parametrize("kind", OTHERS)
def test_a_row_that_no_artfs_wrote_is_one_line_with_a_documented_exit_code(
    home: Cli, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(home, *OTHERS[kind])
    codes = [said_by(command, capsys)[0] for command in COMMANDS]
    assert any(codes), "somebody has noticed"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE blobs SET doomed = 1",
        "UPDATE packs SET doomed = 1, condemned_at_ns = 1",
        "UPDATE blobs SET condemned_at_ns = 1, condemned_in = 1",
        "DELETE FROM packs",
    ],
)
def test_what_a_version_needs_is_not_removed_whatever_its_row_says(
    home: Cli, statement: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.directory / "large").write_bytes(os.urandom(3_000_000))
    assert said_by(("put", "large", "-n", "demo/large"), capsys)[0] == 0
    change(home, statement)
    stored = [path for place in ("blobs", "packs") for path in (home.store / place).rglob("*")]
    for _ in range(2):
        assert said_by(("gc", "--grace", "0"), capsys)[0] in {0, 11}
    assert all(path.exists() for path in stored)


HOSTILE: dict[str, str] = {
    "an endless view": "ALTER TABLE {0} RENAME TO real; CREATE VIEW {0} AS WITH RECURSIVE "
    "n(key) AS (SELECT 1 UNION ALL SELECT key + 1 FROM n) SELECT key, key AS value, "
    "key AS name, key AS id FROM n",
    "a trigger": "CREATE TRIGGER t BEFORE UPDATE ON {0} BEGIN DELETE FROM versions; END",
    "a virtual table": "DROP TABLE {0}; CREATE VIRTUAL TABLE {0} USING fts5(key, value, name)",
    "a generated column": "ALTER TABLE {0} ADD COLUMN more AS (length(hex(zeroblob(100000000))))",
    "a table less": "DROP TABLE {0}",
    "a column less": "DROP TABLE {0}; CREATE TABLE {0} (key TEXT)",
}


@pytest.mark.parametrize(
    ("kind", "table"),
    [*((kind, "settings") for kind in HOSTILE), ("an endless view", "projects")],
)
def test_a_schema_that_no_artfs_made_is_refused_at_once(home: Cli, kind: str, table: str) -> None:
    with closing(sqlite3.connect(home.store / "catalog.sqlite")) as connection:
        connection.executescript(HOSTILE[kind].format(table))
    # Not in this process: what does not end is ended by a time limit.
    for command in (("ls",), ("init",)):
        done = subprocess.run(
            home.command(*command),
            env=home.environment,
            cwd=home.directory,
            capture_output=True,
            timeout=20,
            check=False,
            text=True,
        )
        assert done.returncode == 11, (command, done.stdout, done.stderr)
        assert done.stderr.count("artfs: ") == 1, done.stderr
        assert "catalog.sqlite" in done.stderr, done.stderr
        assert "internal error" not in done.stderr, done.stderr
