"""Failpoints: the grammar, what happens, and that the documentation names all of them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs import failpoints
from artfs.errors import OutOfSpace
from artfs.failpoints import reach, use
from artfs.system.oserrors import reach_step

ROOT = Path(__file__).resolve().parents[2]
_SITE = re.compile(r'\breach(?:_step)?\(\s*"([^"]+)"')


@pytest.fixture(autouse=True)
def _nothing_happens_afterwards() -> Iterator[None]:
    yield
    use("")


def fails(name: str) -> int | None:
    """The errno with which a step fails."""
    try:
        reach(name)
    except OSError as error:
        return error.errno
    return None


def test_the_documentation_names_the_failpoints_that_there_are_and_no_others() -> None:
    sites = Counter(
        name
        for path in (ROOT / "artfs").rglob("*.py")
        for name in _SITE.findall(path.read_text("utf-8"))
        if path.name != "failpoints.py"
    )
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = text.split("| name | the step |")[1].split("\n\n")[0].splitlines()[2:]
    documented = [name for row in rows for name in re.findall(r"`([a-z-]+\.[a-z-]+)`", row)]
    assert sorted(sites.elements()) == sorted(documented)


def test_nothing_happens_where_nothing_was_asked_for() -> None:
    assert not failpoints.active()
    assert fails("put.pack-stored") is None
    use("gc.marked=error(EIO)")
    assert failpoints.active()
    assert fails("put.pack-stored") is None


def test_terms_are_used_up_one_after_the_other() -> None:
    use("a.b = 2*off -> 1*error(ENOSPC) -> 1*error -> off")
    assert [fails("a.b") for _ in range(5)] == [None, None, errno.ENOSPC, errno.EIO, None]


def test_names_that_begin_alike_share_their_counts() -> None:
    use("a.*=1*off->1*error(EINTR);a.c=error")
    assert [fails("a.b"), fails("b.a"), fails("a.c"), fails("a.d")] == [
        None,
        None,
        errno.EINTR,
        None,
    ]


def test_a_seed_decides_what_chance_does() -> None:
    def pattern(seed: int) -> list[int | None]:
        use(f"a.b=30%error(EIO);seed={seed}")
        return [fails("a.b") for _ in range(40)]

    assert pattern(1) == pattern(1)
    assert pattern(1) != pattern(2)
    assert 4 < sum(each is not None for each in pattern(1)) < 25


def test_a_place_that_knows_how_breaks_its_own_connection() -> None:
    broken: list[str] = []
    use("a.b=drop")
    reach("a.b", drop=lambda: broken.append("here"))
    assert broken == ["here"]
    assert fails("a.b") == errno.ECONNRESET


def test_where_no_error_of_the_system_is_expected_it_is_one_of_artfs() -> None:
    use("a.b=error(ENOSPC)")
    with pytest.raises(OutOfSpace, match=r"store: No space left .* at failpoint a\.b"):
        reach_step("a.b", "store")


def test_a_killed_process_is_gone_at_once() -> None:
    child = os.fork()
    if child == 0:
        use("a.b=kill")
        reach("a.b")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9


@pytest.mark.parametrize(
    "text",
    ["nonsense", "a.b=", "a.b=explode", "a.b=error(EGAD)", "a.b=kill(1)", "A.b=kill", "seed=x"],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        use(text)


def test_a_process_with_a_variable_that_cannot_be_read_ends_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import artfs.failpoints"],
        env=os.environ | {"ARTFS_FAILPOINTS": "a.b=explode"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        11,
        "artfs: ARTFS_FAILPOINTS: 'explode' is no action\n",
    )
