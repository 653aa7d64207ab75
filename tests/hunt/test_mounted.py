"""What the reader of a mount in a random program takes for wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hunt.mounted import wrong_in
from tests.hunt.programs import tree


def write(directory: Path, content: dict[str, bytes]) -> None:
    """Files as a mount shows them."""
    for path, data in content.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)


def test_whole_versions_and_aliases_that_move_meanwhile_are_right(tmp_path: Path) -> None:
    assert wrong_in(tmp_path / "none") == []
    write(tmp_path / "v0", tree(1))
    write(tmp_path / "v1", tree(2))
    write(tmp_path / "latest", tree(1) | {"id": b"2"})
    assert wrong_in(tmp_path) == []


@pytest.mark.parametrize("name", ["v0", "latest"])
def test_bytes_that_nobody_put_are_wrong(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, tree(4) | {"large": bytes(len(tree(4)["large"]))})
    [wrong] = wrong_in(tmp_path)
    assert f"/{name} was read as" in wrong


@pytest.mark.parametrize("change", ["missing", "of another version", "new"])
def test_a_version_that_is_no_whole_content_is_wrong(tmp_path: Path, change: str) -> None:
    content = dict(tree(1))
    if change == "missing":
        del content["id"]
    else:
        content |= {"id": b"2"} if change == "of another version" else {"more": b""}
    write(tmp_path / "v0", content)
    assert len(wrong_in(tmp_path)) == 1
