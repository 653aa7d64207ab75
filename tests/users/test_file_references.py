"""Who writes a version chooses its local files; who reads it lends the rights to read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.people import People, Person
from tests.support.privileges import needs_root

pytestmark = needs_root


def referring_store(people: People, file: Path) -> tuple[Person, Path]:
    """A stranger's store with an artifact that refers to a file, which root helped to describe."""
    stranger = people.person(1)
    store = stranger.home / "store"
    root = people.superuser()
    stranger.does("init", "--store", str(store))
    root.does("put", "--store", str(store), "-r", file.as_uri(), "-n", "demo/x")
    return stranger, store


def secret_of(people: People, *, mode: int, directory_mode: int) -> Path:
    directory = people.root / "private"
    directory.mkdir()
    directory.chmod(directory_mode)
    file = directory / "secret"
    file.write_bytes(b"secret")
    file.chmod(mode)
    return file


@pytest.mark.parametrize(("mode", "directory_mode"), [(0o600, 0o755), (0o644, 0o700)])
@pytest.mark.parametrize("command", ["get", "verify", "warm"])
def test_a_stranger_s_version_leads_root_to_no_file_that_not_everybody_may_read(
    people: People, mode: int, directory_mode: int, command: str
) -> None:
    file = secret_of(people, mode=mode, directory_mode=directory_mode)
    _, store = referring_store(people, file)
    root = people.superuser()
    copy = root.home / "copy"
    arguments = {
        "get": ("get", "demo/x", "--root", str(copy)),
        "verify": ("verify", "--references", "demo/x"),
        "warm": ("warm", "demo/x"),
    }[command]
    done = root.artfs(*arguments, "--store", str(store))
    assert done.returncode != 0
    assert "not everybody may read this file" in done.stderr + done.stdout
    assert not (copy / "secret").exists()


def test_a_stranger_s_version_leads_to_what_everybody_may_read(people: People) -> None:
    file = secret_of(people, mode=0o644, directory_mode=0o755)
    _, store = referring_store(people, file)
    root = people.superuser()
    root.does("get", "demo/x", "--root", str(root.home / "copy"), "--store", str(store))
    assert (root.home / "copy" / "secret").read_bytes() == b"secret"


def test_one_s_own_version_leads_to_what_one_may_read_and_its_copy_is_as_private(
    people: People,
) -> None:
    person = people.person(1, umask=0o022)
    file = person.home / "secret"
    file.write_bytes(b"secret")
    file.chmod(0o600)
    os.chown(file, person.uid, person.gid)
    store = person.home / "store"
    person.does("put", "--store", str(store), "-r", file.as_uri(), "-n", "demo/x")
    person.does("get", "demo/x", "--root", str(person.home / "copy"), "--store", str(store))
    found = (person.home / "copy" / "secret").stat()
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_who_reads_says_that_local_files_are_read_or_not(people: People) -> None:
    file = secret_of(people, mode=0o600, directory_mode=0o700)
    _, store = referring_store(people, file)
    root = people.superuser()
    for allowed, code in (("on", 0), ("off", 8)):
        root.environment["ARTFS_FILE_REFERENCES"] = allowed
        done = root.artfs(
            "get", "demo/x", "--root", str(root.home / allowed), "--store", str(store)
        )
        assert done.returncode == code, done.stderr
    assert stat.S_IMODE((root.home / "on" / "secret").stat().st_mode) == 0o600


def test_who_was_given_a_key_chooses_no_private_file_for_the_owner_to_read(people: People) -> None:
    person = people.person(1)
    file = person.home / "secret"
    file.write_bytes(b"secret")
    file.chmod(0o600)
    os.chown(file, person.uid, person.gid)
    person.environment["ARTFS_STORE"] = str(person.home / "store")
    person.does("put", "-r", file.as_uri(), "-n", "demo/x")
    person.does("keys", "add", "reader", "--read-only")
    person.does("get", "demo/x", "--root", str(person.home / "before"))
    person.does("keys", "add", "writer")
    person.does("keys", "revoke", "writer")
    done = person.artfs("get", "demo/x", "--root", str(person.home / "after"))
    assert (done.returncode, done.stderr.count("\n")) == (8, 1)
    assert "ARTFS_FILE_REFERENCES=on" in done.stderr
    assert not (person.home / "after" / "secret").exists()
