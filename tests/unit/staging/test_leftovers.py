"""What was being made or dropped is a leftover when nobody holds it any more, and not before."""

from __future__ import annotations

from pathlib import Path

from artfs.repository.stores import open_store
from artfs.staging.area import remove_leftovers, staging_path
from artfs.system.locks import hold_new_directory, hold_new_file


def test_an_area_that_is_being_made_is_no_leftover_before_it_has_its_lock(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store"), create=True) as repository:
        parent = staging_path(repository.info)
        parent.mkdir()
        making = hold_new_directory(parent / ".new-00000001")
        (parent / ".new-00000002").mkdir()
        locked = hold_new_file(parent / ".new-00000002" / "lock")
        (parent / ".new-00000003").mkdir()
        (parent / ".dropped-00000004" / "files").mkdir(parents=True)
        remove_leftovers(repository.info)
        assert {path.name for path in parent.iterdir()} == {".new-00000001", ".new-00000002"}
        making.close()
        locked.close()
        remove_leftovers(repository.info)
        assert list(parent.iterdir()) == []
