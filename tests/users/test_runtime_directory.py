"""Where control sockets live when nobody says so: below /tmp, where anybody may have been first."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.support.people import People, Person
from tests.support.privileges import needs_root

pytestmark = needs_root

_STOLEN = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
listener.listen()
print("ready", flush=True)
while True:
    listener.accept()
"""


def base_of(person: Person) -> Path:
    return Path(f"/tmp/artfs-{person.uid}")


def ask(person: Person) -> tuple[int, str]:
    code = (
        "import sys\n"
        "from artfs.errors import ArtfsError\n"
        "from artfs.system.user_places import runtime_directory\n"
        "try: print(runtime_directory())\n"
        "except ArtfsError as error: sys.exit(str(error))\n"
    )
    done = person.python(code)
    return done.returncode, done.stdout + done.stderr


def linked(person: Person, other: Person) -> None:
    target = other.home / "trap"
    (target / "artfs").mkdir(parents=True)
    base_of(person).symlink_to(target)


def foreign(person: Person, other: Person) -> None:
    base_of(person).mkdir(mode=0o700)
    os.chown(base_of(person), other.uid, other.gid)


def world_writable(person: Person, _other: Person) -> None:
    base_of(person).mkdir()
    base_of(person).chmod(0o777)
    os.chown(base_of(person), person.uid, person.gid)


def linked_within(person: Person, other: Person) -> None:
    base_of(person).mkdir(mode=0o700)
    os.chown(base_of(person), person.uid, person.gid)
    (other.home / "trap").mkdir()
    (base_of(person) / "artfs").symlink_to(other.home / "trap")
    os.chown(base_of(person) / "artfs", other.uid, other.gid, follow_symlinks=False)


def a_file(person: Person, _other: Person) -> None:
    base_of(person).touch()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_runtime_directory_that_is_made_is_private_whatever_the_umask(
    people: People, umask: int
) -> None:
    person = people.person(1).with_umask(umask)
    assert ask(person) == (0, f"{base_of(person) / 'artfs'}\n")
    for path in (base_of(person), base_of(person) / "artfs"):
        found = path.lstat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (person.uid, 0o700)


@pytest.mark.parametrize("prepare", [linked, foreign, world_writable, linked_within, a_file])
def test_a_runtime_directory_that_somebody_prepared_is_refused_with_the_cure(
    people: People, prepare: Callable[[Person, Person], None]
) -> None:
    person, other = people.person(1), people.person(2)
    prepare(person, other)
    code, said = ask(person)
    assert code == 1
    assert str(base_of(person)) in said
    assert "chmod 700" in said or "remove it" in said


def test_a_prepared_runtime_directory_is_one_line_to_who_mounts(people: People) -> None:
    person, other = people.person(1), people.person(2)
    foreign(person, other)
    person.does("init", "--store", str(person.home / "store"))
    (person.home / "m").mkdir()
    os.chown(person.home / "m", person.uid, person.gid)
    done = person.artfs("mount", "--store", str(person.home / "store"), str(person.home / "m"))
    assert done.returncode == 8, done.stderr
    assert done.stderr.count("\n") == 1
    assert "belongs to user" in done.stderr
    assert list(base_of(person).iterdir()) == []


@pytest.mark.parametrize("place", ["somebody's", "/nonexistent", "/dev/null"])
@pytest.mark.parametrize("command", ["mount", "stage", "umount", "abort", "commit", "status"])
def test_a_runtime_directory_that_cannot_be_had_is_told_with_its_variable(
    people: People, command: str, place: str
) -> None:
    person, other = people.person(1), people.person(2)
    person.does("init", "--store", str(person.home / "store"))
    (person.home / "m").mkdir()
    os.chown(person.home / "m", person.uid, person.gid)
    named = str(other.home) if place == "somebody's" else place
    there = msgspec.structs.replace(person, environment={"XDG_RUNTIME_DIR": named})
    target = {"mount": (), "stage": ("p/a",)}.get(command, ())
    store = ("--store", str(person.home / "store")) if command in {"mount", "stage"} else ()
    done = there.artfs(command, *store, *target, str(person.home / "m"))
    assert done.returncode in {7, 8}, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{named}/artfs: " in done.stderr
    assert (
        "set $XDG_RUNTIME_DIR, which names it, to a directory of your own, or unset" in done.stderr
    )


@pytest.mark.parametrize(
    ("variables", "cure"),
    [
        ({"HOME": "{}"}, "set $XDG_CACHE_HOME or $HOME to a directory of your own"),
        ({"XDG_CACHE_HOME": "{}"}, "set $XDG_CACHE_HOME, which names it, to"),
    ],
)
@pytest.mark.parametrize("command", ["info", "clean"])
def test_a_cache_that_cannot_be_had_is_told_with_its_variable(
    people: People, command: str, variables: dict[str, str], cure: str
) -> None:
    person, other = people.person(1), people.person(2)
    closed = {name: value.format(other.home) for name, value in variables.items()}
    done = msgspec.structs.replace(person, environment=closed).artfs("cache", command)
    assert done.returncode == 8, done.stderr
    assert done.stderr.count("\n") == 1
    assert "Permission denied" in done.stderr
    assert cure in done.stderr


@pytest.mark.parametrize(
    ("variables", "cure"),
    [
        ({"HOME": "{}"}, "set $XDG_DATA_HOME or $HOME to a directory of your own"),
        ({"XDG_DATA_HOME": "{}"}, "set $XDG_DATA_HOME, which names it, to"),
    ],
)
@pytest.mark.parametrize("command", [("init",), ("ls",), ("put", "/etc/hosts", "-n", "p/a")])
def test_a_standard_store_that_cannot_be_had_is_told_with_its_variable(
    people: People, command: tuple[str, ...], variables: dict[str, str], cure: str
) -> None:
    person, other = people.person(1), people.person(2)
    closed = {name: value.format(other.home) for name, value in variables.items()}
    done = msgspec.structs.replace(person, environment=closed).artfs(*command)
    assert done.returncode == 8, done.stderr
    assert done.stderr.count("\n") == 1
    assert cure in done.stderr


def test_what_another_user_s_socket_answers_counts_for_nothing(people: People) -> None:
    """The socket is put in place as if the directory had not been looked at."""
    person, other = people.person(1), people.person(2)
    assert ask(person)[0] == 0
    code = (
        "import sys; from pathlib import Path; from artfs.mounts.messages import socket_path; "
        "print(socket_path(Path(sys.argv[1])))"
    )
    mountpoint = str(person.home / "m")
    path = Path(person.python(code, mountpoint).stdout.strip())
    base_of(person).chmod(0o777)
    path.parent.chmod(0o777)
    server = other.start([os.path.realpath("/usr/bin/python3"), "-c", _STOLEN, str(path)])
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        base_of(person).chmod(0o700)
        path.parent.chmod(0o700)
        code = (
            "import sys; from pathlib import Path; from artfs.mounts import contact; "
            "place = Path(sys.argv[1]); "
            "print(contact.look(place))"
        )
        done = person.python(code, mountpoint)
        assert done.stdout == "None\n", done.stderr
    finally:
        server.send_signal(signal.SIGKILL)
        server.communicate()
