"""Rows of a staging area's index into nodes, and back, as `artfs/catalog/checked.py` does for the
catalog: what is not what this artfs writes becomes one error that names the area, before anything
else has looked at it, or at the plain files that the rows tell of.

A row is checked alone first, then against the others: the names must be a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from artfs.catalog.rowchecks import WRONG, check_names, reason_of
from artfs.decoding import analysed
from artfs.errors import StoreFormatError
from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import BLOCK_LIST_KEY_BYTES, MAX_ENTRY_NAME_BYTES, Digest, check_entry_name
from artfs.staging.journal import NodeId, NodeRow
from artfs.staging.meta import Account, AreaMeta, decode_meta
from artfs.staging.nodes import (
    BASE_ID_BIT,
    ROOT_ID,
    BaseContent,
    FileNode,
    StagedDirectory,
    StagedNode,
    SymlinkNode,
)

_entry_decoder: msgspec.msgpack.Decoder[FileEntry | ReferenceEntry] = msgspec.msgpack.Decoder(
    analysed(FileEntry | ReferenceEntry)
)

_MAX_NEW_ID = 1 << 48
"""New ids are counted: nobody gets as far."""
_MD5_BYTES = 16
_SHA256_BYTES = 32
_MAX_SIZE_BYTES = 2**63 - 1
_MAX_TARGET_BYTES = 4096

_Mode = Annotated[int, Meta(ge=0, le=0o7777)]
_Time = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


_encoder = msgspec.msgpack.Encoder()


class _Node(msgspec.Struct, array_like=True, frozen=True):
    id: NodeId
    kind: str
    mode: _Mode
    uid: Account
    gid: Account
    mtime_ns: _Time
    ctime_ns: _Time
    content: Any


class _Link(msgspec.Struct, array_like=True, frozen=True):
    parent: NodeId
    name: str
    node: NodeId | None


def row_of(node: StagedNode, **changed: Any) -> NodeRow:
    """The row of a node, as it is or as it will be with some of its values changed."""
    content: bytes | str | None
    if isinstance(node, FileNode):
        kind = "f"
        entry: BaseContent | None = changed.get("content", node.content)
        content = None if entry is None else _encoder.encode(entry)
    elif isinstance(node, StagedDirectory):
        kind, content = "d", node.base
    else:
        assert isinstance(node, SymlinkNode)
        kind, content = "l", node.target
    return (
        node.id,
        kind,
        changed.get("mode", node.mode),
        changed.get("uid", node.uid),
        changed.get("gid", node.gid),
        changed.get("mtime_ns", node.mtime_ns),
        changed.get("ctime_ns", node.ctime_ns),
        content,
    )


def damaged_index(area: Path, reason: str) -> StoreFormatError:
    """The error that says so, and where the files are."""
    return StoreFormatError(
        str(area),
        f"its index is damaged ({reason})",
        hint=f"all files are kept: `artfs staging salvage {area.name} DIRECTORY` copies them out, "
        f"`artfs staging drop {area.name}` gives them up",
    )


def checked_meta(area: Path, text: Any) -> AreaMeta:
    """What the area at this path says of itself. Raises: StoreFormatError."""
    try:
        meta = decode_meta(text)
        check_names(meta.project, meta.name)
        if meta.id != area.name:
            raise ValueError(f"it says that it is {meta.id!r}")
        if meta.base_tree is not None:
            _digest(meta.base_tree)
    except WRONG as error:
        raise damaged_index(area, reason_of(error)) from error
    return meta


def checked_tree(
    area: Path, rows: Iterable[Sequence[Any]], links: Iterable[Sequence[Any]]
) -> dict[int, StagedNode]:
    """The nodes of these rows by id, each in its places. Raises: StoreFormatError."""
    nodes: dict[int, StagedNode] = {}
    for row in rows:
        try:
            node = _node(row)
            if node.id in nodes:
                raise ValueError("it is there twice")
        except WRONG as error:
            raise damaged_index(area, f"node {row[0]!r}: {reason_of(error)}") from error
        nodes[node.id] = node
    if not isinstance(nodes.get(ROOT_ID), StagedDirectory):
        raise damaged_index(area, "it has no root")
    for row in links:
        try:
            _link(msgspec.convert(tuple(row), analysed(_Link), builtin_types=(bytes,)), nodes)
        except WRONG as error:
            raise damaged_index(area, f"name {row[1]!r}: {reason_of(error)}") from error
    _check_connected(area, nodes)
    return nodes


def _node(row: Sequence[Any]) -> StagedNode:
    found = msgspec.convert(tuple(row), analysed(_Node), builtin_types=(bytes,))
    if not found.id & BASE_ID_BIT and found.id > _MAX_NEW_ID:
        raise ValueError("a number that is not given")
    uid, gid, mtime_ns, content = found.uid, found.gid, found.mtime_ns, found.content
    node: StagedNode
    if found.kind == "f":
        entry = None if content is None else _entry(content)
        node = FileNode(
            found.id, content=entry, mode=found.mode, uid=uid, gid=gid, mtime_ns=mtime_ns
        )
    elif found.kind == "d":
        base = None if content is None else _digest(content)
        node = StagedDirectory(
            found.id, base=base, mode=found.mode, uid=uid, gid=gid, mtime_ns=mtime_ns
        )
    elif found.kind == "l":
        node = SymlinkNode(found.id, target=_target(content), uid=uid, gid=gid, mtime_ns=mtime_ns)
    else:
        raise ValueError(f"of kind {found.kind!r}")
    node.ctime_ns = found.ctime_ns
    node.persisted = True
    return node


def _entry(content: Any) -> BaseContent:
    if not isinstance(content, bytes):
        raise TypeError("content that is no entry")
    entry = _entry_decoder.decode(content)
    check_entry_name(entry.name)
    if entry.size_bytes is not None and not 0 <= entry.size_bytes <= _MAX_SIZE_BYTES:
        raise ValueError("a size that none can be")
    if not -_MAX_SIZE_BYTES <= entry.mtime_ns <= _MAX_SIZE_BYTES:
        raise ValueError("a time that none can be")
    if isinstance(entry, FileEntry) and len(entry.md5) != _MD5_BYTES:
        raise ValueError("an MD5 that is none")
    if isinstance(entry, FileEntry):
        _digest(entry.sha256)
        if entry.blocks is not None and len(entry.blocks) != BLOCK_LIST_KEY_BYTES:
            raise ValueError("a block list that is none")
    return entry


def _digest(content: Any) -> Digest:
    if not isinstance(content, bytes) or len(content) != _SHA256_BYTES:
        raise ValueError("a SHA-256 that is none")
    return Digest(content)


def _target(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("a target that is no text")
    if "\0" in content or not 0 < len(content.encode()) <= _MAX_TARGET_BYTES:
        raise ValueError("a target that is none")
    return content


def _link(link: _Link, nodes: dict[int, StagedNode]) -> None:
    name = link.name
    check_names(name)
    if len(name.encode()) > MAX_ENTRY_NAME_BYTES:
        raise ValueError("a name that is too long")
    parent = nodes.get(link.parent)
    if not isinstance(parent, StagedDirectory):
        raise TypeError(f"it is in {link.parent}, which is no directory")
    if name in parent.children:
        raise ValueError("it is there twice")
    child = None
    if link.node is not None:
        child = nodes.get(link.node)
        if child is None:
            raise ValueError(f"it is of node {link.node}, which is not there")
        if child is nodes[ROOT_ID]:
            raise ValueError("it is of the root")
        if isinstance(child, StagedDirectory) and child.parent is not None:
            raise ValueError("it is a second one of a directory")
        child.add_place(parent, name)
    parent.children[name] = child


def _check_connected(area: Path, nodes: dict[int, StagedNode]) -> None:
    """Every node has a name, and every name is below the root. Raises: StoreFormatError."""
    reached = {ROOT_ID}
    waiting = [nodes[ROOT_ID]]
    while waiting:
        directory = waiting.pop()
        assert isinstance(directory, StagedDirectory)
        for child in directory.children.values():
            if child is not None and child.id not in reached:
                reached.add(child.id)
                if isinstance(child, StagedDirectory):
                    waiting.append(child)
    if len(reached) != len(nodes):
        lost = min(node_id for node_id in nodes if node_id not in reached)
        why = "has no name" if nodes[lost].parent is None else "is in a directory that is in itself"
        raise damaged_index(area, f"node {lost}: it {why}")
