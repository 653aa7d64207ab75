"""The W&B manifest: text and digest."""

from __future__ import annotations

import json

from artfs.manifest.wandb import ManifestEntry, manifest_digest, manifest_text


def test_the_empty_artifact_has_the_known_digest() -> None:
    assert manifest_digest([]) == "64e7c61456b10382e2f3b571ac24b659"


def test_one_file_has_the_known_digest() -> None:
    pairs = [("file1.txt", "XUFAKrxLKna5cZ2REBfFkg==")]
    assert manifest_digest(pairs) == "a00c2239f036fb656c1dcbf9a32d89b4"


def test_a_manifest_is_sorted_and_says_only_what_there_is() -> None:
    entries = [
        ManifestEntry("b", "x", ref="http://h/b", extra={"etag": '"x"'}),
        ManifestEntry("a", "y", size_bytes=0, birth_artifact_id="QQ"),
    ]
    contents = json.loads(manifest_text(entries))["contents"]
    assert list(contents.items()) == [
        ("a", {"digest": "y", "birthArtifactID": "QQ", "size": 0}),
        ("b", {"digest": "x", "ref": "http://h/b", "extra": {"etag": '"x"'}}),
    ]
    assert list(contents["a"]) == ["digest", "birthArtifactID", "size"]
    assert list(contents["b"]) == ["digest", "ref", "extra"]
