"""One address that every command takes, and what is named where somebody is nearly right."""

from __future__ import annotations

from pathlib import Path

import pytest

from artfs.cli.app import COMMANDS
from artfs.cli.forgiving import meant_command
from tests.cli.conftest import Cli


def test_commands_take_a_version_in_all_its_spellings(filled: Cli) -> None:
    expected = filled.ok("ls", "demo/data:v1").out
    for version in ("demo/data/v1", "tester/demo/data:v1", "tester/demo/data/best/"):
        assert filled.ok("ls", version).out == expected
    version = "demo/data/best"
    assert filled.ok("verify", version, "--json").json["versions"] == 1
    assert filled.ok("diff", version, "demo/data/latest", "--json").json["changes"] == []
    assert filled.ok("history", version, "--json").json[0]["path"] == "demo/data:v1"
    assert filled.ok("manifest", version).out.startswith("{")
    assert "demo/data:v1: " in filled.ok("alias", "add", version, "good").out
    assert filled.ok("get", version, "--root", "out").code == 0


def test_a_path_in_a_version_is_written_with_slashes_alone(filled: Cli) -> None:
    assert filled.ok("ls", "demo/data/latest/sub/").out == "run.sh\n"
    assert filled.ok("warm", "demo/data/latest/*.txt", "--json").json["files"] == 2
    line = filled.fails(10, "manifest", "demo/data/v0/sub", says="names a path in a version")
    assert line.endswith("write tester/demo/data:v0\n")


def test_an_entity_that_is_a_project_too_hides_nothing(filled: Cli) -> None:
    filled.ok("put", "data-files/a.txt", "-n", "tester/data")
    assert filled.ok("ls", "tester/data/v0").out == "a.txt\n"
    assert filled.ok("history", "tester/demo/data", "--json").json[0]["path"] == "demo/data:v1"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ls", "demo/date"), "demo/date: no such artifact: did you mean demo/data?"),
        (("get", "dmeo/data"), "did you mean demo/data?"),
        (("get", "data/demo"), "did you mean demo/data?"),
        (("get", "demo/model"), "did you mean other/model?"),
        (("ls", "demoo"), "demoo: there is no such project: did you mean demo?"),
        (("ls", "demo/data:bset"), "no such alias: did you mean demo/data:best?"),
        (("ls", "demo/data:1"), "did you mean demo/data:v1?"),
        (("ls", "demo/data:v7"), "the newest is v1"),
        (("ls", "team/demo/data"), "belongs to the entity 'tester': did you mean demo/data?"),
        (("mount", "demo/flowrs", "mnt"), "no such artifact"),
        (("mount", "demo/dat", "mnt"), "did you mean demo/data?"),
    ],
)
def test_what_is_nearly_right_is_named(filled: Cli, arguments: tuple[str, ...], says: str) -> None:
    (filled.directory / "mnt").mkdir()
    filled.fails(3, *arguments, says=says)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("unmount", "umount"), ("list", "ls"), ("log", "history"), ("mout", "mount")),
        *(("remove", "rm"), ("upload", "put"), ("Mount", "mount"), ("stauts", "status")),
    ],
)
def test_a_command_of_another_name_is_found(word: str, meant: str) -> None:
    assert meant_command(word, COMMANDS) == meant


def test_a_command_that_is_like_none_is_only_refused(cli: Cli) -> None:
    assert meant_command("zzz", COMMANDS) is None
    line = cli.fails(2, "mout", says="no such command 'mout': did you mean `artfs mount`?")
    assert line.endswith(" See `artfs --help`\n")
    cli.fails(2, "alias", "remove", says="did you mean `artfs alias rm`?")


def test_arguments_that_are_the_other_way_round_are_recognised(filled: Cli) -> None:
    (filled.directory / "mnt").mkdir()
    for place in ("./mnt", "mnt", str(filled.directory / "mnt")):
        said = f"write `artfs mount demo/data {place}`"
        filled.fails(10, "mount", place, "demo/data", says=said)
    said = "'demo/data' is no directory: did you mean `artfs mount demo/data ./DIRECTORY`?"
    filled.fails(2, "mount", "demo/data", says=said)
    filled.fails(10, "stage", "./mnt", "demo/data", says="write `artfs stage demo/data ./mnt`")
    for command in ("add", "rm"):
        said = f"write `artfs alias {command} demo/data best`"
        filled.fails(10, "alias", command, "best", "demo/data", says=said)
    said = "write `artfs put ./data-files -n demo/data`"
    filled.fails(10, "put", "-n", "./data-files", "demo/data", says=said)
    said = "did you mean `artfs put ./data-files -n demo/data`? See `artfs put --help`"
    filled.fails(2, "put", "./data-files", "demo/data", says=said)


def test_scripts_take_all_spellings_too(filled: Cli, tmp_path: Path) -> None:
    script = tmp_path / "spellings.py"
    script.write_text(
        "import artfs\n"
        "api = artfs.Api()\n"
        "print(api.artifact('demo/data/v1').version, api.artifact_exists('demo/data/best'))\n"
        "print(api.artifact_collection('dataset', 'demo/data/').name)\n"
        "for wrong in (lambda: api.artifact('demo/date'), lambda: api.artifact('demo/data/bset'),\n"
        "              lambda: api.artifacts('demo/data', 'dataset')):\n"
        "    try:\n"
        "        wrong()\n"
        "    except ValueError as error:\n"
        "        print(error.hint)\n"
    )
    assert filled.script(script).splitlines() == [
        "v1 True",
        "data",
        "did you mean demo/data?",
        "did you mean demo/data:best?",
        "the type comes first: did you mean ('dataset', 'demo/data')?",
    ]
