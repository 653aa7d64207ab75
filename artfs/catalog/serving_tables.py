"""The tables of `artfs serve`: keys, what clients are about to log, what runs say.

They are all that servers over one store share, beside its names and blobs.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from artfs.catalog.schema import metadata

secrets = Table(
    "server_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False, comment="what links are signed with"),
    comment="of all servers over this store; never in a copy of the catalog",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True, comment="the beginning of the key: it is no secret"),
    Column("name", String(128), nullable=False, unique=True),
    Column("salt", LargeBinary(16), nullable=False),
    Column("hash", LargeBinary(32), nullable=False, comment="BLAKE2b of the rest, with the salt"),
    Column("read_only", Boolean, nullable=False),
    Column("projects", Text, nullable=False, comment="JSON list; empty: all"),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("expires_at_ns", BigInteger),
    Column("revoked_at_ns", BigInteger),
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", String(32), primary_key=True, comment="becomes the version's id"),
    Column("project", String(128), nullable=False),
    Column("name", String(128), nullable=False),
    Column("distributed_id", Text, index=True, comment="several writers have it in common"),
    Column("request", Text, nullable=False, comment="JSON: a DraftRequest"),
    Column("touched_at_ns", BigInteger, nullable=False),
    comment="versions that clients are about to log; gc keeps what was uploaded for them",
)

draft_manifests = Table(
    "draft_manifests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("draft_id", ForeignKey("drafts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("number", Integer, nullable=False, comment="the order in which they are laid over"),
    Column("kind", String(16), nullable=False, comment="FULL, INCREMENTAL or PATCH"),
    Column("writer", Text, nullable=False, comment="the run that makes it"),
    Column("base_id", String(32), comment="the version that it changes"),
    Column("sha256", LargeBinary(32), comment="null: not uploaded yet"),
    Column("size_bytes", BigInteger),
    Column("blocks", LargeBinary(32)),
)

uploads = Table(
    "uploads",
    metadata,
    Column("draft_id", ForeignKey("drafts.id", ondelete="CASCADE"), primary_key=True),
    Column("md5", LargeBinary(16), primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blocks", LargeBinary(32)),
)

contents = Table(
    "contents",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("md5", LargeBinary(16), primary_key=True),
    Column("version_id", ForeignKey("versions.id"), nullable=False, index=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blocks", LargeBinary(32)),
    comment="what clients need not send again, by the only digest that they know",
)

client_ids = Table(
    "client_ids",
    metadata,
    Column("client_id", String(128), primary_key=True, comment="chosen by a client for a draft"),
    Column("artifact_id", String(32), nullable=False, comment="of the draft, or version"),
    Column("made_at_ns", BigInteger, nullable=False),
)

run_details = Table(
    "run_details",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("details", Text, nullable=False, comment="JSON: group, tags, notes, summary and so on"),
)
