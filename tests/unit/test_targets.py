"""One grammar of targets, in all the ways in which people write them."""

from __future__ import annotations

import pytest

from artfs.errors import InvalidName
from artfs.targets import ArtifactPath, parse_artifact_path, project_of, readings

DIGEST = "64e7c61456b10382e2f3b571ac24b659"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits", ArtifactPath(None, None, "digits", None)),
        ("demo/digits:latest", ArtifactPath(None, "demo", "digits", "latest")),
        ("me/demo/digits:v12", ArtifactPath("me", "demo", "digits", "v12")),
        ("demo/a.b-c_d:" + DIGEST, ArtifactPath(None, "demo", "a.b-c_d", DIGEST)),
        ("demo/digits:v1/7/a.txt", ArtifactPath(None, "demo", "digits", "v1", "7/a.txt")),
        ("digits:best/a:b", ArtifactPath(None, None, "digits", "best", "a:b")),
        ("demo/digits:v1/*.png", ArtifactPath(None, "demo", "digits", "v1", "*.png")),
    ],
)
def test_artifact_paths_are_split_and_spelled_back(text: str, expected: ArtifactPath) -> None:
    assert parse_artifact_path(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("demo/digits/v1", "demo/digits:v1"),
        ("demo/digits/latest/7/a.txt", "demo/digits:latest/7/a.txt"),
        ("demo/digits/best/a:b", "demo/digits:best/a:b"),
        ("demo/digits/latest/", "demo/digits:latest"),
        ("demo/digits/", "demo/digits"),
        ("demo/digits:v1/", "demo/digits:v1"),
        ("demo/digits:v1/7/", "demo/digits:v1/7"),
        ("me/demo/digits", "me/demo/digits"),
        ("me/demo/digits/v1/7", "me/demo/digits:v1/7"),
        ("me/demo/digits:v1/7", "me/demo/digits:v1/7"),
    ],
)
def test_the_path_that_a_mount_shows_is_a_target_too(text: str, expected: str) -> None:
    assert str(parse_artifact_path(text, entity="me")) == expected


def test_what_can_be_read_in_two_ways_is_read_as_wandb_does_first() -> None:
    assert [str(each) for each in readings("me/demo/digits", entity="me")] == [
        "me/demo/digits",
        "me/demo:digits",
    ]
    assert [str(each) for each in readings("other/demo/digits", entity="me")] == [
        "other/demo:digits"
    ]
    assert str(parse_artifact_path("other/demo/digits")) == "other/demo/digits"


@pytest.mark.parametrize(
    "text",
    [
        *("", ":latest", "a:", "a//b", "../b", "a/..", ".", "a b", "a\n", "a:b:c", "a\0", "/a/b"),
        *("a/b:v0/../c", "a/b:v0//c", "a/b/v0/..", "a/b:/c", "a/b//c", "~/b", "a/b/v0/c\0"),
    ],
)
def test_malformed_targets_are_refused(text: str) -> None:
    for entity in (None, "me"):
        with pytest.raises(InvalidName):
            parse_artifact_path(text, entity=entity)


def test_a_word_alone_is_a_project_where_one_can_be_meant() -> None:
    assert project_of("demo/") == "demo"
    assert project_of("demo/digits") is None
    assert project_of("digits:v0") is None
