"""Naming rules and the arithmetic of blocks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.errors import InvalidName
from artfs.model import (
    BLOCK_SIZE_BYTES,
    block_count,
    block_range,
    check_alias,
    check_name,
    check_type,
    version_index,
)


def test_names_have_at_most_128_characters() -> None:
    assert check_name("x" * 128, kind="artifact")
    with pytest.raises(InvalidName, match="300 characters"):
        check_name("x" * 300, kind="artifact")


@pytest.mark.parametrize(
    "alias", ["", ".", "..", "a/b", "a:b", "v0", "v17", "a\nb", "\0", "x" * 129]
)
def test_bad_aliases_are_refused(alias: str) -> None:
    with pytest.raises(InvalidName):
        check_alias(alias)


def test_an_alias_of_few_characters_and_many_bytes_is_told_so() -> None:
    with pytest.raises(InvalidName, match="255 bytes"):
        check_alias("数" * 86)


@pytest.mark.parametrize("alias", ["best", "v", "v01", "V1", "my alias", "数", "v1.2"])
def test_aliases_may_be_almost_anything_else(alias: str) -> None:
    assert check_alias(alias) == alias


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "x" * 129, "a\tb"])
def test_bad_types_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_type(name)


@pytest.mark.parametrize(("text", "index"), [("v0", 0), ("v10", 10), ("v01", None), ("v", None)])
def test_versions_are_told_from_aliases(text: str, index: int | None) -> None:
    assert version_index(text) == index


@given(st.integers(0, 5 * BLOCK_SIZE_BYTES + 3))
def test_blocks_cover_the_content_exactly(size_bytes: int) -> None:
    ranges = [block_range(index, size_bytes) for index in range(block_count(size_bytes))]
    assert sum(span.length for span in ranges) == size_bytes
    assert all(span.length > 0 for span in ranges)
    assert all(a.stop == b.start for a, b in itertools.pairwise(ranges))
