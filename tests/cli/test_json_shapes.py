"""What `--json` prints has the shapes that docs/cli.md tells, whichever command prints it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import artfs.errors
from artfs.system.mountinfo import mounted_at
from tests.cli.conftest import ROOT, Cli
from tests.cli.test_help import commands
from tests.support.foreign import hub_repository

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
_LINE = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)
_KINDS = {"file", "reference", "symlink", "directory"}
_ERROR = {"kind", "message", "subject", "reason", "hint", "exit_code"}


def documented(what: str) -> set[str]:
    """The keys that the page lists for a shape."""
    text = (ROOT / "docs" / "cli.md").read_text("utf-8").split(f"\n**{what}**", 1)[1]
    table = text.split("\n\n", 2)[1]
    return {key for line in _LINE.findall(table) for key in re.findall(r"`(\w+)`", line)}


def objects(value: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a document, with the key that it stands at."""
    if isinstance(value, dict):
        yield key, value
        for name, each in value.items():
            if name != "metadata":
                yield from objects(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from objects(each, key)


def wrong(document: Any) -> Iterator[str]:
    """What of a document has another shape than the page says."""
    version, artifact, path = map(documented, ("A version", "An artifact", "A path"))
    for key, found in objects(document):
        for name, value in found.items():
            if not is_right(name, value):
                yield f"{name} of {found}"
        if key == "error" and not hasattr(artfs.errors, found["kind"]):
            yield f"{found} is of no kind"
        if {"digest", "aliases"} <= set(found) and not version <= set(found):
            yield f"{found} is no version"
        if "version_count" in found and not artifact <= set(found):
            yield f"{found} is no artifact"
        if found.get("kind") in _KINDS and (
            not {"path", "kind", "size_bytes"} <= set(found) or not set(found) <= path | {"version"}
        ):
            yield f"{found} is no path"


def is_right(name: str, value: Any) -> bool:
    """Whether the value of a key is what the end of its name, or `error`, says."""
    if name.endswith("_at"):
        return value is None or _TIME.fullmatch(value) is not None
    if name == "error":
        return value is None or set(value) == _ERROR
    if name.endswith("_bytes"):
        return value is None or isinstance(value, int)
    return not name.endswith(("_at_s", "_ns"))


def test_the_documented_shapes_are_complete(filled: Cli) -> None:
    listed = filled.ok("ls", "demo/data", "--json").json
    assert set(listed) == documented("An artifact") | {"versions"}
    assert set(listed["latest"]) == documented("A version")
    assert documented("An error") == _ERROR
    assert {"path", "kind", "sha256", "target"} <= documented("A path")


def spoken(cli: Cli, place: Path) -> Iterator[tuple[str, list[str | Path]]]:
    """A command line of each command, in an order in which they work."""
    v0, v1 = "demo/data:v0", "demo/data:v1"
    hub = hub_repository(
        cli.directory / "hub", "datasets--me--few", {"a": b"a"}, large=frozenset(), revision="main"
    )
    lines: list[tuple[str, list[str | Path]]] = [
        ("init", ["--store", "other-store"]),
        ("put", ["data-files", "-n", "demo/more", "-r", f"refs=file://{cli.directory}/data-files"]),
        ("import", [hub, "-n", "demo/hub"]),
        ("ls", []),
        ("ls", ["demo"]),
        ("ls", ["-r", "demo"]),
        ("ls", [v1]),
        ("ls", ["-r", "demo/more:v0"]),
        ("cat", [f"{v1}/a.txt"]),
        ("get", [v0]),
        ("get", [v0, "--dry-run", "--root", "nowhere"]),
        ("diff", [v0, v1]),
        ("history", ["demo/data"]),
        ("manifest", [v0]),
        ("verify", ["--references"]),
        ("warm", [v0]),
        ("alias add", [v0, "first"]),
        ("alias rm", ["demo/data", "first"]),
        ("edit", [v0, "--tag", "old"]),
        ("copy", ["demo", "./copied"]),
        ("keys add", ["ada"]),
        ("keys ls", []),
        ("keys revoke", ["ada"]),
        ("cache info", []),
        ("cache clean", []),
        ("cache verify", []),
        ("mount", [place]),
        ("search", ["data"]),
        ("status", []),
        ("status", [place]),
        ("umount", [place]),
        ("stage", ["demo/staged", place]),
        ("commit", [place]),
        ("abort", [place, "--yes"]),
        ("staging ls", []),
        ("rm", ["other/model:v0", "--yes"]),
        ("gc", []),
        ("doctor", []),
        ("install", ["--root", cli.directory / "root"]),
        ("completion", ["bash"]),
        ("metrics", []),
        ("export", ["demo/data:v0", "--tar", "data.tar"]),
    ]
    yield from lines


def test_every_command_prints_the_shapes_that_are_documented(filled: Cli) -> None:
    place = filled.directory / "mnt"
    place.mkdir()
    said: set[str] = set()
    try:
        for name, arguments in spoken(filled, place):
            result = filled.run(*name.split(), *arguments, "--json")
            assert (result.code == 0) or name == "doctor", (name, result)
            assert list(wrong(result.json)) == [], name
            said.add(name)
    finally:
        if mounted_at(place) is not None:
            filled.run("umount", "--force", place)
    # These need a server, a broken mount or what is left of one; or have no document of their own.
    assert {name for name, _ in commands()} - said <= {
        *("run", "serve", "web"),
        *(f"staging {each}" for each in ("resume", "commit", "drop", "salvage")),
    }


def test_an_error_is_a_document_too_and_there_is_never_more_than_one(filled: Cli) -> None:
    result = filled.run("ls", "demo/date", "--json")
    error = result.json["error"]
    assert error == {
        "kind": "ArtifactNotFound",
        "message": "demo/date: no such artifact: did you mean demo/data?",
        "subject": "demo/date",
        "reason": "no such artifact",
        "hint": "did you mean demo/data?",
        "exit_code": 3,
    }
    assert (result.code, result.err) == (3, f"artfs: {error['message']}\n")
    assert filled.run("gc", "--grace", "soon", "--json").json["error"]["exit_code"] == 2
    assert filled.run("run", "--json", "no-such-command").out == ""
    for damaged in (filled.store / "packs").glob("*/*"):
        damaged.chmod(0o600)
        damaged.write_bytes(bytes(damaged.stat().st_size))
    for name in ("verify", "ls", "cat"):
        target = ["demo/data:v0/a.txt"] if name == "cat" else ["demo/data:v0"]
        result = filled.run(name, *target, "--json")
        assert result.code == 5, result
        assert list(wrong(json.loads(result.out))) == []
