"""W&B servers as stores: names and manifests from the server, bytes through the block cache."""

from __future__ import annotations

from artfs.content.remote import open_cache
from artfs.repository.facade import Repository, StoreInfo
from artfs.wandbstore.address import parse_store
from artfs.wandbstore.catalog import WandbCatalog
from artfs.wandbstore.client import WandbServer
from artfs.wandbstore.files import Connection, WandbHandler
from artfs.wandbstore.refusals import NoObjects, NoWorkspace

ALIAS_TTL_S = 30.0
"""A server counts requests, and most of them limit how many there may be."""


def open_server(address: str, *, read_directly: bool = False) -> Repository:
    """Open the store that `wandb://HOST/ENTITY` names.

    `read_directly`: see open_store. Blocks: on one request.
    Raises: InvalidArgument, StoreNotFound, ConfigError, PermissionDenied, BackendUnavailable.
    """
    server_address, entity = parse_store(address)
    location = f"{server_address}/{entity}"
    server = WandbServer(server_address, named=True)
    cache = open_cache(read_directly=read_directly)
    connection = Connection(server, cache)
    connection.names.require_entity(entity)
    catalog = WandbCatalog(server, connection.names, entity)
    return Repository(
        StoreInfo(location, entity, None, catalog.settings()["id"], alias_ttl_s=ALIAS_TTL_S),
        catalog=catalog,
        objects=NoObjects(location),
        workspace=NoWorkspace(location),
        cache=cache,
        server_handler=WandbHandler(cache=cache, connection=connection),
        trees=connection.trees,
        read_directly=read_directly,
    )
