"""Keys of `artfs serve`, and ids that its clients choose, each call in a caller's transaction."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select, update

from artfs.catalog.bulk import put_rows, upsert
from artfs.catalog.checked import key_record
from artfs.catalog.engine import now_ns
from artfs.catalog.rowchecks import HINT
from artfs.catalog.schema import api_keys, client_ids, server_secrets
from artfs.catalog.serving_records import OWN_KEY_NAME, HashedKey, KeyRecord
from artfs.errors import Conflict, DamagedRecord, PathNotFound

_LINKS = "links"


def secret(connection: Connection, fresh: bytes) -> bytes:
    """What ServingState.secret says."""
    put_rows(connection, server_secrets, [{"name": _LINKS, "value": fresh}])
    found = kept_secret(connection, len(fresh))
    assert found is not None
    return found


def kept_secret(connection: Connection, size_bytes: int) -> bytes | None:
    """The secret where there is one, of this size at least. Raises: DamagedRecord."""
    query = select(server_secrets.c.value).where(server_secrets.c.name == _LINKS)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    found = row[0]
    if not isinstance(found, bytes) or len(found) < size_bytes:
        raise DamagedRecord("the secret of links", "its row in the catalog is damaged", hint=HINT)
    return found


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
    return [key_record(row).record for row in connection.execute(query)]


def find_key(connection: Connection, key_id: str) -> HashedKey | None:
    """What ServingState.find_key says."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
    return None if row is None else key_record(row)


def lets_others_write(connection: Connection) -> bool:
    """What ServingState.lets_others_write says."""
    others = (api_keys.c.name != OWN_KEY_NAME) & api_keys.c.read_only.is_(False)
    query = select(api_keys.c.id).where(others).limit(1)
    return connection.execute(query).first() is not None


def revoke_key(connection: Connection, name: str) -> KeyRecord:
    """What ServingState.revoke_key says."""
    valid = (api_keys.c.name == name) & api_keys.c.revoked_at_ns.is_(None)
    connection.execute(update(api_keys).where(valid).values(revoked_at_ns=now_ns(connection)))
    row = connection.execute(select(api_keys).where(api_keys.c.name == name)).one_or_none()
    if row is None:
        raise PathNotFound(
            f"key {name!r}", "there is none of this name", hint="see `artfs keys ls`"
        )
    return key_record(row).record


def map_client_id(connection: Connection, client_id: str, artifact_id: str) -> None:
    """What ServingState.map_client_id says."""
    row = {
        "client_id": client_id,
        "artifact_id": artifact_id,
        "made_at_ns": now_ns(connection),
    }
    statement = upsert(connection, client_ids)
    statement = statement.on_conflict_do_update(
        index_elements=[client_ids.c.client_id],
        set_={"artifact_id": statement.excluded.artifact_id},
    )
    connection.execute(statement, [row])


def mapped_client_id(connection: Connection, client_id: str) -> str | None:
    """What ServingState.mapped_client_id says."""
    query = select(client_ids.c.artifact_id).where(client_ids.c.client_id == client_id)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found
