"""Every command as a user runs it: what it prints for people, and its JSON."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.support.disks import small_disk

__all__ = ["small_disk"]


def rows(text: str) -> list[list[str]]:
    """The cells of a printed table, without its header."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()[1:]]


def test_put_prints_the_new_version(cli: Cli) -> None:
    (cli.directory / "one.txt").write_text("one")
    assert cli.ok("put", "one.txt", "-n", "p/a").out == "p/a:v0: 1 file, 3 B\n"
    again = cli.ok("put", "one.txt", "-n", "p/a")
    assert again.out == "p/a:v0: 1 file, 3 B: the same content, so no new version\n"


def test_put_in_json_says_everything_of_the_version(cli: Cli) -> None:
    (cli.directory / "one.txt").write_text("one")
    arguments = ["put", "one.txt", "-n", "p/a", "-t", "model", "-a", "best", "-a", "ok"]
    value = cli.ok(*arguments, "--description", "d", "--metadata", '{"k": [1]}', "--json").json
    assert value["path"] == "p/a:v0"
    assert value["created"] is True
    assert value["type"] == "model"
    assert value["aliases"] == ["best", "latest", "ok"]
    assert value["description"] == "d"
    assert value["metadata"] == {"k": [1]}
    assert value["size_bytes"] == 3
    assert value["file_count"] == 1
    assert cli.ok("put", "one.txt", "-n", "p/a", "--json").json["created"] is False


def test_put_takes_metadata_from_a_file(cli: Cli) -> None:
    (cli.directory / "one.txt").write_text("one")
    (cli.directory / "meta.json").write_text('{"from": "file"}')
    value = cli.ok("put", "one.txt", "-n", "p/a", "--metadata", "@meta.json", "--json").json
    assert value["metadata"] == {"from": "file"}


def test_put_of_several_paths_keeps_their_names(cli: Cli) -> None:
    (cli.directory / "dir").mkdir()
    (cli.directory / "dir" / "in.txt").write_text("in")
    (cli.directory / "one.txt").write_text("one")
    cli.ok("put", "dir", "one.txt", "-n", "p/a")
    assert cli.ok("ls", "p/a:v0").out == "dir/\none.txt\n"
    assert cli.ok("ls", "p/a:v0/dir").out == "in.txt\n"


def test_put_links_large_files_where_asked(cli: Cli) -> None:
    large = cli.directory / "large.bin"
    large.write_bytes(os.urandom(2 * 1024 * 1024))
    cli.ok("put", large, "-n", "p/a", "--link")
    assert large.stat().st_nlink == 2
    assert large.stat().st_mode & 0o222 == 0


def test_get_writes_the_version_back(filled: Cli) -> None:
    out = filled.ok("get", "demo/data:v0", "--root", "copy").out
    assert out == "demo/data:v0: 3 files, 4.9 KiB in copy\n"
    copy = filled.directory / "copy"
    assert (copy / "a.txt").read_text() == "alpha\n"
    assert (copy / "b.bin").read_bytes() == b"\0" * 5000
    assert (copy / "link").readlink() == Path("a.txt")
    assert os.access(copy / "sub" / "run.sh", os.X_OK)
    # A second one mends what is wrong.
    (copy / "a.txt").write_text("damaged")
    filled.ok("get", "demo/data:v0", "--root", "copy")
    assert (copy / "a.txt").read_text() == "alpha\n"


def test_get_has_a_default_place_and_json(filled: Cli) -> None:
    value = filled.ok("get", "demo/data", "--json").json
    assert value["path"] == "demo/data:v1"
    assert value["root"] == str(filled.directory / "artifacts" / "data:v1")
    assert (filled.directory / "artifacts" / "data:v1" / "new.txt").read_text() == "new\n"


def test_get_links_large_files_where_asked(cli: Cli) -> None:
    data = cli.directory / "data"
    data.mkdir()
    (data / "large.bin").write_bytes(os.urandom(2 * 1024 * 1024))
    (data / "small").write_text("small")
    cli.ok("put", data, "-n", "p/a")
    out = cli.ok("download", "p/a", "--root", "copy", "--link").out
    assert out == "p/a:v0: 2 files, 2.0 MiB in copy (1 linked)\n"
    copy = cli.directory / "copy"
    assert (copy / "large.bin").stat().st_nlink == 2
    assert (copy / "large.bin").stat().st_mode & 0o222 == 0
    assert (copy / "small").stat().st_nlink == 1
    again = cli.ok("get", "p/a", "--root", "copy", "--link", "--json").json
    assert again["files"] == {"kept": 2, "linked": 0, "reflinked": 0, "copied": 0}


def test_get_says_once_what_could_not_be_linked(cli: Cli, small_disk: Path) -> None:
    data = cli.directory / "data"
    data.mkdir()
    for name in ("one", "two"):
        (data / name).write_bytes(os.urandom(2 * 1024 * 1024))
    cli.ok("put", data, "-n", "p/a")
    result = cli.run("get", "p/a", "--root", small_disk / "copy", "--link", "--json")
    assert result.code == 0
    assert result.json["files"] == {"kept": 0, "linked": 0, "reflinked": 0, "copied": 2}
    assert result.err == (
        "2 large files were copied in place of being hard-linked: "
        "the store is on another file system\n"
    )


def test_ls_lists_projects(filled: Cli) -> None:
    out = filled.ok("ls").out
    assert out.splitlines()[0].split() == ["PROJECT", "ARTIFACTS", "AGE"]
    assert [row[:2] for row in rows(out)] == [["demo", "1"], ["other", "1"]]
    value = filled.ok("ls", "--json").json
    assert [project["name"] for project in value["projects"]] == ["demo", "other"]
    assert value["store"] == str(filled.store)


def test_ls_lists_artifacts_with_their_latest_version(filled: Cli) -> None:
    (row,) = rows(filled.ok("ls", "demo").out)
    assert row[:5] == ["demo/data", "dataset", "v1", "3", "33 B"]
    assert row[6] == "best, latest"
    (value,) = filled.ok("ls", "demo", "--json").json["artifacts"]
    assert value["path"] == "demo/data"
    assert value["latest"]["version"] == "v1"
    assert value["latest"]["aliases"] == ["best", "latest"]
    assert value["version_count"] == 2


def test_ls_lists_versions_newest_first(filled: Cli) -> None:
    found = rows(filled.ok("ls", "demo/data").out)
    assert [row[0] for row in found] == ["v1", "v0"]
    assert found[0][-1] == "best, latest"
    value = filled.ok("ls", "demo/data", "--json").json
    assert [version["version"] for version in value["versions"]] == ["v1", "v0"]
    assert [row[4] for row in found] == [version["digest"] for version in value["versions"]]


def test_ls_lists_files(filled: Cli) -> None:
    assert filled.ok("ls", "demo/data:v0").out == "a.txt\nb.bin\nlink\nsub/\n"
    assert filled.ok("ls", "demo/data:best/sub").out == "run.sh\n"
    assert filled.ok("ls", "demo/data:best/sub/run.sh").out == "run.sh\n"
    assert filled.ok("ls", "tester/demo/data:v0/sub/").out == "run.sh\n"


def test_ls_in_long_form_is_like_ls(filled: Cli) -> None:
    found = rows(filled.ok("ls", "-l", "demo/data:v0").out)
    assert [row[0] for row in found] == ["-rw-r--r--", "-rw-r--r--", "lrwxrwxrwx", "drwxr-xr-x"]
    assert [row[-1] for row in found] == ["a.txt", "b.bin", "link -> a.txt", "sub/"]
    assert rows(filled.ok("ls", "-l", "demo/data:v0/sub").out)[0][0] == "-rwxr-xr-x"
    with_digest = rows(filled.ok("ls", "--digest", "demo/data:v0").out)
    assert with_digest[0][3] == "n5+Q2+Pl7hIYyGuIOdsZlQ=="


def test_ls_of_files_in_json_says_what_each_is(filled: Cli) -> None:
    entries = filled.ok("ls", "demo/data:v0", "--json").json["entries"]
    assert [entry["kind"] for entry in entries] == ["file", "file", "symlink", "directory"]
    assert entries[0]["size_bytes"] == 6
    assert entries[2]["target"] == "a.txt"
    assert entries[3]["file_count"] == 1


def test_an_empty_store_says_how_to_fill_it(cli: Cli) -> None:
    (cli.directory / "one.txt").write_text("one")
    cli.ok("put", "one.txt", "-n", "p/a")
    cli.ok("rm", "p/a", "--yes")
    assert rows(cli.ok("ls", "p").out) == []


def test_aliases_are_given_moved_and_taken_away(filled: Cli) -> None:
    out = filled.ok("alias", "add", "demo/data:v0", "best", "old").out
    assert out == "demo/data:v0: best, old\n"
    assert rows(filled.ok("ls", "demo/data").out)[0][-1] == "latest"
    value = filled.ok("alias", "add", "demo/data:v1", "best", "--json").json
    assert value["aliases"] == ["best", "latest"]
    assert filled.ok("alias", "rm", "demo/data", "old").out == "demo/data:v0: no longer old\n"
    removed = filled.ok("alias", "rm", "demo/data", "best", "--json").json
    assert removed == {"removed": [{"alias": "best", "version": "demo/data:v1"}]}
    filled.fails(3, "ls", "demo/data:best")


def test_rm_deletes_a_version_and_its_number_is_not_used_again(filled: Cli) -> None:
    filled.fails(4, "rm", "demo/data:v1", "--yes", says=["best", "--aliases"])
    out = filled.ok("rm", "demo/data:v1", "--yes", "--aliases").out
    assert out == "Deleted demo/data:v1; `artfs gc` frees its space\n"
    assert filled.ok("ls", "demo/data:latest", "--json").json["version"] == "demo/data:v0"
    (filled.directory / "x").write_text("x")
    assert filled.ok("put", "x", "-n", "demo/data", "--json").json["version"] == "v2"


def test_rm_deletes_an_artifact(filled: Cli) -> None:
    assert filled.ok("rm", "demo/data", "--yes", "--json").json["deleted"] == ["demo/data"]
    filled.fails(3, "ls", "demo/data")
    filled.ok("ls", "other/model")


def test_rm_does_not_delete_what_it_cannot_ask_about(filled: Cli) -> None:
    filled.fails(10, "rm", "other/model:v0", says="--yes")
    filled.ok("ls", "other/model:v0")


def test_diff_shows_what_changed(filled: Cli) -> None:
    out = filled.ok("diff", "demo/data:v0", "demo/data:v1").out
    assert out.splitlines() == [
        "M a.txt  6 B → 8 B",
        "D b.bin  4.9 KiB",
        "A new.txt  4 B",
        "1 added, 1 removed, 1 modified from demo/data:v0 to demo/data:v1",
    ]
    value = filled.ok("diff", "demo/data:v0", "demo/data:latest", "--json").json
    assert [(change["kind"], change["path"]) for change in value["changes"]] == [
        ("modified", "a.txt"),
        ("removed", "b.bin"),
        ("added", "new.txt"),
    ]
    assert value["changes"][1]["after"] is None
    same = filled.ok("diff", "demo/data:v1", "demo/data:best").out
    assert same == "demo/data:v1 and demo/data:v1 have the same content\n"


def test_history_shows_runs(filled: Cli) -> None:
    script = filled.directory / "script.py"
    script.write_text(
        "import artfs\n"
        "with artfs.init(project='demo', job_type='train') as run:\n"
        "    run.use_artifact('data:v0')\n"
        "    artifact = artfs.Artifact('made', type='model')\n"
        "    artifact.add_file('script.py')\n"
        "    run.log_artifact(artifact).wait()\n"
        "    print(run.name)\n"
    )
    name = filled.script(script)
    found = rows(filled.ok("history", "demo/data").out)
    assert [row[0] for row in found] == ["v1", "v0"]
    assert found[1][4:6] == ["-", name]
    (made,) = filled.ok("history", "demo/made", "--json").json
    assert made["made_by"]["name"] == name
    assert made["made_by"]["job_type"] == "train"
    assert made["used_by"] == []
    filled.environment["ARTFS_RUN_ID"] = made["made_by"]["id"]
    filled.ok("put", "script.py", "-n", "demo/by-hand")
    (by_hand,) = filled.ok("history", "demo/by-hand", "--json").json
    assert by_hand["made_by"]["name"] == name
    assert len(rows(filled.ok("history", "-n", "1", "demo/data").out)) == 1


def test_manifest_is_that_of_wandb(filled: Cli) -> None:
    value = filled.ok("manifest", "demo/data:v0").json
    assert value["version"] == 1
    assert list(value["contents"]) == ["a.txt", "b.bin", "sub/run.sh"]
    assert value["contents"]["a.txt"] == {"digest": "n5+Q2+Pl7hIYyGuIOdsZlQ==", "size": 6}
    assert filled.ok("manifest", "demo/data:v0", "--json").json == value


def test_verify_reads_everything(filled: Cli) -> None:
    out = filled.ok("verify").out
    assert out == "3 versions, 7 files, 5 blobs of 4.9 KiB read: all right\n"
    value = filled.ok("verify", "demo/data:v0", "--json").json
    assert value["ok"] is True
    assert value["versions"] == 1
    assert value["blobs"] == 3
    assert value["damages"] == []


def test_verify_sets_damaged_content_aside_and_put_heals_it(cli: Cli) -> None:
    source = cli.directory / "source"
    source.mkdir()
    (source / "small").write_bytes(b"small" * 100)
    (source / "large").write_bytes(os.urandom(2**21))
    cli.ok("put", source, "-n", "demo/data")
    [blob] = (cli.store / "blobs").glob("*/*")
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(bytes(100))
    damaged = cli.run("verify")
    assert damaged.code == 5
    assert "to heal it: `artfs verify --quarantine`, then `artfs put`" in damaged.out
    aside = cli.run("verify", "--quarantine", "--json")
    assert aside.code == 5
    assert aside.json["quarantine"]["files"] == [str(cli.store / "damaged" / digest_of(blob))]
    findings = cli.run("doctor", "--json").json["findings"]
    assert {"missing-object", "set-aside"} <= {finding["kind"] for finding in findings}
    assert "same content" in cli.ok("put", source, "-n", "demo/data").out
    assert "all right" in cli.ok("verify").out


def digest_of(blob: Path) -> str:
    return blob.parent.name + blob.name


def test_status_counts_what_the_store_holds(filled: Cli) -> None:
    lines = filled.ok("status").out.splitlines()
    assert lines[0] == f"Store {filled.store}, entity tester"
    assert lines[1].startswith("2 projects, 2 artifacts, 3 versions, ")
    value = filled.ok("status", "--json").json
    assert value["store"]["versions"] == 3


def test_status_without_a_store_still_shows_mounts(cli: Cli) -> None:
    assert cli.ok("status", "--json").json["store"] is None
    result = cli.run("status")
    assert result.code == 0
    assert "there is no store here" in result.err


def test_the_store_comes_from_the_option_the_variable_or_the_configuration(filled: Cli) -> None:
    other = filled.directory / "other-store"
    (filled.directory / "x").write_text("x")
    filled.ok("put", "x", "-n", "there/x", "--store", other)
    assert filled.ok("ls", "--store", other, "--json").json["store"] == str(other)
    environment = {"ARTFS_STORE": str(other)}
    assert json.loads(filled.run("ls", "--json", env=environment).out)["store"] == str(other)
    config = filled.directory / "config" / "artfs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'store = "{other}"\nproject = "there"\n')
    del filled.environment["ARTFS_STORE"]
    assert filled.ok("ls", "--json").json["store"] == str(other)
    assert filled.ok("ls", "x:v0").out == "x\n"


def _findings(cli: Cli) -> dict[str, Any]:
    value = cli.ok("doctor", "--json").json
    assert value["ok"] is True
    # Other tests, and other people, mount as well.
    return {
        finding["kind"]: finding for finding in value["findings"] if finding["kind"] != "dead-mount"
    }


def test_doctor_finds_nothing_in_a_good_store(filled: Cli) -> None:
    assert filled.ok("doctor").out.splitlines()[-1] == "No problem found"
    assert _findings(filled) == {}


@pytest.mark.parametrize("command", [("ls",), ("verify",), ("doctor",), ("status",), ("gc",)])
def test_json_is_one_document(filled: Cli, command: tuple[str, ...]) -> None:
    assert isinstance(filled.ok(*command, "--json").json, dict)
