"""A catalog whose process is forked in the midst of its transactions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, select, text

from artfs.catalog.engine import postgresql_database
from artfs.catalog.schema import settings
from artfs.catalog.sql import SqlCatalog
from artfs.errors import BackendUnavailable
from artfs.testing.catalog_samples import a_commit, put
from tests.servers.postgres import PostgreSQL
from tests.support.forked import ends_well, start, works_in_child


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlCatalog]:
    if request.param == "sqlite":
        made = SqlCatalog.sqlite(tmp_path / "catalog.sqlite", create=True)
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        made = SqlCatalog.connect(server.new_schema(), create=True)
    with closing(made):
        put(made, "first")
        yield made


def test_parent_and_child_write_at_the_same_time(catalog: SqlCatalog) -> None:
    def write(name: str) -> None:
        for number in range(10):
            put(catalog, f"{name} {number}", name=name)

    children = [start(lambda name=f"child-{number}": write(name)) for number in range(3)]  # type: ignore[misc]
    write("parent")
    for child in children:
        assert ends_well(child)
    assert [found.name for found in catalog.artifacts()] == [
        "child-0",
        "child-1",
        "child-2",
        "data",
        "parent",
    ]
    assert catalog.check() == []


def test_a_fork_waits_for_the_transactions_of_other_threads(catalog: SqlCatalog) -> None:
    inside, go_on = Event(), Event()

    def confirm(*_recorded: object) -> None:
        inside.set()
        go_on.wait()

    def commit() -> None:
        catalog.commit(a_commit("slow", name="slow"), confirm=confirm)

    def see() -> bool:
        return {found.name for found in catalog.artifacts()} == {"data", "slow"}

    thread = Thread(target=commit)
    thread.start()
    inside.wait()
    Thread(target=go_on.set).start()
    assert works_in_child(see)
    thread.join()


def test_a_transaction_goes_on_that_its_own_thread_forks_from(catalog: SqlCatalog) -> None:
    """The child of an embedded store is told that it has to be started in another way."""
    worked = list[bool]()
    is_shared = catalog._database.is_shared

    def use() -> bool:
        try:
            return catalog.artifacts()[0].name == "data" and is_shared
        except BackendUnavailable as error:
            return "forked in the midst of a transaction" in error.reason and not is_shared

    catalog.commit(
        a_commit("more", name="more"), confirm=lambda *_: worked.append(works_in_child(use))
    )
    assert worked == [True]
    assert [found.name for found in catalog.artifacts()] == ["data", "more"]
    assert catalog.check() == []


def test_rows_are_free_when_a_parent_is_gone_though_its_child_lives(
    postgresql: PostgreSQL,
) -> None:
    """The child has a copy of each socket: the server sees no end before both are closed."""
    address = postgresql.new_schema()
    with closing(SqlCatalog.connect(address, create=True)) as catalog:
        catalog.choose_setting("key", "value")
    read_end, write_end = os.pipe()

    def live() -> None:
        os.close(write_end)
        os.read(read_end, 1)

    def lock_fork_and_end(connection: Connection) -> None:
        lock(connection)
        start(live)
        os._exit(0)

    assert works_in_child(lambda: postgresql_database(address).write(lock_fork_and_end))
    try:
        with closing(postgresql_database(address)) as other:
            other.write(lock)
    finally:
        os.close(write_end)
        os.close(read_end)


def lock(connection: Connection) -> None:
    connection.execute(text("SET LOCAL lock_timeout = '20s'"))
    connection.execute(select(settings).with_for_update())
