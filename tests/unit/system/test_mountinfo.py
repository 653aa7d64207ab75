from __future__ import annotations

from pathlib import Path

import pytest

from artfs.system.mountinfo import parse_mountinfo

LINE = b"36 35 0:42 / %s rw,nosuid - fuse.artfs artfs-0123abcd ro,user_id=7\n"


@pytest.mark.parametrize("character", "\r\x0b\x0c\x1c\x85\u2028")
def test_a_path_with_what_ends_lines_elsewhere_is_one_line(character: str) -> None:
    """Every user may mount something at such a path, and nobody else is to be hurt by it."""
    name = f"/mnt/a{character}b"
    found = parse_mountinfo(LINE % name.encode() + LINE % b"/mnt/c\\012\\040d")
    assert [each.mountpoint for each in found] == [Path(name), Path("/mnt/c\n d")]
    assert [(each.owner, each.area_id) for each in found] == [(7, "0123abcd")] * 2
