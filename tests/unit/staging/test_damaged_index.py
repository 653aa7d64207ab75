"""An index that no artfs wrote, or that was damaged: it is refused in one line that names the
area, and no file of the area is lost, whatever the index says of it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from artfs.errors import StoreFormatError
from artfs.repository.facade import Repository
from artfs.staging.area import Area
from artfs.staging.commit import commit_area
from artfs.staging.journal import Journal
from artfs.staging.listing import DamagedArea, staging_areas
from artfs.staging.nodes import FileNode
from artfs.staging.salvage import Salvage, salvage_area
from tests.unit.staging.areafs import AreaFs, dump_version, new_area, new_store

NEW, DIRECTORY, OTHER, LINK = 2, 3, 5, 6
"""Ids of `new`, which is `linked`, too; of `d`, `e`, and the symlink `sym`. `d/kept` is 4."""
HUGE = 2**63 - 1
ENTRY = ["f", "new", b"d" * 32, 3, b"m" * 16, None, False, 1]


def entry(at: int, value: object) -> bytes:
    return msgspec.msgpack.encode([*ENTRY[:at], value, *ENTRY[at + 1 :]])


Statement = tuple[str, tuple[object, ...]]

CIRCLE = f"""UPDATE links SET parent = CASE name WHEN 'd' THEN {OTHER} ELSE {DIRECTORY} END
    WHERE name IN ('d', 'e')"""

CELLS: dict[str, list[object]] = {
    "kind": ["x", b"f", -1, 1.5, "l"],
    "mode": ["x", b"x", -1, 2**33, 1.5],
    "uid": ["x", -1, 2**40],
    "gid": [b"", -1, 2**40],
    "mtime_ns": ["x", b"x", 1.5],
    "ctime_ns": ["x", b"x", 1.5],
    "content": [
        *("x", b"", b"x", -1, HUGE, 1.5, b"\0" * 32),
        *(entry(1, "a/b"), entry(2, b"x"), entry(2, None), entry(3, -1), entry(3, 2**64 - 1)),
        *(entry(4, b"x"), entry(5, b"x"), entry(6, 7), entry(7, "x")),
    ],
}

ROWS: dict[str, Statement] = {
    f"{column} {number}": (f"UPDATE nodes SET {column} = ? WHERE id = {NEW}", (value,))
    for column, values in CELLS.items()
    for number, value in enumerate(values)
}

NAMES: dict[str, Statement] = {
    f"a name that is {name!r:.20}": ("UPDATE links SET name = ? WHERE name = 'new'", (name,))
    for name in ("../evil", "a/b", "", ".", "..", "a\0b", "x" * 300, b"zz")
}

DAMAGE: dict[str, Statement] = {
    **ROWS,
    **NAMES,
    "a directory with two names": (f"UPDATE nodes SET kind = 'd' WHERE id = {NEW}", ()),
    "a file that became a directory": ("UPDATE nodes SET kind = 'd' WHERE id = 4", ()),
    "a kind that is no UTF-8": ("UPDATE nodes SET kind = CAST(? AS TEXT)", (b"\xff",)),
    "a base that is short": (f"UPDATE nodes SET content = ? WHERE id = {DIRECTORY}", (b"x",)),
    "a base that is text": (f"UPDATE nodes SET content = ? WHERE id = {DIRECTORY}", ("x",)),
    "a target that is none": (f"UPDATE nodes SET content = NULL WHERE id = {LINK}", ()),
    "a target that is empty": (f"UPDATE nodes SET content = '' WHERE id = {LINK}", ()),
    "a target that is a blob": (f"UPDATE nodes SET content = ? WHERE id = {LINK}", (b"x",)),
    "a root that is a file": ("UPDATE nodes SET kind = 'f' WHERE id = 1", ()),
    "no root": ("DELETE FROM nodes WHERE id = 1", ()),
    "no nodes but the root": ("DELETE FROM nodes WHERE id != 1", ()),
    "no directory for a name": (f"DELETE FROM nodes WHERE id = {DIRECTORY}", ()),
    "no node for a name": (f"DELETE FROM nodes WHERE id = {NEW}", ()),
    "no name for a node": (f"DELETE FROM links WHERE node = {NEW}", ()),
    "no names": ("DELETE FROM links", ()),
    "a number below zero": (f"UPDATE nodes SET id = -5 WHERE id = {NEW}", ()),
    "a huge number": (f"UPDATE nodes SET id = {HUGE} WHERE id = {NEW}", ()),
    "a name that leads nowhere": ("UPDATE links SET node = 999 WHERE name = 'new'", ()),
    "a name of text": ("UPDATE links SET node = 'x' WHERE name = 'new'", ()),
    "a name in text": ("UPDATE links SET parent = 'x' WHERE name = 'new'", ()),
    "a name in nothing": ("UPDATE links SET parent = 999 WHERE name = 'new'", ()),
    "a name in a file": ("UPDATE links SET parent = 4 WHERE name = 'new'", ()),
    "a name in itself": (f"UPDATE links SET parent = {DIRECTORY} WHERE name = 'd'", ()),
    "a circle of two": (CIRCLE, ()),
    "the root below itself": (f"INSERT INTO links VALUES ({DIRECTORY}, 'r', 1)", ()),
    "a second name of a directory": (f"INSERT INTO links VALUES ({OTHER}, 'dd', 3)", ()),
    "the number of a journal is text": ("UPDATE journals SET applied = 'x'", ()),
    "the number of a journal is below zero": ("UPDATE journals SET applied = -4", ()),
    "the number of a journal is huge": (f"UPDATE journals SET applied = {HUGE}", ()),
    "no number of a journal": ("DELETE FROM journals", ()),
    "two numbers of journals": ("INSERT INTO journals VALUES (0)", ()),
    "meta is a blob": ("UPDATE meta SET value = ?", (b"{}",)),
    "meta is a list": ("UPDATE meta SET value = '[]'", ()),
    "meta is deep": ("UPDATE meta SET value = ?", ('{"a":' + "[" * 100_000,)),
    "meta is no UTF-8": ("UPDATE meta SET value = CAST(? AS TEXT)", (b"\xff",)),
    "meta is of another area": (
        "UPDATE meta SET value = json_set(value, '$.id', '../../x')",
        (),
    ),
    "meta names a path": ("UPDATE meta SET value = json_set(value, '$.name', '../x')", ()),
    "meta has a user below zero": ("UPDATE meta SET value = json_set(value, '$.uid', -1)", ()),
    "two metas": ("INSERT INTO meta VALUES ('{}')", ()),
    "no meta": ("DELETE FROM meta", ()),
    "a trigger": ("CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN DELETE FROM nodes; END", ()),
    "a column less": ("ALTER TABLE nodes DROP COLUMN gid", ()),
    "a table less": ("DROP TABLE links", ()),
}

LOSSES: dict[str, tuple[str, ...]] = {
    "a node with its names": (
        f"DELETE FROM nodes WHERE id = {NEW}",
        f"DELETE FROM links WHERE node = {NEW}",
    ),
    "another number": (
        f"UPDATE nodes SET id = 77 WHERE id = {NEW}",
        f"UPDATE links SET node = 77 WHERE node = {NEW}",
    ),
    "content of a version": (
        f"UPDATE nodes SET content = x'{entry(3, 3).hex()}' WHERE id = {NEW}",
    ),
    "everything": ("DELETE FROM nodes WHERE id != 1", "DELETE FROM links"),
}


class Kept:
    """An area that nobody has, which can be brought back as it was."""

    def __init__(self, repository: Repository, path: Path) -> None:
        self.repository = repository
        self.path = path
        self._saved = path.with_name("saved")
        shutil.copytree(path, self._saved)
        self.contents = self.read_contents()

    def restore(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self._saved, self.path)

    def change(self, *statements: Statement) -> None:
        with closing(sqlite3.connect(self.path / "index.sqlite")) as connection:
            for statement, values in statements:
                connection.execute(statement, values)
            connection.commit()

    def open(self) -> Area:
        return Area.open(self.repository, self.path.name)

    def read_contents(self) -> list[bytes]:
        """All that the area has of its own, wherever it is; a file that says nothing is nothing."""
        places = (self.path / "files", self.path / "lost")
        read = [file.read_bytes() for place in places if place.exists() for file in place.iterdir()]
        return sorted(filter(None, read))


def file_at(area: Area, path: str) -> FileNode:
    node = area.tree.resolve(path)
    assert isinstance(node, FileNode)
    return node


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with new_store(tmp_path_factory.mktemp("damaged") / "store") as repository:
        with new_area(repository) as area:
            fs = AreaFs(area)
            fs.create("new", b"new")
            fs.link("new", "linked")
            fs.mkdir("d")
            fs.create("d/kept", b"kept")
            fs.mkdir("e")
            fs.symlink("new", "sym")
            area.checkpoint()
        yield Kept(repository, area.path)


@pytest.fixture
def kept(made: Kept) -> Kept:
    made.restore()
    return made


def test_an_index_that_is_whole_is_not_suspected(kept: Kept) -> None:
    damaged: list[DamagedArea] = []
    assert staging_areas(kept.repository.info, damaged.append)[0].lost == 0
    assert damaged == []
    with kept.open() as area:
        assert AreaFs(area).names("") == ["d", "e", "linked", "new", "sym"]
        assert area.lost() == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_an_index_that_no_artfs_wrote_is_refused_by_name_and_no_file_is_lost(
    kept: Kept, kind: str
) -> None:
    kept.change(DAMAGE[kind])
    for _ in range(2):
        with pytest.raises(StoreFormatError, match="its index is damaged") as raised:
            kept.open()
        assert raised.value.subject == str(kept.path)
        assert raised.value.exit_code == 11
        assert f"artfs staging salvage {kept.path.name}" in (raised.value.hint or "")
        assert "\n" not in str(raised.value)
        assert kept.read_contents() == kept.contents


@pytest.mark.parametrize("kind", LOSSES)
def test_a_file_that_an_index_does_not_name_any_more_is_set_aside(kept: Kept, kind: str) -> None:
    kept.change(*((statement, ()) for statement in LOSSES[kind]))
    for _ in range(2):
        kept.open().close()
        assert kept.read_contents() == kept.contents
    assert (kept.path / "lost" / f"{NEW:x}").read_bytes() == b"new"


def test_an_area_that_has_set_files_aside_is_kept_though_its_version_is_made(kept: Kept) -> None:
    kept.change(*((statement, ()) for statement in LOSSES["a node with its names"]))
    area = kept.open()
    version = commit_area(area).version
    area.finish()
    assert version is not None
    assert dump_version(kept.repository, version.path)["d/kept"] == b"kept"
    (record,) = staging_areas(kept.repository.info)
    assert (record.meta.id, record.lost) == (area.id, 1)
    again = kept.open()
    assert not again.is_changed
    again.finish()
    assert kept.read_contents() == [b"new"]
    # In the end somebody says that it is not needed.
    kept.open().drop()
    assert staging_areas(kept.repository.info) == []


def test_a_journal_that_no_artfs_wrote_is_refused_and_stays(kept: Kept) -> None:
    (left,) = kept.path.glob("journal-*")
    for record in (
        [1, 2],
        [[], [], ["x"], [], []],
        [[], [], [], [[2**64 - 1, "f", 0, 0, 0, 0, 0, None]], []],
        [[], [], [], [[2, "f", 0, 0, 0, 0, 0, [1]]], []],
        [[], [], [], [], [[1, "x"]]],
    ):
        left.unlink()
        journal = Journal(kept.path, int(left.name.removeprefix("journal-")))
        journal.append(record)  # type: ignore[arg-type]
        with pytest.raises(StoreFormatError, match=r"its index is damaged \(a record is damaged"):
            kept.open()
        assert left.exists()
        assert kept.read_contents() == kept.contents


def test_a_damaged_area_is_listed_as_such_beside_the_others(kept: Kept) -> None:
    other = new_area(kept.repository, name="other")
    try:
        kept.change(DAMAGE["a circle of two"])
        damaged: list[DamagedArea] = []
        assert [each.meta.name for each in staging_areas(kept.repository.info, damaged.append)] == [
            "other"
        ]
        (found,) = damaged
        assert (found.id, found.files) == (kept.path.name, 2)
        assert "a directory that is in itself" in found.error
    finally:
        other.drop()


def test_the_files_of_a_damaged_area_can_be_copied_out_by_the_names_that_lead_to_them(
    kept: Kept, tmp_path: Path
) -> None:
    kept.change(
        DAMAGE["kind 0"],
        ("UPDATE links SET node = 999 WHERE name IN ('new', 'linked')", ()),
        ("UPDATE links SET name = CAST(? AS TEXT) WHERE name = 'e'", (b"\xff",)),
    )
    assert salvage_area(kept.repository.info, kept.path.name, tmp_path / "out") == Salvage(1, 1)
    assert (tmp_path / "out" / "named" / "d" / "kept").read_bytes() == b"kept"
    assert (tmp_path / "out" / "unnamed" / f"files-{NEW:x}").read_bytes() == b"new"
    assert kept.read_contents() == kept.contents


def test_what_was_removed_on_purpose_frees_its_space_though_a_crash_came_between(
    kept: Kept,
) -> None:
    area = kept.open()
    fs = AreaFs(area)
    for name in ("unlinked", "replaced", "late"):
        fs.create(name, name.encode())
        # As long as it is open its plain file stays.
        area.contents.open(file_at(area, name), write=False)
    fs.unlink("unlinked")
    fs.rename("d/kept", "replaced")
    area.checkpoint()
    fs.unlink("late")
    assert len(area.plain.ids()) == 5
    area.close()
    with kept.open() as again:
        assert again.lost() == []
        assert again.plain.ids() == {NEW, 4}


def test_a_copy_of_the_base_that_a_crash_left_unused_is_no_loss(kept: Kept) -> None:
    area = kept.open()
    assert commit_area(area).version is not None
    node = file_at(area, "d/kept")
    area.tree.expect_plain(node)
    Path(area.plain.path(node.id)).write_bytes(b"kept")
    area.close()
    with kept.open() as again:
        assert again.plain.ids() == set()
        assert again.lost() == []
