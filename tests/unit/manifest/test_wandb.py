"""The W&B manifest: text, digest and reading back."""

from __future__ import annotations

import json

import pytest

from artfs.errors import InvalidManifest
from artfs.manifest.wandb import ManifestEntry, manifest_digest, manifest_text, parse_manifest


def test_the_empty_artifact_has_the_known_digest() -> None:
    assert manifest_digest([]) == "64e7c61456b10382e2f3b571ac24b659"


def test_one_file_has_the_known_digest() -> None:
    pairs = [("file1.txt", "XUFAKrxLKna5cZ2REBfFkg==")]
    assert manifest_digest(pairs) == "a00c2239f036fb656c1dcbf9a32d89b4"


def test_a_manifest_is_read_back_sorted() -> None:
    entries = [
        ManifestEntry("b", "x", ref="http://h/b", extra={"etag": '"x"'}),
        ManifestEntry("a", "y", size_bytes=0, birth_artifact_id="QQ"),
    ]
    text = manifest_text(entries)
    assert parse_manifest(text) == sorted(entries, key=lambda entry: entry.path)
    assert list(json.loads(text)["contents"]["a"]) == ["digest", "birthArtifactID", "size"]
    assert list(json.loads(text)["contents"]["b"]) == ["digest", "ref", "extra"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "storagePolicy": "wandb-storage-policy-v1", "contents": {}}',
        '{"version": 1, "storagePolicy": "other", "contents": {}}',
        '{"version": 1, "storagePolicy": "wandb-storage-policy-v1", "contents": []}',
        '{"version": 1, "storagePolicy": "wandb-storage-policy-v1", "contents": {"a": {}}}',
        '{"version": 1, "storagePolicy": "wandb-storage-policy-v1", "contents": {"a": 1}}',
        (
            '{"version": 1, "storagePolicy": "wandb-storage-policy-v1",'
            ' "contents": {"a": {"digest": 1}}}'
        ),
        "[" * 100_000,
    ],
)
def test_a_malformed_manifest_is_one_clear_error(text: str) -> None:
    with pytest.raises(InvalidManifest):
        parse_manifest(text)
