"""What put takes in of a directory, and what it does with what is said of known content."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

LEFT_OVER = ".artfs-download-0123456789abcdef"

CHECK = """
import sys, artfs
artifact = artfs.Api().artifact("demo/data:latest")
artifact.verify(sys.argv[1])
artifact.checkout(sys.argv[1])
"""


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def contents(cli: Cli, target: str = "demo/data") -> list[str]:
    return sorted(cli.ok("manifest", target).json["contents"])


def test_what_a_killed_download_left_is_never_taken_in_compared_or_pruned(cli: Cli) -> None:
    write(cli.directory / "data", {"a": "a", "b/c": "c"})
    cli.ok("put", "data", "-n", "demo/data")
    for place in (LEFT_OVER, f"b/{LEFT_OVER}"):
        write(cli.directory / "data", {f"{place}/0": "half"})
    assert not cli.ok("put", "data", "-n", "demo/data", "--json").json["created"]
    cli.ok("put", "-r", f"refs={(cli.directory / 'data').as_uri()}", "-n", "demo/refs")
    assert contents(cli, "demo/refs") == ["refs/a", "refs/b/c"]
    subprocess.run(
        [sys.executable, "-c", CHECK, "data"], env=cli.environment, cwd=cli.directory, check=True
    )
    assert (cli.directory / "data" / "b" / LEFT_OVER / "0").read_text() == "half"
    mountpoint = cli.directory / "next"
    mountpoint.mkdir()
    cli.ok("stage", "demo/data", mountpoint, "--base", "latest")
    write(mountpoint, {f"{LEFT_OVER}/0": "half"})
    cli.ok("umount", mountpoint)
    assert contents(cli) == ["a", "b/c"]


def test_the_ignore_file_counts_for_put_as_for_stage(cli: Cli) -> None:
    files = {
        ".artfsignore": "*.tmp\n/build/\n!keep.tmp\n",
        "a.tmp": "",
        "b/c.tmp": "",
        "keep.tmp": "",
    }
    write(cli.directory / "data", files | {"build/x": "", "b/build/y": "", "d": "d"})
    cli.ok("put", "data", "-n", "demo/data")
    assert contents(cli) == [".artfsignore", "b/build/y", "d", "keep.tmp"]
    cli.ok("put", "data", "-n", "demo/two", "data/d")
    assert contents(cli, "demo/two")[:2] == ["d", "data/.artfsignore"]
    assert not any(path.endswith("a.tmp") for path in contents(cli, "demo/two"))


def test_put_does_not_walk_into_mounts_of_artfs_below_and_says_so(cli: Cli) -> None:
    write(cli.directory / "data", {"a": "a"})
    cli.ok("put", "data", "-n", "demo/data")
    mountpoint = cli.directory / "data" / "deep" / "mnt"
    mountpoint.mkdir(parents=True)
    cli.ok("mount", mountpoint)
    try:
        done = cli.run("put", "data", "-n", "demo/data")
        assert done.code == 0
        assert done.err == "artfs: data/deep/mnt: left out: it is a mount of artfs\n"
        assert contents(cli) == ["a"]
        refer = f"data={(cli.directory / 'data').as_uri()}"
        done = cli.run("put", "-r", refer, "-n", "demo/refs")
        assert "data/deep/mnt: left out: it is a mount of artfs" in done.err
        assert contents(cli, "demo/refs") == ["data/a"]
        # A mount that is named is taken in.
        cli.ok("put", mountpoint / "demo/data/v0", "-n", "demo/copy")
        assert contents(cli, "demo/copy") == ["a"]
        subprocess.run(
            [sys.executable, "-c", CHECK, "data"],
            env=cli.environment,
            cwd=cli.directory,
            check=True,
        )
        assert (mountpoint / "demo/data/v0/a").read_text() == "a"
    finally:
        cli.ok("umount", mountpoint)


def test_a_description_and_metadata_of_known_content_are_set_and_named(cli: Cli) -> None:
    write(cli.directory / "data", {"a": "a"})
    first = ("put", "data", "-n", "demo/data", "--metadata", '{"n": 1}', "--description", "one")
    cli.ok(*first)
    assert cli.ok(*first, "--json").json["changed"] == []
    done = cli.ok("put", "data", "-n", "demo/data", "--metadata", '{"n": 2}', "--json").json
    assert (done["created"], done["changed"]) == (False, ["metadata"])
    assert (done["version"], done["metadata"], done["description"]) == ("v0", {"n": 2}, "one")
    out = cli.ok("put", "data", "-n", "demo/data", "--description", "two").out
    assert out.endswith("the same content, so no new version; description set\n")
    mountpoint = cli.directory / "next"
    mountpoint.mkdir()
    cli.ok("stage", "demo/data", mountpoint, "--base", "latest", "--description", "three")
    cli.ok("umount", mountpoint)
    assert cli.ok("ls", "demo/data", "--json").json["versions"][0]["description"] == "three"


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN"])
def test_json_has_only_what_json_can_say(cli: Cli, number: str) -> None:
    write(cli.directory / "data", {"a": "a"})
    cli.ok("put", "data", "-n", "demo/data", "--metadata", f'{{"loss": [{number}, 1.5]}}')

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    for command in (("ls", "demo/data", "--json"), ("history", "demo/data", "--json")):
        value = json.loads(cli.ok(*command).out, parse_constant=refuse)
        assert value
    (version,) = cli.ok("ls", "demo/data", "--json").json["versions"]
    assert version["metadata"] == {"loss": [number, 1.5]}
