"""What other tools keep on this machine becomes a version, with the digests that it had there."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from hashlib import md5
from pathlib import Path

import pytest

from artfs.manifest.wandb import manifest_digest
from tests.cli.conftest import Cli
from tests.support.foreign import (
    dvc_directory,
    fill_md5_cache,
    hub_repository,
    wandb_manifest,
    write_files,
)

LARGE = b"\0" + os.urandom(1 << 20)
FILES = {"a.txt": b"one\n", "b/c.bin": LARGE, "b/d.txt": b"two\r\nlines\r\n", "empty": b""}
DIGEST = manifest_digest(
    (path, b64encode(md5(data).digest()).decode()) for path, data in sorted(FILES.items())
)


def content(cli: Cli, target: str) -> dict[str, bytes]:
    """What a download of a version has."""
    root = cli.directory / f"out-{target.replace('/', '-')}"
    cli.ok("get", target, "--root", root)
    return {
        str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()
    }


@pytest.mark.parametrize("as_references", [False, True])
def test_a_manifest_beside_its_files_gives_a_version_of_the_same_digest(
    cli: Cli, as_references: bool
) -> None:
    source = cli.directory / "download"
    write_files(source, FILES)
    (source / "not-listed").write_text("stays out")
    (source / "wandb_manifest.json").write_text(wandb_manifest(FILES))
    options = ["--reference"] if as_references else []
    said = cli.ok("import", source, "-n", "demo/x", "--json", *options).json
    assert said["digest"] == DIGEST
    assert said["imported"]["kind"] == "wandb"
    assert said["imported"]["proven_count"] == 4
    assert said["imported"]["reference_count"] == (4 if as_references else 0)
    assert content(cli, "demo/x") == FILES
    kinds = {each["kind"] for each in cli.ok("ls", "demo/x:v0/b", "--json").json["entries"]}
    assert kinds == {"reference" if as_references else "file"}
    again = cli.ok("import", source, "-n", "demo/x", *options).out
    assert "the same content, so no new version" in again


def test_a_manifest_finds_its_blobs_in_the_cache_and_keeps_its_references(cli: Cli) -> None:
    fill_md5_cache(cli.directory / "cache" / "wandb" / "artifacts" / "obj" / "md5", FILES)
    manifest = cli.directory / "m.json"
    other = b64encode(md5(b"one\n").digest()).decode()
    references = {
        "away": {"digest": "tag", "ref": "s3://u:pw@b/k", "extra": {"etag": "tag"}, "size": 5},
        "here": {"digest": other, "ref": "wandb-artifact://1234abcd/a.txt", "size": 0},
        "lost": {
            "digest": b64encode(b"0" * 16).decode(),
            "ref": "wandb-artifact://12/a",
            "size": 0,
        },
    }
    manifest.write_text(wandb_manifest(FILES, references))
    said = cli.ok("import", manifest, "-n", "demo/x", "--json").json
    digests = {path: b64encode(md5(data).digest()).decode() for path, data in FILES.items()}
    digests |= {path: str(each["digest"]) for path, each in references.items()}
    assert said["digest"] == manifest_digest(sorted(digests.items()))
    entries = cli.ok("ls", "demo/x:v0", "--json").json["entries"]
    kinds = {each["name"]: (each["kind"], each.get("uri")) for each in entries}
    assert kinds["here"] == ("file", None)
    assert kinds["lost"] == ("reference", "wandb-artifact://12/a")
    assert kinds["away"][0] == "reference"
    assert "pw" not in str(kinds["away"][1])


@pytest.mark.parametrize("legacy", [False, True])
def test_a_directory_that_dvc_tracks_comes_from_its_cache(cli: Cli, legacy: bool) -> None:
    repository = cli.directory / "repository"
    tracked = dvc_directory(repository, "data", FILES, legacy=legacy)
    said = cli.ok("import", tracked, "-n", "demo/x", "--json").json
    assert (said["digest"], said["imported"]["kind"]) == (DIGEST, "dvc")
    assert said["imported"]["revision"].endswith(".dir")
    assert content(cli, "demo/x") == FILES
    # By the path that is tracked, though nothing is checked out; from a cache that was moved.
    (repository / ".dvc" / "cache").rename(cli.directory / "moved")
    (repository / ".dvc" / "config").write_text(
        "[core]\n    remote = r\n[cache]\n    dir = ../../moved\n"
    )
    referred = cli.ok("import", repository / "data", "-n", "demo/r", "--json", "--reference").json
    assert referred["digest"] == DIGEST
    assert content(cli, "demo/r") == FILES


def test_dvc_files_with_names_that_yaml_reads_otherwise_and_modes_are_taken(cli: Cli) -> None:
    root = cli.directory / "repository"
    files = {"on": b"x", "12345": b"tool"}
    fill_md5_cache(root / ".dvc" / "cache" / "files" / "md5", files)
    marks = {"on": "false", "12345": "true"}
    lines = [
        f"    - path: {name}\n      hash: md5\n      md5: {md5(data).hexdigest()}\n"
        f"      size: {len(data)}\n      isexec: {marks[name]}"
        for name, data in files.items()
    ]
    text = "\n".join(["schema: '2.0'", "stages:", "  make:", "    cmd: make", "    outs:", *lines])
    (root / "dvc.lock").write_text(text)
    cli.ok("import", root / "dvc.lock", "-n", "demo/x")
    entries = cli.ok("ls", "demo/x:v0", "--json").json["entries"]
    assert {each["name"]: each["executable"] for each in entries} == {"on": False, "12345": True}
    cli.ok("import", root / "12345", "-n", "demo/one")
    assert content(cli, "demo/one") == {"12345": b"tool"}


def test_a_revision_of_a_hub_cache_comes_with_its_blobs_proven(cli: Cli) -> None:
    large = frozenset({"b/c.bin"})
    source = hub_repository(
        cli.directory, "models--org--name", FILES, large=large, revision="refs/pr/1"
    )
    said = cli.ok("import", source, "-n", "demo/x", "--json").json
    commit = next((source / "snapshots").iterdir()).name
    assert (said["digest"], said["type"]) == (DIGEST, "model")
    assert said["imported"] == {
        "kind": "huggingface",
        "from": str(source),
        "revision": commit,
        "proven_count": 4,
        "reference_count": 0,
    }
    assert content(cli, "demo/x") == FILES
    for revision in ("refs/pr/1", commit, commit[:8]):
        out = cli.ok("import", source, "-n", "demo/x", "--revision", revision).out
        assert "no new version" in out
    cli.ok("import", source / "snapshots" / commit, "-n", "demo/r", "--reference")
    assert content(cli, "demo/r") == FILES
    cli.fails(3, "import", source, "-n", "demo/x", "--revision", "v9", says=["v9", "refs/pr/1"])
    cli.fails(10, "import", cli.directory, "-n", "demo/x", says="models--org--name")


@pytest.mark.parametrize("options", [(), ("--reference",)])
@pytest.mark.parametrize("kind", ["wandb", "dvc", "huggingface"])
def test_damaged_and_missing_blobs_are_counted_and_nothing_is_made(
    cli: Cli, kind: str, options: tuple[str, ...]
) -> None:
    files = {f"{number}.txt": f"file {number}\n".encode() for number in range(5)}
    if kind == "wandb":
        objects = cli.directory / "blobs"
        fill_md5_cache(objects, files)
        source = cli.directory / "m.json"
        source.write_text(wandb_manifest(files))
        options = (*options, "--cache", str(objects))
    elif kind == "dvc":
        source = dvc_directory(cli.directory, "data", files, legacy=False)
        objects = cli.directory / ".dvc" / "cache"
    else:
        source = hub_repository(
            cli.directory, "datasets--a--b", files, large=frozenset({"1.txt"}), revision="main"
        )
        objects = source / "blobs"
    blobs = {each.read_bytes(): each for each in objects.rglob("*") if each.is_file()}
    for name in ("1.txt", "3.txt"):
        blobs[files[name]].write_bytes(files[name].upper())
    arguments: tuple[str | Path, ...] = ("import", source, "-n", "demo/x", *options)
    told = cli.fails(5, *arguments, says=["'1.txt' is damaged", "first of 2 among 5 files"])
    assert str(blobs[files["1.txt"]]) in told
    blobs[files["4.txt"]].unlink()
    blobs[files["2.txt"]].unlink()
    told = cli.fails(3, *arguments, says=["'2.txt' is missing", "first of 2 among 5 files"])
    # What a manifest names may be in many places.
    assert str(cli.directory / "2.txt" if kind == "wandb" else blobs[files["2.txt"]]) in told
    cli.fails(3, *arguments, "--dry-run", says="first of 2")
    assert cli.ok("ls", "--json").json["projects"] == []


def test_a_plan_names_what_would_be_stored_and_reads_no_byte(cli: Cli) -> None:
    source = cli.directory / "download"
    references = {"away": {"digest": "tag", "ref": "s3://bucket/key", "size": 5}}
    write_files(source, FILES)
    (source / "wandb_manifest.json").write_text(wandb_manifest(FILES, references))
    arguments = ("import", source, "-n", "demo/x", "--dry-run", "--include", "a*")
    assert cli.ok(*arguments).out.splitlines() == [
        "would store a.txt",
        "would refer to s3://bucket/key as away",
        "demo/x: 1 file, 4 B",
    ]
    paths = cli.ok(*arguments, "--json").json["paths"]
    assert {each["path"]: each["kind"] for each in paths} == {"a.txt": "file", "away": "reference"}
    assert not cli.store.exists()


HOSTILE: dict[str, tuple[int, str]] = {
    "../up": (10, "not a valid path"),
    "/etc/passwd": (10, "not a valid path"),
    "a\n\x1b[31m/x/": (10, "not a valid path"),
}


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_that_lead_out_are_refused_in_every_format(cli: Cli, path: str) -> None:
    code, says = HOSTILE[path]
    manifest = cli.directory / "m.json"
    manifest.write_text(wandb_manifest({path: b"x"}))
    cli.fails(code, "import", manifest, "-n", "demo/x", says=says)
    tracked = dvc_directory(cli.directory, "data", {}, legacy=False)
    listing = json.dumps([{"md5": md5(b"x").hexdigest(), "relpath": path}]).encode()
    name = md5(listing).hexdigest()
    objects = cli.directory / ".dvc" / "cache" / "files" / "md5"
    write_files(objects, {f"{name[:2]}/{name[2:]}.dir": listing})
    tracked.write_text(f"outs:\n- {{md5: {name}.dir, hash: md5, path: data}}\n")
    cli.fails(code, "import", tracked, "-n", "demo/x", says=says)


def test_what_is_no_listing_gets_one_line(cli: Cli, tmp_path: Path) -> None:
    def fails(code: int, name: str, text: str | None, says: str) -> None:
        if text is not None:
            (tmp_path / name).write_text(text)
        cli.fails(code, "import", tmp_path / name, "-n", "demo/x", says=says)

    fails(3, "nothing", None, "no such file")
    fails(10, "m.json", "[]", "damaged")
    fails(10, "m.json", wandb_manifest({}).replace(": 1,", ": 2,"), "version 2")
    fails(10, "m.json", wandb_manifest({}, {"a": {"digest": "etag", "size": 1}}), "is the md5")
    fails(10, "x.dvc", "outs: []\n", "names nothing")
    fails(10, "x.dvc", "a: [\n", "no file of DVC's")
    fails(10, "x.dvc", "&a [*a]\n", "no file of DVC's")
    fails(10, "x.dvc", "outs: [{path: x, md5: ../../etc/passwd, hash: md5}]", "no DVC repository")
    (tmp_path / ".dvc").mkdir()
    fails(10, "x.dvc", "outs: [{path: x, md5: ../../etc/passwd, hash: md5}]", "is a digest")
    fails(12, "x.dvc", "outs: [{path: 's3://b/k', etag: abc}]", "no md5")
    fails(12, "x.dvc", "outs: [{path: x, hash: sha1, md5: abc}]", "not by md5")
    empty = tmp_path / "models--a--b"
    (empty / "snapshots").mkdir(parents=True)
    (empty / "refs").mkdir()
    cli.fails(3, "import", empty, "-n", "demo/x", says="has no snapshot")
    (empty / "snapshots" / "1234").mkdir()
    (empty / "snapshots" / "1234" / "passwd").symlink_to("/etc/passwd")
    cli.fails(10, "import", empty, "-n", "demo/x", says="does not lead to a blob")
    cli.fails(10, "import", empty, "-n", "demo/x", "--cache", tmp_path, says="--cache")
    cli.fails(10, "import", tmp_path, "-n", "demo/x", "--revision", "main", says="--revision")
