"""A store whose making was killed is made by whoever tries again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from artfs.repository.permissions import misfits
from artfs.repository.stores import create_store, make_store
from tests.support.privileges import needs_root

_KILLED = 9
_GID = "65534"


@pytest.mark.parametrize("renames", range(5))
def test_a_store_that_was_half_made_is_made_again(renames: int, tmp_path: Path) -> None:
    root = tmp_path / "store"
    child = os.fork()
    if child == 0:
        rename, left = os.rename, [renames]

        def killed(*arguments: Any, **options: Any) -> None:
            if left[0] == 0:
                os._exit(_KILLED)
            left[0] -= 1
            rename(*arguments, **options)

        os.rename = killed
        create_store(root, entity="team")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _KILLED
    create_store(root, entity="team")
    assert (root / "artfs.toml").exists()
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


@needs_root
@pytest.mark.parametrize("owned", [1, 2, 5])
def test_a_store_that_was_half_given_to_a_group_is_given_by_the_next_init(
    owned: int, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    make_store(str(root), blobs=None, entity="team")
    child = os.fork()
    if child == 0:
        chown, left = os.fchown, [owned]

        def killed(*arguments: Any) -> None:
            if left[0] == 0:
                os._exit(_KILLED)
            left[0] -= 1
            chown(*arguments)

        os.fchown = killed  # type: ignore[assignment]
        make_store(str(root), blobs=None, entity=None, group=_GID)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _KILLED
    make_store(str(root), blobs=None, entity=None, group=_GID)
    assert list(misfits(root)) == []
    assert {path.stat().st_gid for path in root.rglob("*")} == {int(_GID)}
