"""What programs make of damaged rows: nothing that they list is less than there is, silently."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from artfs.repository.facade import Repository
from tests.support.mounts import Mounter
from tests.support.stores import commit

DAMAGE = (
    "UPDATE projects SET created_at_ns = 'x' WHERE name = 'lost'",
    "UPDATE artifacts SET type = x'61' WHERE name = 'typed'",
    "UPDATE artifacts SET name = x'62' WHERE name = 'nameless'",
    'UPDATE versions SET size_bytes = -5 WHERE "index" = 1',
)


def ls(*arguments: str | Path) -> tuple[int, list[str], str]:
    """The exit code of `ls`, the names that it shows, and what it says."""
    done = subprocess.run(
        ["ls", *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, done.stdout.split(), done.stderr


@pytest.mark.parametrize("freeze", [False, True])
def test_r5_programs_see_the_names_of_what_is_damaged_and_an_error_when_they_look(
    repository: Repository, mounted: Mounter, *, freeze: bool
) -> None:
    for path in ("lost/a", "demo/typed", "demo/sized", "demo/sized", "many/nameless"):
        commit(repository, path, {"x": os.urandom(8)})
    for number in range(8):
        commit(repository, f"many/{'n' * 100}{number}", {"x": b"1"})
    assert repository.info.root is not None
    with closing(sqlite3.connect(repository.info.root / "catalog.sqlite")) as connection:
        for statement in DAMAGE:
            assert connection.execute(statement).rowcount == 1
        connection.commit()
    place = mounted(repository, freeze=freeze)

    for _ in range(2):
        assert ls(place)[1] == ["demo", "lost", "many"]
        code, _, said = ls("-l", place)
        assert (code, said.count("Input/output error")) == (1, 1), said
        assert ls(place / "demo")[1] == ["sized", "typed"]
        code, _, said = ls("-l", place / "demo")
        assert (code, said.count("Input/output error")) == (1, 1), said
        assert ls(place / "demo/sized")[1] == ["latest", "v0", "v1"]
        for path in ("lost", "lost/a/v0/x", "demo/typed", "demo/sized/v1", "demo/sized/latest/x"):
            with pytest.raises(OSError) as failed:
                (place / path).stat()
            assert failed.value.errno == errno.EIO
        assert (place / "demo/sized/v0/x").stat().st_size == 8
        code, names, said = ls(place / "many")
        assert (code, len(names)) == (2, 8)
        assert "Input/output error" in said
        for name in names:
            assert (place / "many" / name / "v0/x").read_bytes() == b"1"
        with pytest.raises(OSError, match="Input/output error"):
            list((place / "many").iterdir())
        with pytest.raises(FileNotFoundError):
            (place / "demo/none").stat()
