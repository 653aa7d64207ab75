"""References to odd buckets on the command line: what cannot be read, or cannot be a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.testing.seaweedfs import ENVIRONMENT, REGION
from tests.cli.conftest import Cli
from tests.servers.lyings3 import BUCKET, LyingS3, Refusal, lying_s3


@pytest.fixture
def server(cli: Cli) -> Iterator[LyingS3]:
    with lying_s3() as server:
        cli.environment |= ENVIRONMENT
        cli.environment |= {"AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": REGION}
        yield server


def test_what_is_in_an_archive_is_told_by_its_head_and_by_whoever_reads_it(
    cli: Cli, server: LyingS3, tmp_path: Path
) -> None:
    archived = {
        "asleep": {"x_amz_storage_class": "GLACIER"},
        "waking": {
            "x_amz_storage_class": "DEEP_ARCHIVE",
            "x_amz_restore": 'ongoing-request="true"',
        },
        "tier": {"x_amz_archive_status": "ARCHIVE_ACCESS"},
    }
    readable = {
        "awake": {
            "x_amz_storage_class": "GLACIER",
            "x_amz_restore": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"',
        },
        "instant": {"x_amz_storage_class": "GLACIER_IR"},
    }
    for name, headers in {**archived, **readable}.items():
        server.put(name, name.encode(), **headers)
    assert cli.run("put", "-n", "p/a", "-r", f"s3://{BUCKET}").code == 0
    done = cli.run("verify", "p/a", "--references", "--json")
    assert done.code == 7
    found = done.json["sources"]["findings"]
    assert {each["path"]: each["state"] for each in found} == dict.fromkeys(archived, "archived")
    reasons = {each["path"]: each["reason"] for each in found}
    assert reasons["asleep"] == "archived in GLACIER"
    assert reasons["waking"] == "archived in DEEP_ARCHIVE, and being restored"
    server.refuse = lambda _, key: (
        Refusal(403, "InvalidObjectState", more={"StorageClass": "GLACIER"})
        if key == "asleep"
        else None
    )
    cli.fails(
        7, "get", "p/a", "--root", tmp_path / "out", says=("archived in GLACIER", "restore it")
    )


def test_markers_and_empty_objects_become_directories_and_files(
    cli: Cli, server: LyingS3, tmp_path: Path
) -> None:
    for key, data in (
        ("dir/", b""),
        ("dir/a", b"content"),
        ("dir/__init__.py", b""),
        ("dir/nothing/", b""),
    ):
        server.put(key, data)
    done = cli.run("put", "-n", "p/a", "-r", f"s3://{BUCKET}/dir/")
    assert "p/a:v0: 2 files" in done.out
    assert "1 empty object" in done.err
    assert cli.run("get", "p/a", "--root", tmp_path / "out").code == 0
    assert (tmp_path / "out/__init__.py").read_bytes() == b""
    assert (tmp_path / "out/nothing").is_dir()
    # W&B would have made a manifest without them.
    manifest = cli.run("manifest", "p/a").json
    assert list(manifest["contents"]) == ["a"]
    server.put("other/a", b"content")
    alone = cli.run("put", "-n", "p/b", "-r", f"s3://{BUCKET}/other", "--json").json
    assert (
        cli.run("put", "-n", "p/c", "-r", f"s3://{BUCKET}/dir", "--json").json["digest"]
        == (alone["digest"])
    )


def test_a_prefix_without_objects_makes_no_version(cli: Cli, server: LyingS3) -> None:
    server.put("dir/", b"")
    for uri in (f"s3://{BUCKET}/dir/", f"s3://{BUCKET}/nothing"):
        cli.fails(10, "put", "-n", "p/a", "-r", uri, says="there is no object of this name")
    assert cli.run("ls", "p/a").code == 3


def test_keys_that_cannot_be_paths_are_one_line_or_are_skipped_by_name(
    cli: Cli, server: LyingS3
) -> None:
    for key in ("good", "a//b", "x/../y"):
        server.put(f"top/{key}", b"content")
    uri = f"s3://{BUCKET}/top"
    cli.fails(10, "put", "-n", "p/a", "-r", uri, says=("a//b", "1 more", "--skip-invalid"))
    assert cli.run("ls", "p/a").code == 3
    done = cli.run("put", "-n", "p/a", "-r", uri, "--skip-invalid")
    assert done.code == 0
    assert "left out 2 keys" in done.out
    assert "'top/a//b'" in done.out
    value = cli.run("put", "-n", "p/a", "-r", uri, "--skip-invalid", "--json").json
    assert [each["key"] for each in value["skipped"]] == ["top/a//b", "top/x/../y"]
