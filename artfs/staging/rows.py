"""Nodes as rows of the index, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from artfs.manifest.entries import FileEntry, ReferenceEntry
from artfs.model import Digest
from artfs.staging.changes import NodeRow
from artfs.staging.nodes import BaseContent, DirectoryNode, FileNode, Node, SymlinkNode

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[FileEntry | ReferenceEntry] = msgspec.msgpack.Decoder(
    FileEntry | ReferenceEntry
)


def row_of(node: Node, **changed: Any) -> NodeRow:
    """The row of a node, as it is or as it will be with some of its values changed."""
    content: bytes | str | None
    if isinstance(node, FileNode):
        kind = "f"
        entry: BaseContent | None = changed.get("content", node.content)
        content = None if entry is None else _encoder.encode(entry)
    elif isinstance(node, DirectoryNode):
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


def node_from_row(row: NodeRow) -> Node:
    """The node that a row tells of, with no names yet."""
    node_id, kind, mode, uid, gid, mtime_ns, ctime_ns, content = row
    node: Node
    if kind == "f":
        entry = _decoder.decode(content) if isinstance(content, bytes) else None
        node = FileNode(node_id, content=entry, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
    elif kind == "d":
        base = Digest(content) if isinstance(content, bytes) else None
        node = DirectoryNode(node_id, base=base, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
    else:
        assert isinstance(content, str)
        node = SymlinkNode(node_id, target=content, uid=uid, gid=gid, mtime_ns=mtime_ns)
    node.ctime_ns = ctime_ns
    return node
