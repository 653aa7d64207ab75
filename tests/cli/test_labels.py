"""What is said of versions is changed, several are deleted, lists are of a type or of all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `many` says, to be copied."""
    cli = Cli(tmp_path_factory.mktemp("many"))
    for number in range(5):
        (cli.directory / "file").write_text(str(number))
        cli.ok("put", cli.directory / "file", "-n", "demo/a")
    cli.ok("alias", "add", "demo/a:v1", "good")
    cli.ok("put", cli.directory / "file", "-n", "demo/ab", "--tag", "new", "--ttl", "2d")
    cli.ok("put", cli.directory / "file", "-n", "other/model", "-t", "model")
    return cli.directory


@pytest.fixture
def many(tmp_path: Path, stored: Path) -> Cli:
    """demo/a with v0 … v4 (v1 is good), demo/ab and other/model, a model, with v0."""
    shutil.copytree(stored, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Cli(tmp_path)


def test_what_is_said_of_a_version_is_edited_and_the_rest_stays(many: Cli) -> None:
    assert many.ok("ls", "demo/ab", "--json").json["latest"]["ttl_s"] == 172_800
    edited = many.ok(
        *("edit", "demo/a/v3", "--description", "a text", "--metadata", '{"a": 1, "b": 2}'),
        *("--tag", "checked", "--ttl", "1h", "--json"),
    ).json["versions"]
    assert edited[0]["changed"] == ["metadata", "tags", "description", "ttl_s"]
    said = many.ok("edit", "demo/a:v3", "--metadata", '{"b": 3}', "--unset", "a", "--ttl", "none")
    assert said.out == "demo/a:v3: metadata and time to live set\n"
    found = many.ok("history", "demo/a:v3", "--json").json[0]
    assert (found["metadata"], found["tags"]) == ({"b": 3}, ["checked"])
    assert (found["description"], found["ttl_s"]) == ("a text", None)
    again = many.ok("edit", "demo/a:v3", "demo/a:v2", "--tag", "checked").out
    assert again == "demo/a:v3: nothing changed\ndemo/a:v2: tags set\n"
    many.fails(10, "edit", "demo/a:v2", "demo/a:v3", "--untag", "new", says="has no such tag")
    many.fails(10, "edit", "demo/a:v2", "--tag", "a/b", says="tag 'a/b'")
    many.fails(10, "edit", "demo/a:v2", says="says nothing to change")
    for time in ("soon", "0"):
        many.fails(2, "edit", "demo/a:v2", "--ttl", time, says=f"'{time}'")


def test_several_versions_are_deleted_or_none(many: Cli) -> None:
    many.fails(3, "rm", "demo/a:v0", "demo/a:v9", "--yes", says="no such version")
    many.fails(4, "rm", "demo/a:v0", "demo/a:v1", "--yes", says="has 1 alias (good)")
    many.fails(3, "rm", "demo/a:v0", "demo/z*", "--yes", says="nothing matches")
    many.fails(10, "rm", "demo/*", says="cannot ask")
    assert many.ok("ls", "demo/a", "--json").json["version_count"] == 5
    plan = many.run("rm", "demo/a:v[0-2]", "demo/ab", "--dry-run")
    assert plan.out.splitlines() == [
        "Would delete demo/a:v2",
        "Would delete demo/a:v0",
        "Would delete demo/ab",
    ]
    assert plan.err == "artfs: demo/a:v1: kept: has 1 alias (good); `--aliases` deletes it\n"
    done = many.run("rm", "demo/a/v[0-2]", "demo/ab", "--yes", "--json").json
    assert done == {
        "deleted": ["demo/a:v2", "demo/a:v0", "demo/ab"],
        "kept": ["demo/a:v1"],
        "dry_run": False,
    }
    assert [each["version"] for each in many.ok("ls", "demo/a", "--json").json["versions"]] == [
        "v4",
        "v3",
        "v1",
    ]


def test_the_newest_versions_are_kept_where_they_are_asked_for(many: Cli) -> None:
    many.fails(10, "rm", "demo/a:v1", "--keep-last", "2", says="names a version")
    assert many.run("rm", "*/*", "--keep-last", "2", "--yes", "--json").json["deleted"] == [
        "demo/a:v2",
        "demo/a:v0",
    ]
    assert many.run("rm", "demo/a", "--keep-last", "2", "--aliases", "-y").out.count("Deleted") == 1
    assert many.ok("rm", "demo/a", "--keep-last", "2", "--yes").out == "Nothing to delete\n"


def test_lists_are_of_one_type_and_of_all_below(many: Cli) -> None:
    assert [each["path"] for each in many.ok("ls", "-t", "model", "--json").json["artifacts"]] == [
        "other/model"
    ]
    assert len(many.ok("ls", "-r").out.splitlines()) == 4
    assert many.ok("ls", "demo", "-t", "model").out.count("\n") == 1
    rows = many.ok("ls", "-r", "demo").out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [
        *(f"demo/a:v{number}" for number in (4, 3, 2, 1, 0)),
        "demo/ab:v0",
    ]
    assert "file" in many.ok("ls", "-lr", "demo/a:v0").out
    many.fails(10, "ls", "demo/a", "-t", "model", says="is one artifact")
