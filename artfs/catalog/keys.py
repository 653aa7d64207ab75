"""Keys of `artfs serve`, each call in a caller's transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, select, update

from artfs.catalog.bulk import put_rows
from artfs.catalog.engine import now_ns
from artfs.catalog.serving_records import HashedKey, KeyRecord
from artfs.catalog.serving_tables import api_keys, secrets
from artfs.errors import Conflict, PathNotFound

_LINKS = "links"


def secret(connection: Connection, fresh: bytes) -> bytes:
    """What ServingState.secret says."""
    put_rows(connection, secrets, [{"name": _LINKS, "value": fresh}])
    found = connection.execute(select(secrets.c.value).where(secrets.c.name == _LINKS))
    return bytes(found.scalar_one())


def add_key(connection: Connection, key: HashedKey) -> None:
    """What ServingState.add_key says."""
    record = key.record
    taken = select(api_keys.c.revoked_at_ns).where(api_keys.c.name == record.name)
    found = connection.execute(taken.with_for_update()).one_or_none()
    if found is not None:
        if found[0] is None:
            raise Conflict(
                f"key {record.name!r}", "there is one already", hint="revoke it, or choose another"
            )
        connection.execute(api_keys.delete().where(api_keys.c.name == record.name))
    row = {
        "id": record.id,
        "name": record.name,
        "salt": key.salt,
        "hash": key.hash,
        "read_only": record.read_only,
        "projects": json.dumps(record.projects),
        "created_at_ns": now_ns(connection),
        "expires_at_ns": record.expires_at_ns,
        "revoked_at_ns": None,
    }
    connection.execute(api_keys.insert(), row)


def list_keys(connection: Connection) -> list[KeyRecord]:
    """What ServingState.keys says."""
    query = select(api_keys).where(api_keys.c.revoked_at_ns.is_(None)).order_by(api_keys.c.name)
    return [_record(row) for row in connection.execute(query)]


def find_key(connection: Connection, key_id: str) -> HashedKey | None:
    """What ServingState.find_key says."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
    return None if row is None else HashedKey(_record(row), bytes(row.salt), bytes(row.hash))


def revoke_key(connection: Connection, name: str) -> KeyRecord:
    """What ServingState.revoke_key says."""
    valid = (api_keys.c.name == name) & api_keys.c.revoked_at_ns.is_(None)
    connection.execute(update(api_keys).where(valid).values(revoked_at_ns=now_ns(connection)))
    row = connection.execute(select(api_keys).where(api_keys.c.name == name)).one_or_none()
    if row is None:
        raise PathNotFound(
            f"key {name!r}", "there is none of this name", hint="see `artfs keys ls`"
        )
    return _record(row)


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        name=row.name,
        read_only=bool(row.read_only),
        projects=tuple(map(str, json.loads(row.projects))),
        created_at_ns=row.created_at_ns,
        expires_at_ns=row.expires_at_ns,
        revoked_at_ns=row.revoked_at_ns,
    )
