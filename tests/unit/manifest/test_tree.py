"""Trees: building, walking, finding and comparing, against plain dictionaries."""

from __future__ import annotations

import tracemalloc
from hashlib import md5, sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.errors import InvalidManifest, InvalidName, PathNotFound
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.diff import ChangeKind, diff_trees
from artfs.manifest.directory import Directory
from artfs.manifest.entries import DirectoryEntry, FileEntry, Pin, ReferenceEntry, SymlinkEntry
from artfs.manifest.tree import find, walk
from artfs.manifest.wandb import manifest_digest, tree_digests
from artfs.model import Digest

Files = dict[str, bytes]


class MemoryTrees:
    """Directory objects in a dictionary, counting what is loaded and stored."""

    def __init__(self) -> None:
        self.objects: dict[Digest, bytes] = {}
        self.loaded: list[Digest] = []
        self.stored: list[Digest] = []

    def load(self, digest: Digest) -> Directory:
        self.loaded.append(digest)
        return Directory(self.objects[digest])

    def store(self, digest: Digest, encoded: bytes) -> None:
        self.stored.append(digest)
        self.objects[digest] = encoded

    def build(self, files: Files, base: DirectoryEntry | None = None) -> DirectoryEntry:
        builder = TreeBuilder(self.load, base)
        for path, content in files.items():
            builder.put(path, file_entry(content))
        return builder.build(self.store)


def file_entry(content: bytes, *, mtime_ns: int = 0, executable: bool = False) -> FileEntry:
    digest = Digest(sha256(content).digest())
    return FileEntry("", digest, len(content), md5(content).digest(), None, executable, mtime_ns)


def paths() -> st.SearchStrategy[str]:
    part = st.text("ab./! é", min_size=1, max_size=3).filter(
        lambda text: "/" not in text and text not in {".", ".."}
    )
    return st.lists(part, min_size=1, max_size=4).map("/".join)


def trees() -> st.SearchStrategy[Files]:
    def without_clashes(files: Files) -> Files:
        return {
            path: content
            for path, content in files.items()
            if not any(other.startswith(path + "/") for other in files)
        }

    return st.dictionaries(paths(), st.binary(max_size=3), max_size=15).map(without_clashes)


@given(trees())
def test_a_walk_shows_every_file_in_the_order_of_whole_paths(files: Files) -> None:
    store = MemoryTrees()
    root = store.build(files)

    seen = [path for path, entry in walk(store.load, root.sha256) if isinstance(entry, FileEntry)]
    assert seen == sorted(files)
    for path, content in files.items():
        entry = find(store.load, root.sha256, path)
        assert isinstance(entry, FileEntry)
        assert entry.sha256 == sha256(content).digest()
    assert root.file_count == len(files)
    assert root.size_bytes == sum(map(len, files.values()))


@given(trees())
def test_the_digest_of_a_tree_is_that_of_its_sorted_paths(files: Files) -> None:
    store = MemoryTrees()
    root = store.build(files)
    pairs = [(path, file_entry(content).digest) for path, content in sorted(files.items())]
    assert tree_digests(store.load, root.sha256).digest == manifest_digest(pairs)


@given(trees(), trees())
def test_changing_a_base_gives_the_same_tree_as_building_it_anew(old: Files, new: Files) -> None:
    store = MemoryTrees()
    base = store.build(old)
    builder = TreeBuilder(store.load, base)
    for path in old:
        builder.remove(path)
    for path, content in new.items():
        builder.put(path, file_entry(content))
    assert builder.build(store.store) == store.build(new)


@given(
    names=st.sets(
        st.text("abé.~", min_size=1, max_size=4).filter(lambda n: n not in {".", ".."}),
        min_size=60,
        max_size=99,
    ),
    data=st.data(),
)
def test_few_changes_of_a_large_directory_give_the_same_object_as_all_of_it_anew(
    names: set[str], data: st.DataObject
) -> None:
    store = MemoryTrees()
    old = {name: name.encode() for name in names}
    base = store.build(old)
    some = st.sampled_from(sorted(names)) | st.text("abé.~", min_size=1, max_size=5)
    changed = data.draw(
        st.dictionaries(some.filter(_is_a_name), st.none() | st.binary(), max_size=2)
    )
    builder = TreeBuilder(store.load, base)
    new = dict(old)
    for name, content in changed.items():
        if content is not None:
            builder.put(name, file_entry(content, mtime_ns=int(content == old.get(name))))
            new[name] = content
        elif new.pop(name, None) is not None:
            builder.remove(name)
    assert builder.build(store.store) == store.build(new)


def test_one_new_name_among_many_costs_the_bytes_of_the_directory_and_not_its_entries() -> None:
    store = MemoryTrees()
    base = store.build({f"f{number:06}": b"" for number in range(20_000)})
    size_bytes = len(store.objects[base.sha256])
    tracemalloc.start()
    try:
        store.build({"f010000.new": b"new"}, base)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The entries, decoded, are some six times as much as their encoding.
    assert peak_bytes < 3 * size_bytes


def _is_a_name(text: str) -> bool:
    return text not in {".", ".."}


@given(trees(), trees())
def test_a_diff_names_exactly_the_files_that_differ(old: Files, new: Files) -> None:
    store = MemoryTrees()
    before, after = store.build(old).sha256, store.build(new).sha256
    changes = {change.path: change.kind for change in diff_trees(store.load, before, after)}

    expected = dict.fromkeys(old.keys() - new.keys(), ChangeKind.REMOVED)
    expected |= dict.fromkeys(new.keys() - old.keys(), ChangeKind.ADDED)
    expected |= {p: ChangeKind.MODIFIED for p in old.keys() & new.keys() if old[p] != new[p]}
    assert changes == expected


def test_one_changed_file_stores_only_the_directories_on_its_path() -> None:
    store = MemoryTrees()
    files = {f"d{i}/e{j}/f": b"%d %d" % (i, j) for i in range(10) for j in range(10)}
    base = store.build(files)
    store.stored.clear()
    store.loaded.clear()

    store.build({"d3/e4/f": b"changed"}, base)

    assert len(store.stored) == 3
    assert len(store.loaded) == 3


def test_a_file_with_another_mtime_keeps_its_old_entry() -> None:
    store = MemoryTrees()
    base = store.build({"a/b": b"same"})
    builder = TreeBuilder(store.load, base)
    builder.put("a/b", file_entry(b"same", mtime_ns=99))
    assert builder.build(store.store).sha256 == base.sha256


def test_an_executable_bit_alone_changes_the_tree() -> None:
    store = MemoryTrees()
    base = store.build({"a": b"same"})
    builder = TreeBuilder(store.load, base)
    builder.put("a", file_entry(b"same", executable=True))
    changed = builder.build(store.store)
    assert changed.sha256 != base.sha256
    before, after = (tree_digests(store.load, t.sha256) for t in (base, changed))
    assert before.digest == after.digest
    assert before.content_digest != after.content_digest


def test_symlinks_and_empty_directories_show_in_the_content_digest_only() -> None:
    store = MemoryTrees()
    builder = TreeBuilder(store.load)
    empty = tree_digests(store.load, builder.build(store.store).sha256)
    builder.put("link", SymlinkEntry("", "target"))
    with_link = tree_digests(store.load, builder.build(store.store).sha256)
    builder.make_directory("empty/inside")
    with_both = tree_digests(store.load, builder.build(store.store).sha256)
    assert empty.digest == with_link.digest == with_both.digest
    assert len({empty.content_digest, with_link.content_digest, with_both.content_digest}) == 3


def test_no_two_contents_have_one_content_digest() -> None:
    store = MemoryTrees()
    joined = f"a:{file_entry(b'1').digest}\nb"
    trees = [
        store.build({"a": b"1", "b": b"2"}),
        store.build({joined: b"2"}),
        store.build({"a": b"2", "b": b"1"}),
        store.build({"a": b"1"}),
        store.build({"fa": b"1"}),
    ]
    found = [tree_digests(store.load, tree.sha256) for tree in trees]
    # W&B's own digest cannot tell the first two.
    assert found[0].digest == found[1].digest
    assert len({each.content_digest for each in found}) == len(trees)


def test_a_reference_that_was_pinned_anew_is_other_content() -> None:
    store = MemoryTrees()

    def content_digest(**changes: object) -> str:
        builder = TreeBuilder(store.load)
        entry = ReferenceEntry("", "s3://one/a", "etag", 3, Pin(etag="etag"), {}, 7)
        builder.put("a", msgspec.structs.replace(entry, **changes))
        return tree_digests(store.load, builder.build(store.store).sha256).content_digest

    changes: list[dict[str, object]] = [
        {},
        {"uri": "s3://two/a"},
        {"pin": Pin(etag="etag", version_id="2")},
        {"size_bytes": None},
    ]
    assert len({content_digest(**change) for change in changes}) == len(changes)
    assert content_digest(mtime_ns=8) == content_digest()


def test_a_file_and_a_directory_cannot_share_a_name() -> None:
    builder = TreeBuilder(MemoryTrees().load)
    builder.put("a/b", file_entry(b""))
    with pytest.raises(InvalidName, match="directory of this name"):
        builder.put("a", file_entry(b""))
    with pytest.raises(InvalidName, match="is a file"):
        builder.put("a/b/c", file_entry(b""))


@pytest.mark.parametrize("directory", ["", "below/"])
def test_more_bytes_than_a_catalog_can_count_are_refused(directory: str) -> None:
    store = MemoryTrees()
    builder = TreeBuilder(store.load)
    for number in range(4):
        entry = ReferenceEntry("", "x://y", "d", 2**62 - number, Pin(), {})
        builder.put(f"{directory}{number}", entry)
    with pytest.raises(InvalidManifest, match="8 EiB or more"):
        builder.build(store.store)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\0b", "\udc80"])
def test_r8_a_bad_path_is_refused_everywhere(path: str) -> None:
    store = MemoryTrees()
    builder = TreeBuilder(store.load)
    with pytest.raises(InvalidName):
        builder.put(path, file_entry(b""))
    with pytest.raises(InvalidName):
        builder.remove(path)
    with pytest.raises(InvalidName):
        find(store.load, store.build({}).sha256, path)


def test_removing_the_last_file_removes_its_directories() -> None:
    store = MemoryTrees()
    builder = TreeBuilder(store.load, store.build({"a/b/c": b"", "z": b""}))
    builder.remove("a/b/c")
    with pytest.raises(PathNotFound):
        builder.remove("a/b/c")
    assert builder.build(store.store) == store.build({"z": b""})


def test_a_flat_directory_of_300_000_entries_works() -> None:
    store = MemoryTrees()
    builder = TreeBuilder(store.load)
    for number in range(300_000):
        builder.put(f"{number:07d}", FileEntry("", Digest(bytes(32)), 1, bytes(16), None, False, 0))
    root = builder.build(store.store)
    assert root.file_count == 300_000
    directory = store.load(root.sha256)
    assert directory.position("0277777") == 277_777
    assert directory.get("0300000") is None
    assert sum(1 for _ in directory.entries()) == 300_000


def test_deep_trees_need_no_deep_recursion() -> None:
    store = MemoryTrees()
    path = "/".join(["d"] * 2000)
    root = store.build({path: b"deep"})
    assert [p for p, e in walk(store.load, root.sha256) if isinstance(e, FileEntry)] == [path]
