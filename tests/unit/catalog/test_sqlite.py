"""Catalogs in a file: opening, refusing, waiting, and reading without write access."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection, create_engine, exc

from artfs.catalog import engine, sqlite
from artfs.catalog.dangling import MAX_INDEX
from artfs.catalog.failures import translate
from artfs.catalog.sql import SqlCatalog
from artfs.errors import (
    BackendUnavailable,
    DamagedRecord,
    InvalidArgument,
    OutOfSpace,
    PermissionDenied,
    StoreFormatError,
    Unsupported,
)
from artfs.model import RunState
from artfs.testing.catalog_samples import a_pack, commit, put
from artfs.testing.catalog_serving import a_draft, a_key
from tests.support.privileges import needs_root

NOBODY = 65534

HOLD_OPEN = """
import sys
from pathlib import Path
from artfs.catalog.sql import SqlCatalog
from artfs.testing.catalog_samples import put
catalog = SqlCatalog.sqlite(Path(sys.argv[1]))
put(catalog, "held", name="held")
print("ready", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys
from pathlib import Path
from artfs.catalog.sql import SqlCatalog
from artfs.testing.catalog_samples import put
catalog = SqlCatalog.sqlite(Path(sys.argv[1]))
put(catalog, "parent")
pid = os.fork()
put(catalog, "child" if pid == 0 else "parent again", name=f"fork{pid == 0}")
found = [each.name for each in catalog.artifacts()]
if pid == 0:
    os._exit(0 if "forkTrue" in found else 1)
assert os.waitpid(pid, 0)[1] == 0
assert [each.name for each in catalog.artifacts()] == ["data", "forkFalse", "forkTrue"]
assert catalog.check() == []
catalog.close()
"""

WHAT_IS_IMPORTED = """
import sys
import artfs.catalog.base
assert "sqlalchemy" not in sys.modules
from pathlib import Path
from artfs.catalog.sql import SqlCatalog
catalog = SqlCatalog.sqlite(Path(sys.argv[1]))
catalog.artifacts()
catalog.close()
heavy = {"sqlalchemy.orm", "psycopg", "trio", "botocore", "requests", "rich"}
print(sorted(heavy & set(sys.modules)))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A catalog with one version."""
    path = tmp_path / "catalog.sqlite"
    with closing(SqlCatalog.sqlite(path, create=True)) as catalog:
        put(catalog, "first")
    return path


def refused(path: Path, text: str, *, create: bool = False) -> None:
    """Opening fails with one line that says `text` and names the file."""
    with pytest.raises(StoreFormatError, match=text) as caught:
        SqlCatalog.sqlite(path, create=create)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- opening ---------------------------------------------------------------------------------


def test_creating_is_explicit(tmp_path: Path) -> None:
    refused(tmp_path / "catalog.sqlite", "no catalog")
    assert list(tmp_path.iterdir()) == []


def test_creating_keeps_what_is_there(path: Path) -> None:
    with closing(SqlCatalog.sqlite(path, create=True)) as catalog:
        assert catalog.artifact("team", "data").version_count == 1


def test_a_catalog_can_be_created_by_many_at_once(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"

    def create(number: int) -> int:
        with closing(SqlCatalog.sqlite(path, create=True)) as catalog:
            return put(catalog, number).index

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(create, range(6))) == list(range(6))


def test_a_creation_that_was_interrupted_can_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    refused(path, "not a catalog")
    with closing(SqlCatalog.sqlite(path, create=True)) as catalog:
        assert catalog.artifacts() == []


def test_a_catalog_is_durable_and_lets_readers_read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with closing(engine.sqlite_database(path, create=False)) as database:
        for pragmas in _both_ways(database):
            assert pragmas == (2, 1, int(sqlite.LOCK_TIMEOUT_S * 1000))


def _both_ways(database: engine.Database) -> list[tuple[int, int, int]]:
    def pragmas(connection: Connection) -> tuple[int, int, int]:
        names = ("synchronous", "foreign_keys", "busy_timeout")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]
        return (values[0], values[1], values[2])

    with database.reading() as connection:
        return [pragmas(connection), database.write(pragmas)]


@pytest.mark.parametrize("create", [False, True])
def test_a_newer_catalog_is_refused(path: Path, create: bool) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE settings SET value = '99' WHERE key = 'artfs_schema'")
    refused(path, "newer artfs.*upgrade", create=create)


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE other (id INTEGER)",
        "CREATE TABLE settings (key TEXT, value TEXT)",
        "CREATE TABLE settings (name TEXT)",
        "CREATE TABLE artifacts (id INTEGER)",
    ],
)
def test_a_foreign_database_is_refused_and_left_alone(
    tmp_path: Path, statement: str, create: bool
) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    refused(path, "not a catalog|other tables|damaged", create=create)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000, b"SQLite format 3\0x"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(content)
    refused(path, "not a catalog")


def test_damage_is_an_error_or_is_found(path: Path) -> None:
    with closing(SqlCatalog.sqlite(path)) as catalog:
        for number in range(50):
            pack, blobs = a_pack(*((number, each) for each in range(20)))
            put(catalog, number, packs=[pack], blobs=blobs, description="x" * 500)
    size_bytes = path.stat().st_size
    with path.open("r+b") as file:
        for offset in range(size_bytes // 3, size_bytes, 4096):
            file.seek(offset)
            file.write(os.urandom(512))
    try:
        with closing(SqlCatalog.sqlite(path)) as catalog:
            assert catalog.check() != []
    except StoreFormatError as error:
        assert "damaged" in str(error)  # noqa: PT017 - either of two outcomes is right


def test_a_truncated_catalog_is_refused(path: Path) -> None:
    os.truncate(path, 8192)
    with pytest.raises(StoreFormatError), closing(SqlCatalog.sqlite(path)) as catalog:
        commit(catalog, "second")


def test_inconsistent_rows_are_found(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM aliases")
        connection.execute("UPDATE artifacts SET next_index = 0")
    with closing(SqlCatalog.sqlite(path)) as catalog:
        found = catalog.check()
    assert len(found) == 2
    assert all(line.startswith(("team/data ", "team/data:latest: ")) for line in found)


def test_only_what_is_needed_is_imported(path: Path) -> None:
    assert _python(WHAT_IS_IMPORTED, path) == "[]\n"


# --- many at once ----------------------------------------------------------------------------


def test_a_writer_waits_for_another(path: Path) -> None:
    with (
        closing(SqlCatalog.sqlite(path)) as catalog,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(put, catalog, "second")
        # Readers do not wait.
        assert catalog.artifact("team", "data").version_count == 1
        assert not waiting.done()
        other.execute("COMMIT")
        assert waiting.result().index == 1


def test_a_lock_that_is_never_released_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0.05)
    with (
        closing(SqlCatalog.sqlite(path)) as catalog,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="locked"):
            put(catalog, "second")
        other.execute("COMMIT")
        put(catalog, "second")


def test_a_reader_sees_one_state(path: Path) -> None:
    database = engine.sqlite_database(path, create=False)
    count = "SELECT count(*) FROM versions"
    with (
        closing(database),
        closing(SqlCatalog.sqlite(path)) as catalog,
        database.reading() as connection,
    ):
        before = connection.exec_driver_sql(count).scalar_one()
        put(catalog, "second")
        assert connection.exec_driver_sql(count).scalar_one() == before


def test_a_catalog_works_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    SqlCatalog.sqlite(path, create=True).close()
    _python(FORK, path)


def test_a_transaction_is_undone_by_any_exception(path: Path) -> None:
    entered = Event()

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM aliases")
        entered.set()
        raise KeyboardInterrupt

    database = engine.sqlite_database(path, create=False)
    with closing(database), pytest.raises(KeyboardInterrupt):
        database.write(work)
    assert entered.is_set()
    with closing(SqlCatalog.sqlite(path)) as catalog:
        assert catalog.check() == []
        assert catalog.version("team", "data", "latest").index == 0


# --- errors ----------------------------------------------------------------------------------


def test_a_full_disk_is_out_of_space(tmp_path: Path) -> None:
    path = tmp_path / "full.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA max_page_count = 2")
        return connection

    full = create_engine("sqlite://", creator=connect)
    with pytest.raises(exc.OperationalError) as caught, full.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(100000))")
    full.dispose()
    error = translate(caught.value, "the catalog")
    assert isinstance(error, OutOfSpace)
    assert "full" in str(error)


def test_text_that_is_not_unicode_is_refused(path: Path) -> None:
    with closing(SqlCatalog.sqlite(path)) as catalog:
        with pytest.raises(InvalidArgument, match="Unicode"):
            commit(catalog, "second", description="\udcff")
        assert catalog.artifact("team", "data").version_count == 1


def test_the_last_number_of_a_version_is_said_and_leaves_all_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE artifacts SET next_index = ?", [MAX_INDEX - 1])
    with closing(SqlCatalog.sqlite(path)) as catalog:
        assert commit(catalog, "last").version.index == MAX_INDEX - 1
        with pytest.raises(Unsupported, match="the last version that it can have"):
            commit(catalog, "one more")
        assert catalog.artifact("team", "data").version_count == 2


# --- without write access --------------------------------------------------------------------


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A catalog with one version that its reader may not write, in a directory like that."""
    with tempfile.TemporaryDirectory(prefix="artfs-") as directory:
        path = Path(directory) / "catalog.sqlite"
        with closing(SqlCatalog.sqlite(path, create=True)) as catalog:
            put(catalog, "first")
        path.chmod(0o444)
        path.parent.chmod(0o555)
        yield path
        path.parent.chmod(0o755)


@contextmanager
def powerless() -> Iterator[None]:
    """Without the powers of root, which permissions do not stop."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_catalog_is_read_without_write_access(guarded: Path) -> None:
    before = sorted(guarded.parent.iterdir())
    with powerless(), closing(SqlCatalog.sqlite(guarded)) as catalog:
        assert catalog.version("team", "data", "latest").index == 0
        assert catalog.check() == []
        assert sorted(guarded.parent.iterdir()) == before


def test_writing_without_access_is_denied(guarded: Path) -> None:
    with powerless():
        with closing(SqlCatalog.sqlite(guarded)) as catalog:
            with pytest.raises(PermissionDenied, match="read-only"):
                put(catalog, "second")
            with pytest.raises(PermissionDenied):
                catalog.choose_setting("key", "value")
        with pytest.raises(PermissionDenied):
            SqlCatalog.sqlite(guarded, create=True)


@needs_root
def test_a_reader_without_write_access_sees_what_a_writer_commits(guarded: Path) -> None:
    with powerless(), closing(SqlCatalog.sqlite(guarded)) as catalog:
        assert len(catalog.artifacts()) == 1
        with _holding(guarded):
            # Committed to the log only, which a reader that knows nothing of it would miss.
            assert [each.name for each in catalog.artifacts()] == ["data", "held"]
        assert len(catalog.artifacts()) == 2


@needs_root
def test_the_log_of_a_killed_writer_is_never_ignored(guarded: Path) -> None:
    with _holding(guarded) as writer:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert guarded.with_name(guarded.name + "-wal").stat().st_size > 0

    def read() -> list[str]:
        with powerless(), closing(SqlCatalog.sqlite(guarded)) as catalog:
            return [each.name for each in catalog.artifacts()]

    try:
        assert read() == ["data", "held"]
    except BackendUnavailable as error:
        assert "write access" in str(error)  # noqa: PT017 - either of two outcomes is right
    guarded.with_name(guarded.name + "-shm").unlink()
    with pytest.raises(BackendUnavailable, match="write access"):
        read()
    SqlCatalog.sqlite(guarded).close()


@contextmanager
def _holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has committed an artifact `held`, and keeps the catalog open."""
    with _all_powers():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD_OPEN, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@contextmanager
def _all_powers() -> Iterator[None]:
    """As root again, where that is what the tests run as."""
    effective = os.geteuid()
    if os.getresuid()[2] == 0:
        os.setresuid(0, 0, 0)
    try:
        yield
    finally:
        if effective != 0 and os.getresuid()[2] == 0:
            os.setresuid(effective, effective, 0)


def _python(code: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_damaged_rows_of_servers_are_named_and_never_believed(path: Path) -> None:
    catalog = SqlCatalog.sqlite(path, create=True)
    serving = catalog.serving
    serving.add_key(a_key("ada"))
    draft = serving.put_draft(a_draft())
    run = catalog.create_run("team", name=None, job_type=None, config={})
    catalog.describe_run(run.id, {"notes": "n"})
    catalog.finish_run(run.id, RunState.FINISHED)
    serving.secret(bytes(32))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("""UPDATE api_keys SET projects = '"all"'""")
        connection.execute("UPDATE drafts SET request = '[1]'")
        connection.execute("UPDATE run_details SET details = 'none'")
        connection.execute("UPDATE server_secrets SET value = x''")
        connection.execute("INSERT INTO uploads VALUES (?, 7, x'00', -1, 'text')", (draft.id,))
    asked: tuple[Callable[[], object], ...] = (
        serving.keys,
        partial(serving.find_key, "key00000"),
        partial(serving.draft, draft.id),
        partial(serving.uploads, draft.id),
        serving.drafted,
        partial(catalog.run_details, [run.id]),
        partial(serving.secret, bytes(32)),
    )
    for ask in asked:
        with pytest.raises(DamagedRecord, match="damaged"):
            ask()
    told = "\n".join(catalog.check())
    for what in ("key ada", f"draft {draft.id}", "uploaded content", f"details of run {run.id}"):
        assert what in told
    catalog.close()
