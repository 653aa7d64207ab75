"""The tables of a catalog, the same in SQLite and PostgreSQL.

Times are nanoseconds since the Unix epoch, UTC; digests are raw SHA-256 unless a comment says
otherwise; JSON is text, because a dataset's metadata may hold what a JSON column refuses (NaN).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

SCHEMA_VERSION = 5
"""Raised by every change that an older artfs must not write to."""

SCHEMA_KEY = "artfs_schema"
"""The setting that holds the schema's version."""

ID_KEY = "id"
"""The setting that tells this catalog from all others, whatever its address."""

LATEST = "latest"
"""The alias that every artifact and portfolio has as long as it has a version."""

metadata = MetaData()


class Raw(LargeBinary):
    """Bytes as the driver gives them.

    LargeBinary's own reading fails for a cell that is no bytes, and with it the whole answer.
    """

    cache_ok = True

    def result_processor(self, dialect: object, coltype: object) -> None:
        """None: there is nothing to do."""
        del dialect, coltype


class Sha256(Raw):
    """A digest."""

    cache_ok = True


settings = Table(
    "settings",
    metadata,
    Column("key", String(64), primary_key=True, comment="artfs_schema, id, format, entity, blobs"),
    Column("value", Text, nullable=False, comment="free text"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(128), nullable=False, unique=True, comment="unique in the store"),
    Column("created_at_ns", BigInteger, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("type", Text, nullable=False, comment="the one type of all its versions"),
    Column("is_portfolio", Boolean, nullable=False, comment="holds links to versions of others"),
    Column("next_index", Integer, nullable=False, comment="number of the next version or link"),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("deleted_at_ns", BigInteger, comment="set: gone, its name is free, lineage knows it"),
    Column("description", Text),
    Column("tags", Text, comment="JSON list of text; null: none"),
)
_artifacts_by_name = Index(
    "artifacts_by_name", artifacts.c.project_id, artifacts.c.name, unique=True
)

versions = Table(
    "versions",
    metadata,
    Column("id", String(32), primary_key=True, comment="random, 32 hexadecimal digits"),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False, comment="made in it"),
    Column("index", Integer, nullable=False, comment="7 for v7; dense, never used again"),
    Column("state", String(16), nullable=False, comment="PENDING, COMMITTED or DELETED"),
    Column("digest", String(32), nullable=False, comment="the W&B digest, hexadecimal"),
    Column(
        "content_digest", Text, nullable=False, comment="tells what a version holds, times excepted"
    ),
    Column("tree", Sha256(32), nullable=False, comment="the root directory object"),
    Column("size_bytes", BigInteger, nullable=False, comment="of all entries together"),
    Column("file_count", BigInteger, nullable=False, comment="files and references"),
    Column("description", Text),
    Column("metadata", Text, nullable=False, comment="JSON object"),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("ttl_s", BigInteger, comment="seconds from creation to expiry; null: never"),
    UniqueConstraint("artifact_id", "index"),
)
Index("versions_by_digest", versions.c.artifact_id, versions.c.digest)
Index("versions_by_time", versions.c.created_at_ns.desc(), versions.c.id)
Index("versions_by_content", versions.c.artifact_id, versions.c.content_digest)

links = Table(
    "links",
    metadata,
    Column("artifact_id", ForeignKey("artifacts.id"), primary_key=True, comment="or portfolio"),
    Column("index", Integer, primary_key=True, comment="the version's number in it"),
    Column("version_id", ForeignKey("versions.id"), nullable=False, index=True),
    UniqueConstraint("artifact_id", "version_id"),
    comment="the COMMITTED versions of every artifact and portfolio; deleting one unlinks it",
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", Text, primary_key=True, comment="latest among them, never vN"),
    Column("artifact_id", Integer, primary_key=True),
    Column("version_id", String(32), nullable=False),
    ForeignKeyConstraint(
        ["artifact_id", "version_id"],
        ["links.artifact_id", "links.version_id"],
        ondelete="CASCADE",
    ),
    Index("aliases_by_version", "version_id", "artifact_id"),
)

tags = Table(
    "tags",
    metadata,
    Column("version_id", ForeignKey("versions.id"), primary_key=True),
    Column("name", Text, primary_key=True),
)

commit_keys = Table(
    "commit_keys",
    metadata,
    Column("key", Text, primary_key=True, comment="chosen by the writer, one for each commit"),
    Column("version_id", ForeignKey("versions.id"), nullable=False, comment="what it got"),
)

search_segments = Table(
    "search_segments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("count", Integer, nullable=False, comment="of versions that have a position in it"),
    Column("newest_ns", BigInteger, nullable=False, comment="when the newest of them was created"),
    Column("versions", Raw, nullable=False, comment="of each position its time and id, 24 bytes"),
    comment="versions that searches find by an index; deleted and changed ones stay in it",
)


def _segment() -> Column[int]:
    """What goes with a segment."""
    of = ForeignKey("search_segments.id", ondelete="CASCADE")
    return Column("segment", of, primary_key=True, index=True)


search_slices = Table(
    "search_slices",
    metadata,
    Column("slice", Integer, primary_key=True, autoincrement=False, comment="a kind of grams"),
    _segment(),
    Column("bits", Raw, nullable=False, comment="the positions whose text has such grams"),
    sqlite_with_rowid=False,
)

search_numbers = Table(
    "search_numbers",
    metadata,
    Column("path", Text, primary_key=True, comment="keys of metadata, with dots"),
    _segment(),
    Column("numbers", Raw, nullable=False, comment="in order, 8 bytes; then positions, 2 bytes"),
)

search_pending = Table(
    "search_pending",
    metadata,
    Column("version_id", String(32), primary_key=True),
    Column("created_at_ns", BigInteger, nullable=False, index=True, comment="as in versions"),
    Column("changes", Integer, nullable=False, comment="counted so that each writes the row"),
    comment="versions of which no segment has the text as it is now; a search looks at each",
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True, comment="random, or as its maker called it"),
    Column("project_id", ForeignKey("projects.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("job_type", Text),
    Column("state", String(16), nullable=False, comment="running (or crashed), finished, failed"),
    Column("config", Text, nullable=False, comment="JSON object"),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("finished_at_ns", BigInteger),
)

run_details = Table(
    "run_details",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("details", Text, nullable=False, comment="JSON: group, tags, notes, summary and so on"),
)

run_inputs = Table(
    "run_inputs",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("version_id", ForeignKey("versions.id"), primary_key=True, index=True),
    Column("use_as", Text, comment="the name under which the run used it"),
    Column("first_used_at_ns", BigInteger, nullable=False),
)

run_outputs = Table(
    "run_outputs",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("version_id", ForeignKey("versions.id"), primary_key=True, index=True),
    Column("first_logged_at_ns", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("id", String(32), primary_key=True, comment="random, 32 hexadecimal digits"),
    Column("kind", String(16), nullable=False, comment="intake, staging, gc or run"),
    Column("subject", Text, nullable=False, comment="of a run its id"),
    Column("number", BigInteger, nullable=False, comment="numbers.last when it began"),
    Column("holder", Text, nullable=False, comment="for people"),
    Column("began_at_ns", BigInteger, nullable=False),
    Column("renewed_at_ns", BigInteger, nullable=False, comment="by the server's clock"),
    Column("tree", Sha256(32), comment="a root that is needed meanwhile"),
    comment="who is at work with a catalog on a server; beside a file, leases are files",
)

numbers = Table(
    "numbers",
    metadata,
    Column("last", BigInteger, primary_key=True, comment="how often something was condemned"),
    comment="one row: the order of condemnations and leases, which no clock tells",
)

packs = Table(
    "packs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", Sha256(32), nullable=False, unique=True, comment="of all its bytes"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("condemned_at_ns", BigInteger, comment="when gc found that no commit had named it"),
    Column("condemned_in", BigInteger, comment="the number of that condemnation"),
    Column("doomed", Boolean, nullable=False, server_default=false(), comment="as in blobs"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Sha256(32), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("pack_id", ForeignKey("packs.id"), comment="null: an object of its own"),
    Column("offset_bytes", BigInteger, nullable=False, comment="in the pack; 0 without one"),
    Column("condemned_at_ns", BigInteger, comment="when gc found it unreachable; null: wanted"),
    Column("condemned_in", BigInteger, comment="the number of that condemnation"),
    Column(
        "doomed",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="its object is being deleted: nothing may rely on it any more",
    ),
    Index("blobs_by_pack", "pack_id", "offset_bytes"),
    sqlite_with_rowid=False,
)
_condemned_blobs = Index("condemned_blobs", blobs.c.condemned_at_ns)

PARTIAL_INDEXES = (
    (_artifacts_by_name, artifacts.c.deleted_at_ns.is_(None)),
    (_condemned_blobs, blobs.c.condemned_at_ns.is_not(None)),
)
"""Indexes with the rows that they hold. Said when they are made: here it would import the dialect
of every database, which takes 50 ms of each command."""

# --- artfs serve: what servers over one store share ---------------------------------------------

server_secrets = Table(
    "server_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Raw, nullable=False, comment="what links are signed with"),
    comment="of all servers over this store; never in a copy of the catalog",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True, comment="the beginning of the key: it is no secret"),
    Column("name", String(128), nullable=False, unique=True),
    Column("salt", Raw(16), nullable=False),
    Column("hash", Raw(32), nullable=False, comment="BLAKE2b of the rest, with the salt"),
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
    Column("sha256", Sha256(32), comment="null: not uploaded yet"),
    Column("size_bytes", BigInteger),
    Column("blocks", Raw(64)),
)

uploads = Table(
    "uploads",
    metadata,
    Column("draft_id", ForeignKey("drafts.id", ondelete="CASCADE"), primary_key=True),
    Column("md5", Raw(16), primary_key=True),
    Column("sha256", Sha256(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blocks", Raw(64)),
)

contents = Table(
    "contents",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("md5", Raw(16), primary_key=True),
    Column("version_id", ForeignKey("versions.id"), nullable=False, index=True),
    Column("sha256", Sha256(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blocks", Raw(64)),
    comment="what clients need not send again, by the only digest that they know",
)

client_ids = Table(
    "client_ids",
    metadata,
    Column("client_id", String(128), primary_key=True, comment="chosen by a client for a draft"),
    Column("artifact_id", String(32), nullable=False, comment="of the draft, or version"),
    Column("made_at_ns", BigInteger, nullable=False),
)
