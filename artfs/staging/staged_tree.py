"""The tree of a staging area: what names there are, and every change of them.

It behaves as a POSIX directory tree does and raises OSError with the errno of POSIX. A change is
checked, then committed to the index, then made in memory: an index that cannot be written, on a
full disk, leaves everything as it was.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from artfs.model import MAX_ENTRY_NAME_BYTES
from artfs.staging.checked import row_of
from artfs.staging.journal import Changes
from artfs.staging.nodes import BaseContent, FileNode, StagedDirectory, StagedNode, SymlinkNode
from artfs.staging.view import TreeView
from artfs.staging.writers import Writers


class StagedTree(TreeView):
    """Names and nodes that can be changed. Thread-safe, as TreeView."""

    # --- making ------------------------------------------------------------------------------

    def create(
        self,
        parent: StagedDirectory,
        name: str,
        *,
        mode: int,
        uid: int,
        gid: int,
        writers: Writers,
    ) -> FileNode:
        """Make an empty file, and leave its plain file open as with one open for writing.

        `writers` notes it before its name is there: one whose process dies in between would seem
        to be a file that somebody has closed.
        """
        with self.lock:
            self._check_free(parent, name)
            node = FileNode(
                self.new_id(),
                content=None,
                mode=stat.S_IMODE(mode),
                uid=uid,
                gid=_inherited_gid(parent, gid),
                mtime_ns=time.time_ns(),
            )
            opened = self.plain.create(node.id)
            try:
                writers.add(node)
                self._add(parent, name, node)
            except BaseException:
                writers.discard(node)
                self.plain.remove(node.id)
                raise
            node.plain, node.opens, node.writers = opened, 1, 1
            return node

    def make_directory(
        self, parent: StagedDirectory, name: str, *, mode: int, uid: int, gid: int
    ) -> StagedDirectory:
        """Make an empty directory."""
        with self.lock:
            self._check_free(parent, name)
            node = StagedDirectory(
                self.new_id(),
                base=None,
                mode=stat.S_IMODE(mode) | parent.mode & stat.S_ISGID,
                uid=uid,
                gid=_inherited_gid(parent, gid),
                mtime_ns=time.time_ns(),
            )
            self._add(parent, name, node)
            return node

    def make_symlink(
        self, parent: StagedDirectory, name: str, target: str, *, uid: int, gid: int
    ) -> SymlinkNode:
        """Make a symbolic link."""
        with self.lock:
            self._check_free(parent, name)
            node = SymlinkNode(
                self.new_id(),
                target=_encodable(target),
                uid=uid,
                gid=_inherited_gid(parent, gid),
                mtime_ns=time.time_ns(),
            )
            self._add(parent, name, node)
            return node

    def link(self, node: StagedNode, parent: StagedDirectory, name: str) -> None:
        """Give a file or symlink one more name."""
        with self.lock:
            self._check_free(parent, name)
            if isinstance(node, StagedDirectory):
                raise _refused(errno.EPERM, name)
            if node.link_count == 0:
                raise _refused(errno.ENOENT, name)
            self._add(parent, name, node)

    # --- removing and renaming ---------------------------------------------------------------

    def unlink(self, parent: StagedDirectory, name: str) -> None:
        """Remove a name that is no directory's; an open file stays until it is closed."""
        with self.lock:
            node = self._existing(parent, name)
            if isinstance(node, StagedDirectory):
                raise _refused(errno.EISDIR, name)
            self._remove(parent, name, node)

    def remove_directory(self, parent: StagedDirectory, name: str) -> None:
        """Remove an empty directory."""
        with self.lock:
            node = self._existing(parent, name)
            if not isinstance(node, StagedDirectory):
                raise _refused(errno.ENOTDIR, name)
            if not self.is_empty(node):
                raise _refused(errno.ENOTEMPTY, name)
            self._remove(parent, name, node)

    def rename(
        self,
        parent: StagedDirectory,
        name: str,
        new_parent: StagedDirectory,
        new_name: str,
        *,
        replace: bool = True,
    ) -> None:
        """Give a node another name, taking it from whatever had it."""
        with self.lock:
            node = self._existing(parent, name)
            _check_name(new_name)
            _check_alive(new_parent)
            target = self.child(new_parent, new_name)
            if target is not None and not replace:
                raise _refused(errno.EEXIST, new_name)
            _check_not_below(node, new_parent)
            if target is node:
                return
            if target is not None:
                self._check_replaceable(node, target, new_name)
            now_ns = time.time_ns()
            changes = Changes()
            self._persist(changes, node)
            self._hide(changes, parent, name)
            if target is not None:
                self._unname(changes, target)
                if target.link_count > 1:
                    changes.nodes.append(row_of(target, ctime_ns=now_ns))
            changes.links.append((new_parent.id, new_name, node.id))
            changes.nodes.append(row_of(node, ctime_ns=now_ns))
            self._touch(changes, now_ns, parent, new_parent)
            self.index.apply(changes)
            self._applied(changes, now_ns, parent, new_parent)
            if target is not None:
                # Its other names tell that it has one less.
                target.ctime_ns = now_ns
                self._erase(new_parent, new_name, target)
                self.forget(target)
            # The new name first: a node without any is gone.
            node.add_place(new_parent, new_name)
            self._erase(parent, name, node)
            new_parent.children[new_name] = node
            node.ctime_ns = now_ns

    def exchange(
        self, parent: StagedDirectory, name: str, other_parent: StagedDirectory, other_name: str
    ) -> None:
        """Let two nodes take each other's name."""
        with self.lock:
            node = self._existing(parent, name)
            other = self._existing(other_parent, other_name)
            _check_not_below(node, other_parent)
            _check_not_below(other, parent)
            if node is other:
                return
            now_ns = time.time_ns()
            changes = Changes()
            self._persist(changes, node)
            self._persist(changes, other)
            changes.links.append((parent.id, name, other.id))
            changes.links.append((other_parent.id, other_name, node.id))
            changes.nodes += [row_of(each, ctime_ns=now_ns) for each in (node, other)]
            self._touch(changes, now_ns, parent, other_parent)
            self.index.apply(changes)
            self._applied(changes, now_ns, parent, other_parent)
            node.remove_place(parent, name)
            other.remove_place(other_parent, other_name)
            node.add_place(other_parent, other_name)
            other.add_place(parent, name)
            parent.children[name] = other
            other_parent.children[other_name] = node
            node.ctime_ns = other.ctime_ns = now_ns

    # --- attributes --------------------------------------------------------------------------

    def change(
        self,
        node: StagedNode,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change mode, owner or the times of what has no plain file; ctime becomes now.

        Where only ctime changes, the index is not told. It does not keep an atime, but the node.
        """
        with self.lock:
            values = {
                "mode": None if mode is None else stat.S_IMODE(mode),
                "uid": uid,
                "gid": gid,
                "mtime_ns": mtime_ns,
            }
            chosen = {
                name: value
                for name, value in values.items()
                if value is not None and value != getattr(node, name)
            }
            node.ctime_ns = time.time_ns()
            # tar and rsync say for each file what it is already.
            is_forgettable = atime_ns is not None and not node.persisted
            if (chosen or is_forgettable) and node.link_count:
                changes = Changes()
                self._persist(changes, node)
                changes.nodes.append(row_of(node, **chosen))
                self.index.apply(changes)
                self._applied(changes)
            for name, value in chosen.items():
                setattr(node, name, value)
            if atime_ns is not None:
                node.atime_ns = atime_ns

    def set_content(self, node: FileNode, content: BaseContent | None) -> None:
        """Say what a file shows: content that a version has, or its plain file."""
        with self.lock:
            if node.link_count:
                changes = Changes()
                self._persist(changes, node)
                changes.nodes.append(row_of(node, content=content))
                self.index.apply(changes)
                self._applied(changes)
            node.content = content

    def expect_plain(self, node: FileNode) -> None:
        """Say that a plain file of this node, which shows content of a version, is no loss."""
        with self.lock:
            changes = Changes()
            changes.gone.append(node.id)
            if node.link_count:
                self._persist(changes, node)
                changes.nodes.append(row_of(node))
            self.index.apply(changes)
            self._applied(changes)

    # --- parts of changes --------------------------------------------------------------------

    def _add(self, parent: StagedDirectory, name: str, node: StagedNode) -> None:
        """Commit a new name of a node, then show it."""
        now_ns = time.time_ns()
        changes = Changes()
        if node.link_count:
            self._persist(changes, node)
            changes.nodes.append(row_of(node, ctime_ns=now_ns))
        else:
            changes.nodes.append(row_of(node))
            changes.newly_persisted.append(node)
        changes.links.append((parent.id, name, node.id))
        self._touch(changes, now_ns, parent)
        self.index.apply(changes)
        self._applied(changes, now_ns, parent)
        node.ctime_ns = now_ns
        node.add_place(parent, name)
        parent.children[name] = node
        self.nodes[node.id] = node

    def _remove(self, parent: StagedDirectory, name: str, node: StagedNode) -> None:
        now_ns = time.time_ns()
        changes = Changes()
        self._hide(changes, parent, name)
        self._unname(changes, node)
        if node.link_count > 1:
            changes.nodes.append(row_of(node, ctime_ns=now_ns))
        self._touch(changes, now_ns, parent)
        self.index.apply(changes)
        self._applied(changes, now_ns, parent)
        node.ctime_ns = now_ns
        self._erase(parent, name, node)
        self.forget(node)

    def _hide(self, changes: Changes, parent: StagedDirectory, name: str) -> None:
        """Let a name be gone from the index, and not show through from the base."""
        base = self.base(parent)
        if base is not None and base.position(name) is not None:
            changes.links.append((parent.id, name, None))
        else:
            changes.removed_links.append((parent.id, name))

    def _unname(self, changes: Changes, node: StagedNode) -> None:
        """Let a node lose one name; with the last one it leaves the index."""
        if node.link_count > 1:
            self._persist(changes, node)
        elif node.persisted:
            changes.gone.append(node.id)
            if isinstance(node, StagedDirectory):
                changes.vanished.append(node.id)

    def _erase(self, parent: StagedDirectory, name: str, node: StagedNode) -> None:
        """Take a name away in memory, as the index has it."""
        base = self.base(parent)
        if base is not None and base.position(name) is not None:
            parent.children[name] = None
        else:
            del parent.children[name]
        node.remove_place(parent, name)
        if node.link_count == 0:
            node.persisted = False
            if isinstance(node, StagedDirectory):
                node.children.clear()
                node.base = None

    def _persist(self, changes: Changes, node: StagedNode) -> None:
        """Make sure that the index knows a node, and every directory on the way to it."""
        current: StagedNode | None = node
        while current is not None and not current.persisted:
            if current in changes.newly_persisted:
                return
            changes.nodes.append(row_of(current))
            changes.newly_persisted.append(current)
            for parent, name in current.places():
                changes.links.append((parent.id, name, current.id))
            current = current.parent

    def _touch(self, changes: Changes, now_ns: int, *directories: StagedDirectory) -> None:
        """Let the mtime of directories be now, as for every change of their names."""
        for directory in directories:
            self._persist(changes, directory)
            changes.nodes.append(row_of(directory, mtime_ns=now_ns, ctime_ns=now_ns))

    def _applied(self, changes: Changes, now_ns: int = 0, *directories: StagedDirectory) -> None:
        for node in changes.newly_persisted:
            node.persisted = True
        for directory in directories:
            directory.mtime_ns = directory.ctime_ns = now_ns

    def _existing(self, parent: StagedDirectory, name: str) -> StagedNode:
        node = self.child(parent, name)
        if node is None:
            raise _refused(errno.ENOENT, name)
        return node

    def _check_free(self, parent: StagedDirectory, name: str) -> None:
        _check_name(name)
        _check_alive(parent)
        if self.child(parent, name) is not None:
            raise _refused(errno.EEXIST, name)

    def _check_replaceable(self, node: StagedNode, target: StagedNode, name: str) -> None:
        if isinstance(target, StagedDirectory):
            if not isinstance(node, StagedDirectory):
                raise _refused(errno.EISDIR, name)
            if not self.is_empty(target):
                raise _refused(errno.ENOTEMPTY, name)
        elif isinstance(node, StagedDirectory):
            raise _refused(errno.ENOTDIR, name)


def _refused(number: int, name: str) -> OSError:
    return OSError(number, os.strerror(number), name)


def _check_name(name: str) -> None:
    if not 0 < len(_encodable(name).encode()) <= MAX_ENTRY_NAME_BYTES:
        raise _refused(errno.ENAMETOOLONG if name else errno.ENOENT, name)
    if name in {".", ".."} or "/" in name or "\0" in name:
        raise _refused(errno.EINVAL, name)


def _encodable(text: str) -> str:
    """Names and targets are UTF-8: what is not cannot be in a version."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(errno.EILSEQ, ascii(text)) from None
    return text


def _check_alive(parent: StagedDirectory) -> None:
    if parent.link_count == 0:
        raise _refused(errno.ENOENT, parent.name)


def _check_not_below(node: StagedNode, parent: StagedDirectory) -> None:
    current: StagedDirectory | None = parent
    while current is not None:
        if current is node:
            raise _refused(errno.EINVAL, node.name)
        current = current.parent


def _inherited_gid(parent: StagedDirectory, gid: int) -> int:
    return parent.gid if parent.mode & stat.S_ISGID else gid
