"""What artfs keeps for a user outside of stores is for that user alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.servers.scripted import answer, scripted
from tests.support.people import People
from tests.support.privileges import needs_root

pytestmark = needs_root

DATA = b"content" * 1000
OK = answer(200, DATA, etag='"e"', content_length=str(len(DATA)))
_WORD = """
import sys, time
from pathlib import Path
from artfs.mounts.outcomes import LastStaging, remember
from artfs.staging.listing import AreaOutcome, reserve_outcome, write_outcome
area = Path(sys.argv[1])
reserve_outcome(area)
write_outcome(area, AreaOutcome(id="0123abcd", artifact="p/a", finished_at_ns=time.time_ns()))
remember(LastStaging(mountpoint=Path("/m"), id="0123abcd", area=area))
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022])
def test_what_is_kept_for_a_user_is_private_whatever_the_umask(people: People, umask: int) -> None:
    person = people.person(1).with_umask(umask)
    store = ("--store", str(person.home / "store"))
    with scripted(lambda _: OK) as server:
        person.does("put", *store, "-n", "p/a", "-r", f"{server.url}/f")
        person.does("get", *store, "p/a", "--root", str(person.home / "got"))
    areas = person.home / "areas"
    areas.mkdir()
    os.chown(areas, person.uid, person.gid)
    assert person.python(_WORD, str(areas / "0123abcd")).returncode == 0
    state, blocks = person.home / ".local/state", person.home / ".cache/artfs/blocks"
    kept = [each for top in (state / "artfs", blocks, areas) for each in top.rglob("*")]
    assert {"stores", "staged", "data", "0123abcd.json", "0123abcd.outcome"} <= {
        each.name for each in kept
    }
    assert [str(each) for each in kept if mode_of(each) & 0o077] == []
    assert (mode_of(state / "artfs"), mode_of(blocks)) == (0o700, 0o700)
    above = (state, state.parent, blocks.parent, blocks.parent.parent)
    assert [str(each) for each in above if mode_of(each) & 0o022] == []
