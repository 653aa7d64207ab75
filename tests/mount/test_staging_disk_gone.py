"""A staging mount whose area goes out of reach: nothing looks empty, or as if it were not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from artfs.errors import BackendUnavailable
from artfs.mounts import staging_client
from artfs.repository.facade import Repository
from tests.support.staging import Stager


def names_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_r5_an_area_out_of_reach_is_an_error_and_comes_back(
    staged: Stager, repository: Repository
) -> None:
    place = staged()
    (place / "written").write_bytes(b"2")
    areas = Path(repository.info.location) / "staging"
    away = areas.with_name("away")
    areas.rename(away)
    try:
        for attempt in (
            lambda: names_in(place),
            (place / "written").read_bytes,
            (place / "written").stat,
            lambda: (place / "written").write_bytes(b"3"),
            lambda: (place / "new").write_bytes(b"3"),
        ):
            with pytest.raises(OSError, match="Input/output"):
                attempt()
        with pytest.raises(BackendUnavailable, match="is its disk mounted"):
            staging_client.commit(place)
    finally:
        away.rename(areas)
    assert names_in(place) == ["written"]
    staged.finish(place)
    assert staged.version() == {"written": b"2"}


def test_r5_a_plain_file_that_somebody_removed_is_an_error(
    staged: Stager, repository: Repository
) -> None:
    place = staged()
    (place / "lost").write_bytes(b"1")
    (plain,) = (Path(repository.info.location) / "staging").glob("*/files/*")
    plain.unlink()
    with pytest.raises(OSError, match="Input/output"):
        (place / "lost").read_bytes()
    with pytest.raises(OSError, match="Input/output"):
        names_in(place)
