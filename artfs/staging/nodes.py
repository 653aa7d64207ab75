"""The nodes of a staging area: files, directories and symlinks, changed or as in the base.

A node lives in memory as long as it differs from the base version, or somebody refers to it.
Everything here is plain state; `artfs/staging/staged_tree.py` changes it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

import msgspec

from artfs.blobs.hashing import ContentHash
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import Digest
from artfs.staging.plain import PlainFile
from artfs.system.files import FileState

ROOT_ID = 1
BASE_ID_BIT = 1 << 59
"""Set in the ids of nodes that the base brought; new ones are counted from below it."""

FILE_MODE = 0o644
EXECUTABLE_MODE = 0o755
DIRECTORY_MODE = 0o755
SYMLINK_MODE = 0o777

BaseContent = FileEntry | ReferenceEntry


class StagedNode:
    """What files, directories and symlinks have in common."""

    __slots__ = (
        "atime_ns",
        "ctime_ns",
        "gid",
        "id",
        "lookups",
        "mode",
        "more_places",
        "mtime_ns",
        "name",
        "parent",
        "persisted",
        "uid",
    )

    file_type = 0

    def __init__(self, node_id: int, *, mode: int, uid: int, gid: int, mtime_ns: int) -> None:
        self.id = node_id
        self.mode = mode
        """Permission bits, set-id bits and the sticky bit."""
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        """Of a file with content of its own, its plain file knows better."""
        self.ctime_ns = mtime_ns
        self.atime_ns: int | None = None
        """As somebody set it, for what has no plain file; kept in memory alone."""
        self.parent: StagedDirectory | None = None
        self.name = ""
        self.more_places: list[tuple[StagedDirectory, str]] | None = None
        """The other names of a file with hard links."""
        self.lookups = 0
        """How often a mount's kernel refers to it."""
        self.persisted = False
        """Whether the index knows it; otherwise it is exactly what the base says."""

    @property
    def full_mode(self) -> int:
        """The mode with the file type, as stat(2) tells it."""
        return self.file_type | self.mode

    @property
    def link_count(self) -> int:
        """How many names it has; 0 for one that was removed and is still in use."""
        if self.parent is None:
            return 1 if self.id == ROOT_ID else 0
        return 1 + (len(self.more_places) if self.more_places else 0)

    def places(self) -> Iterator[tuple[StagedDirectory, str]]:
        """Every directory and name under which it stands."""
        if self.parent is not None:
            yield self.parent, self.name
        yield from self.more_places or ()

    def add_place(self, parent: StagedDirectory, name: str) -> None:
        """Take note of a new name."""
        if self.parent is None:
            self.parent, self.name = parent, name
        elif self.more_places is None:
            self.more_places = [(parent, name)]
        else:
            self.more_places.append((parent, name))

    def remove_place(self, parent: StagedDirectory, name: str) -> None:
        """Take note that a name is gone."""
        if self.parent is parent and self.name == name:
            self.parent, self.name = self.more_places.pop() if self.more_places else (None, "")
        elif self.more_places:
            self.more_places.remove((parent, name))
        self.more_places = self.more_places or None

    def path(self) -> str:
        """The path below the root, by its first name; empty for the root itself."""
        parts: list[str] = []
        node: StagedNode | None = self
        while node is not None and node.parent is not None:
            parts.append(node.name)
            node = node.parent
        return "/".join(reversed(parts))


class Hashed(msgspec.Struct, frozen=True, gc=False):
    """The digests of a file's own content."""

    generation: int
    """Of the node, when it was hashed."""
    state: FileState
    """Of its plain file: anything else that changed it shows here."""
    content: ContentHash


class FileNode(StagedNode):
    """A file: content of the base, or a plain file of the area."""

    __slots__ = (
        "content",
        "generation",
        "hashed",
        "most_bytes",
        "opens",
        "plain",
        "sealed",
        "writers",
    )

    file_type = stat.S_IFREG

    def __init__(
        self,
        node_id: int,
        *,
        content: BaseContent | None,
        mode: int,
        uid: int,
        gid: int,
        mtime_ns: int,
    ) -> None:
        super().__init__(node_id, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
        self.content = content
        """What the base or an earlier commit has; None: the plain file of this node."""
        self.plain: PlainFile | None = None
        """The plain file while it is open."""
        self.opens = 0
        self.writers = 0
        """How many of the opens may write."""
        self.generation = 0
        """Counts what may have changed the content."""
        self.most_bytes = 0
        """At least the size of the plain file; what it was once, where it was cut since."""
        self.sealed = False
        """The store shares the plain file: it must not be written to any more."""
        self.hashed: Hashed | None = None
        """The digests of the content, and the generation that they are of."""


class SymlinkNode(StagedNode):
    """A symbolic link."""

    __slots__ = ("target",)

    file_type = stat.S_IFLNK

    def __init__(self, node_id: int, *, target: str, uid: int, gid: int, mtime_ns: int) -> None:
        super().__init__(node_id, mode=SYMLINK_MODE, uid=uid, gid=gid, mtime_ns=mtime_ns)
        self.target = target


class StagedDirectory(StagedNode):
    """A directory: a base, which may be empty, and what differs from it."""

    __slots__ = ("base", "children")

    file_type = stat.S_IFDIR

    def __init__(
        self, node_id: int, *, base: Digest | None, mode: int, uid: int, gid: int, mtime_ns: int
    ) -> None:
        super().__init__(node_id, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
        self.base = base
        """The directory object that shows through."""
        self.children: dict[str, StagedNode | None] = {}
        """Names that are known; None for one of the base that was removed."""
