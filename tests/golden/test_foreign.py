"""Entries of references to servers equal those of wandb 0.15.0.

    ARTFS_GOLDEN_PYTHON=VENV/bin/python pytest tests/golden/test_foreign.py

records them anew, with a wandb that has boto3 and google-cloud-storage beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from artfs.manifest.wandb import ManifestEntry, manifest_digest
from artfs.references.registry import References
from tests.servers.gcs import GcsEmulator
from tests.servers.nginx import Nginx
from tests.servers.seaweedfs import REGION, SeaweedFS

HERE = Path(__file__).parent
VALUES = HERE / "values" / "foreign.json"
SCRIPT = HERE.parents[1] / "scripts" / "golden" / "foreign.py"
VERSIONED = "golden-versioned"
PLAIN = "golden-plain"
TREE = {
    "top/one.txt": b"one",
    "top/sub/two.bin": b"two" * 1000,
    "top/sub/deep/three": b"3",
    "top/empty": b"",
    "single": b"single",
}

# The markers in braces stand for what is different each time.
CASES: dict[str, dict[str, Any]] = {
    "http.object": {"uri": "{http}/plain/golden.bin"},
    "http.named": {"uri": "{http}/plain/golden.bin", "name": "in/side"},
    "http.query": {"uri": "{http}/plain/golden.bin?v=1"},
    "http.no-etag": {"uri": "{http}/no-etag/golden.bin"},
    "http.no-checksum": {"uri": "{http}/plain/golden.bin", "checksum": False},
    "http.redirect": {"uri": "{http}/redirect/golden.bin"},
    "http.no-size": {"uri": "{http}/no-size/golden.bin"},
    "http.compressed": {"uri": "{http}/gzip/golden.txt"},
    "http.empty": {"uri": "{http}/plain/golden.empty"},
    "http.missing": {"uri": "{http}/plain/golden.missing"},
    "s3.object": {"uri": f"s3://{PLAIN}/single"},
    "s3.named": {"uri": f"s3://{PLAIN}/single", "name": "in/side"},
    "s3.nested": {"uri": f"s3://{PLAIN}/top/sub/two.bin"},
    "s3.prefix": {"uri": f"s3://{PLAIN}/top"},
    "s3.prefix-slash": {"uri": f"s3://{PLAIN}/top/"},
    "s3.prefix-named": {"uri": f"s3://{PLAIN}/top", "name": "in/side"},
    "s3.prefix-limit": {"uri": f"s3://{PLAIN}/top", "max_objects": 4},
    "s3.no-checksum": {"uri": f"s3://{PLAIN}/top/one.txt", "checksum": False},
    "s3.no-checksum-named": {"uri": f"s3://{PLAIN}/top", "name": "n", "checksum": False},
    "s3.parts": {"uri": f"s3://{PLAIN}/parts"},
    "s3.version-of-none": {"uri": f"s3://{PLAIN}/single?versionId=1"},
    "s3.versioned": {"uri": f"s3://{VERSIONED}/single"},
    "s3.old-version": {"uri": f"s3://{VERSIONED}/single?versionId={{old}}"},
    "s3.old-version-no-checksum": {
        "uri": f"s3://{VERSIONED}/single?versionId={{old}}",
        "checksum": False,
    },
    "s3.versioned-prefix": {"uri": f"s3://{VERSIONED}/top"},
    "gs.object": {"uri": "gs://{bucket}/golden/single"},
    "gs.named": {"uri": "gs://{bucket}/golden/single", "name": "in/side"},
    "gs.prefix": {"uri": "gs://{bucket}/golden/top"},
    "gs.prefix-named": {"uri": "gs://{bucket}/golden/top/", "name": "in/side"},
    "gs.no-checksum": {"uri": "gs://{bucket}/golden/single", "checksum": False},
    "gs.generation-of-none": {"uri": "gs://{bucket}/golden/single#1"},
}

DIVERGES: dict[str, str] = {
    # The size of what is compressed on the way is that of the content, not none at all.
    "http.compressed": "size",
    # Listed objects are pinned to their versions as well.
    "s3.versioned-prefix": "extra",
}

# Where wandb describes the present version although another one was asked for.
WRONG = {"s3.old-version"}


@pytest.fixture(scope="module")
def markers(nginx: Nginx, seaweedfs: SeaweedFS, gcs: GcsEmulator) -> dict[str, str]:
    """Fill the servers; what the markers of this run stand for."""
    nginx.write("golden.bin", b"golden" * 1000)
    nginx.write("golden.txt", b"line of text\n" * 1000)
    nginx.write("golden.empty", b"")
    client = seaweedfs.client()
    for bucket in (PLAIN, VERSIONED):
        client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket=VERSIONED, Key="single", Body=b"old")["VersionId"]
    for key, data in TREE.items():
        for bucket in (PLAIN, VERSIONED):
            client.put_object(Bucket=bucket, Key=key, Body=data)
        gcs.put(f"golden/{key}", data)
    upload = client.create_multipart_upload(Bucket=PLAIN, Key="parts")["UploadId"]
    part = {"Bucket": PLAIN, "Key": "parts", "UploadId": upload}
    etag = client.upload_part(PartNumber=1, Body=b"part" * 1000, **part)["ETag"]  # type: ignore[arg-type]
    client.complete_multipart_upload(
        MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]},
        **part,  # type: ignore[arg-type]
    )
    return {"{http}": nginx.url, "{bucket}": gcs.bucket, "{old}": old}


@pytest.fixture(scope="module")
def environment(seaweedfs: SeaweedFS) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": seaweedfs.endpoint_url,
        "AWS_S3_ENDPOINT_URL": seaweedfs.endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


@pytest.fixture(scope="module")
def recorded(markers: dict[str, str], environment: dict[str, str]) -> dict[str, Any]:
    """What wandb makes of the cases: from the fixture, or asked anew."""
    python = os.environ.get("ARTFS_GOLDEN_PYTHON")
    if python:
        done = subprocess.run(
            [python, "-W", "ignore", SCRIPT],
            input=json.dumps([arguments(name, markers) for name in CASES]),
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=300,
        )
        answers = [normal(answer, markers) for answer in json.loads(done.stdout)]
        found = dict(zip(CASES, answers, strict=True))
        VALUES.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    values: dict[str, Any] = json.loads(VALUES.read_text())
    return values


def arguments(name: str, markers: dict[str, str]) -> dict[str, Any]:
    """The arguments of a case, with what its markers stand for."""
    uri = CASES[name]["uri"]
    for marker, text in markers.items():
        uri = uri.replace(marker, text)
    return {**CASES[name], "uri": uri}


def normal(answer: dict[str, Any], markers: dict[str, str]) -> dict[str, Any]:
    """An answer without what is different each time."""
    text = json.dumps(answer)
    for marker, found in markers.items():
        text = text.replace(found, marker)
    value: dict[str, Any] = json.loads(text)
    for entry in value.get("contents", {}).values():
        if "versionID" in entry.get("extra", {}):
            entry["extra"]["versionID"] = f"<{type(entry['extra']['versionID']).__name__}>"
    if "{http}" in text:
        # The digest holds the port.
        value.pop("digest", None)
    return value


@pytest.mark.parametrize("name", CASES)
def test_a_reference_has_the_entries_that_wandb_gives_it(
    name: str,
    recorded: dict[str, Any],
    markers: dict[str, str],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, text in environment.items():
        monkeypatch.setenv(variable, text)
    expected = recorded[name]
    given = arguments(name, markers)
    uri = given.pop("uri")
    references = References()
    if "error" in expected:
        with pytest.raises(Exception) as caught:
            list(references.describe(uri, **given))
        # At least where a ValueError is promised it is one.
        assert isinstance(caught.value, ValueError) == ("ValueError" in expected["error"])
        return
    entries = [
        ManifestEntry(
            path, entry.digest, ref=entry.uri, size_bytes=entry.size_bytes, extra=entry.extra
        )
        for path, entry in references.describe(uri, **given)
        if entry.digest  # empty objects of S3 are in no manifest of W&B
    ]
    entries.sort(key=lambda entry: entry.path)
    answer = normal(
        {
            "contents": {entry.path: entry.to_json() for entry in entries},
            "digest": manifest_digest((entry.path, entry.digest) for entry in entries),
        },
        markers,
    )
    if name in WRONG:
        assert answer != expected
        return
    field = DIVERGES.get(name)
    if field is not None:
        for value in (answer, expected):
            for entry in value["contents"].values():
                entry.pop(field, None)
    assert answer == expected
