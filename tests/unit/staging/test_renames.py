"""Renaming in a staging area, below the kernel, which looks at names itself before it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from artfs.staging.area import Area
from tests.unit.staging.areafs import AreaFs, new_area, new_store


def test_w1_a_name_that_was_given_or_exchanged_is_there_when_the_area_is_opened_again(
    tmp_path: Path,
) -> None:
    with new_store(tmp_path / "store") as repository:
        with new_area(repository) as area:
            fs = AreaFs(area)
            for path in ("d/old", "one", "e/two", "three", "over"):
                fs.put(path, path.encode())
            fs.rename("d/old", "e/new")
            fs.exchange("one", "e/two")
            fs.rename("three", "over")
            before = fs.dump()
        with Area.open(repository, area.id) as again:
            after = AreaFs(again).dump()
    assert {path: node[-1] for path, node in after.items() if node[0] == "file"} == {
        "e/new": b"d/old",
        "one": b"e/two",
        "e/two": b"one",
        "over": b"three",
    }
    assert after == before


def test_w1_a_rename_that_may_not_replace_changes_nothing(tmp_path: Path) -> None:
    with new_store(tmp_path / "store") as repository, new_area(repository) as area:
        fs = AreaFs(area)
        fs.put("one", b"1")
        fs.put("two", b"2")
        before = fs.dump()
        root = area.tree.root
        with pytest.raises(FileExistsError):
            area.tree.rename(root, "one", root, "two", replace=False)
        assert fs.dump() == before
        area.tree.rename(root, "one", root, "three", replace=False)
        assert fs.names("") == ["three", "two"]
