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
