"""A staging area does what a real directory does, through commits, restarts and copy-ups."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from tests.support.privileges import for_its_owner
from tests.unit.staging.areafs import (
    AreaFs,
    dump_directory,
    dump_version,
    new_area,
    new_store,
)

NAMES = st.sampled_from(["a", "b", "c", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.binary(max_size=40)


class AreaMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="artfs-model-"))
        self.real = self.top / "real"
        self.real.mkdir()
        self.repository = new_store(self.top / "store")
        self.area = new_area(self.repository)
        self.fs = AreaFs(self.area)
        self.has_version = False

    def teardown(self) -> None:
        self.area.close()
        self.repository.close()
        shutil.rmtree(self.top)

    def both(self, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
        """Do the same to both; they agree on what goes wrong."""
        expected = _outcome(theirs)
        assert _outcome(ours) == expected

    @rule(path=PATHS, data=DATA)
    def create(self, path: str, data: bytes) -> None:
        def theirs() -> None:
            with (self.real / path).open("xb") as file:
                file.write(data)

        self.both(lambda: self.fs.create(path, data), theirs)

    @rule(path=PATHS, offset=st.integers(0, 50), data=DATA.filter(len))
    def write(self, path: str, offset: int, data: bytes) -> None:
        def theirs() -> None:
            with (self.real / path).open("r+b") as file:
                file.seek(offset)
                file.write(data)

        self.both(lambda: self.fs.write(path, offset, data), theirs)

    @rule(path=PATHS, size_bytes=st.integers(0, 60))
    def truncate(self, path: str, size_bytes: int) -> None:
        def theirs() -> None:
            with (self.real / path).open("r+b") as file:
                file.truncate(size_bytes)

        self.both(lambda: self.fs.truncate(path, size_bytes), theirs)

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        def theirs() -> None:
            (self.real / path).mkdir()

        self.both(lambda: self.fs.mkdir(path), theirs)

    @rule(path=PATHS)
    def rmdir(self, path: str) -> None:
        self.both(lambda: self.fs.rmdir(path), (self.real / path).rmdir)

    @rule(path=PATHS)
    def unlink(self, path: str) -> None:
        self.both(lambda: self.fs.unlink(path), (self.real / path).unlink)

    @rule(path=PATHS)
    def symlink(self, path: str) -> None:
        def theirs() -> None:
            (self.real / path).symlink_to("nowhere")

        self.both(lambda: self.fs.symlink("nowhere", path), theirs)

    @rule(old=PATHS, new=PATHS)
    def link(self, old: str, new: str) -> None:
        def theirs() -> None:
            (self.real / new).hardlink_to(self.real / old)

        self.both(lambda: self.fs.link(old, new), theirs)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        def theirs() -> None:
            (self.real / old).rename(self.real / new)

        self.both(lambda: self.fs.rename(old, new), theirs)

    @rule(path=PATHS, mode=st.sampled_from([0o644, 0o755, 0o700, 0o640, 0o1777]))
    def chmod(self, path: str, mode: int) -> None:
        if not (self.real / path).is_symlink():
            mode = for_its_owner(self.real / path, mode)
            self.both(lambda: self.fs.chmod(path, mode), lambda: (self.real / path).chmod(mode))

    @rule(path=PATHS)
    def names(self, path: str) -> None:
        def theirs() -> list[str]:
            return sorted(each.name for each in (self.real / path).iterdir())

        if not (self.real / path).is_symlink():
            expected = _outcome(theirs)
            assert _outcome(lambda: self.fs.names(path)) == expected

    @rule()
    def commit(self) -> None:
        commit_area(self.area)
        real = dump_directory(self.real)
        if not self.has_version and not real:
            return
        self.has_version = True
        expected = {path: _in_version(entry) for path, entry in real.items()}
        assert dump_version(self.repository, "p/data") == expected

    @rule()
    def restart(self) -> None:
        area_id = self.area.id
        self.area.close()
        self.area = Area.open(self.repository, area_id)
        self.fs = AreaFs(self.area)

    @invariant()
    def same(self) -> None:
        assert self.fs.dump() == dump_directory(self.real)


def _outcome(operation: Callable[[], object]) -> object:
    try:
        return operation()
    except OSError as error:
        return error.errno


def _in_version(entry: tuple[object, ...]) -> object:
    if entry[0] == "directory":
        return None
    return f"-> {entry[1]}" if entry[0] == "symlink" else entry[3]


TestArea = AreaMachine.TestCase
TestArea.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
