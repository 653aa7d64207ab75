"""Shared stores: made by `artfs init`, used by their catalog's URL alone, from several hosts."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from artfs.blobs.base import Namespace
from artfs.blobs.s3 import S3ObjectStore
from tests.cli.conftest import Cli
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS
from tests.support.shared import PASSWORD, SharedStore, with_password


@pytest.fixture
def shared(tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS) -> SharedStore:
    """A store that is not made yet."""
    return SharedStore(tmp_path, postgresql.new_schema(), seaweedfs)


def write_files(cli: Cli, **files: str) -> Path:
    """A directory with these files."""
    directory = cli.directory / "files"
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def stored_objects(shared: SharedStore) -> int:
    client = shared.server.client()
    objects = S3ObjectStore(client, shared.server.bucket, shared.prefix)
    return sum(1 for namespace in Namespace for _ in objects.objects(namespace))


# --- using -----------------------------------------------------------------------------------


def test_another_host_needs_nothing_but_the_url(shared: SharedStore) -> None:
    one, other = shared.host(), shared.host()
    made = one.ok("init", "--blobs", shared.blobs, "--entity", "team", "--json").json
    assert made == {
        "store": shared.url,
        "entity": "team",
        "blobs": shared.blobs,
        "created": True,
    }
    one.ok("put", write_files(one, a="alpha", large="x" * 2_000_000), "-n", "demo/data")
    assert stored_objects(shared) == 2
    assert other.ok("ls", "demo", "--json").json["artifacts"][0]["name"] == "data"
    other.ok("get", "demo/data", "--root", "copy")
    assert (other.directory / "copy" / "a").read_text() == "alpha"
    assert (other.directory / "copy" / "large").read_text() == "x" * 2_000_000
    assert other.ok("status", "--json").json["store"]["entity"] == "team"
    assert other.ok("cache", "info", "--json").json["used_bytes"] > 2_000_000
    assert other.ok("warm", "demo/data", "--json").json["cached_bytes"] > 2_000_000
    assert "all right" in other.ok("verify").out
    assert "No problem found" in other.ok("doctor").out
    other.ok("gc", "--grace", "0")
    assert stored_objects(shared) == 2


def test_a_store_that_is_named_explicitly_is_used(shared: SharedStore) -> None:
    shared.made()
    cli = shared.host()
    cli.environment["ARTFS_STORE"] = "/nowhere"
    (cli.directory / "config" / "artfs").mkdir(parents=True)
    cli.ok("put", write_files(cli, a="alpha"), "-n", "demo/data", "--store", shared.url)
    del cli.environment["ARTFS_STORE"]
    (cli.directory / "config" / "artfs" / "config.toml").write_text(f'store = "{shared.url}"\n')
    assert "demo/data" in cli.ok("ls", "demo").out


def test_python_uses_it(shared: SharedStore) -> None:
    shared.made()
    cli = shared.host()
    write_files(cli, a="alpha")
    script = cli.directory / "script.py"
    script.write_text(
        "import artfs\n"
        "with artfs.init(project='demo') as run:\n"
        "    artifact = artfs.Artifact('data', type='dataset')\n"
        "    artifact.add_dir('files')\n"
        "    run.log_artifact(artifact).wait()\n"
        f"found = artfs.Api(store={shared.url!r}).artifact('demo/data:latest')\n"
        "print(found.version, found.entity, open(found.download() + '/a').read())\n"
    )
    assert cli.script(script) == "v0 team alpha"


def test_blobs_may_be_in_a_directory_that_hosts_share(
    tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    shared = SharedStore(tmp_path, postgresql.new_schema(), seaweedfs)
    shared.blobs = (tmp_path / "nfs" / "my blobs").as_uri()
    shared.made()
    one, other = shared.host(), shared.host()
    one.ok("put", write_files(one, a="alpha", large="x" * 2_000_000), "-n", "demo/data")
    other.ok("get", "demo/data", "--root", "copy")
    assert (other.directory / "copy" / "a").read_text() == "alpha"
    assert len([*(tmp_path / "nfs" / "my blobs").glob("*/??/*")]) == 2
    assert other.ok("cache", "info", "--json").json["used_bytes"] > 2_000_000
    other.ok("verify")
    other.ok("doctor")


# --- making ----------------------------------------------------------------------------------


def test_a_store_that_is_there_stays(shared: SharedStore) -> None:
    cli = shared.made().host()
    again = cli.ok("init", "--blobs", shared.blobs, "--json").json
    assert (again["created"], again["entity"]) == (False, "team")
    elsewhere = f"s3://{shared.server.bucket}/elsewhere?endpoint={shared.server.endpoint_url}"
    cli.fails(4, "init", "--blobs", elsewhere, says="is a store with its blobs at s3://")
    cli.fails(4, "init", "--blobs", shared.blobs, "--entity", "me", says="of the entity 'team'")
    assert cli.ok("status", "--json").json["store"]["entity"] == "team"


def test_a_place_for_blobs_belongs_to_one_store(
    shared: SharedStore, tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    cli = shared.made().host()
    second = postgresql.new_schema()
    cli.fails(
        11, "init", "--store", second, "--blobs", shared.blobs, says="belongs to another store"
    )
    cli.fails(11, "ls", "--store", second, says="its making was not finished")
    free = f"s3://{seaweedfs.bucket}/{seaweedfs.new_prefix()}?endpoint={seaweedfs.endpoint_url}"
    cli.ok("init", "--store", second, "--blobs", free)
    third = postgresql.new_schema()
    embedded = tmp_path / "embedded"
    cli.ok("init", "--store", embedded)
    for directory in (embedded, tmp_path):
        cli.fails(11, "init", "--store", third, "--blobs", directory.as_uri(), says="not empty (")


def test_the_endpoint_of_the_environment_is_kept(shared: SharedStore) -> None:
    cli = shared.host()
    cli.environment["AWS_ENDPOINT_URL"] = shared.server.endpoint_url
    plain = f"s3://{shared.server.bucket}/{shared.prefix}"
    made = cli.ok("init", "--blobs", plain, "--json").json
    assert made["blobs"] == f"{plain}?endpoint={shared.server.endpoint_url}"
    other = shared.host()
    other.ok("put", write_files(other, a="alpha"), "-n", "demo/data")


@pytest.mark.parametrize(
    ("code", "blobs", "says"),
    [
        (10, None, "say --blobs"),
        (10, "s3:///prefix", "names no bucket"),
        (10, "s3://key:secret@bucket", "credentials do not belong"),
        (10, "s3://bucket?endpoint=http://u:secret@host", "endpoint"),
        (10, "s3://bucket?endpoint=nonsense", "endpoint"),
        (10, "s3://bucket?color=blue", "color is not known"),
        (10, "file://host/directory", "file:///DIRECTORY"),
        (12, "gs://bucket", "blobs cannot be kept there"),
        (12, "/directory", "blobs cannot be kept there"),
        (7, "s3://no-such-bucket?endpoint={endpoint}", "there is no such bucket"),
        (7, "s3://bucket?endpoint=http://127.0.0.1:1", "Could not connect"),
    ],
)
def test_blobs_that_cannot_be_used_are_one_line_and_no_store(
    shared: SharedStore, code: int, blobs: str | None, says: str
) -> None:
    cli = shared.host()
    options = ["--blobs", blobs.format(endpoint=shared.server.endpoint_url)] if blobs else []
    line = cli.fails(code, "init", *options, says=says)
    assert "secret" not in line
    cli.fails(11, "ls", says="not a catalog of artfs")


def test_a_database_that_cannot_keep_all_names_is_said_so_and_no_place_is_made(
    shared: SharedStore, tmp_path: Path, postgresql: PostgreSQL
) -> None:
    cli = shared.host()
    latin = postgresql.new_database(
        "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    nowhere = latin.replace("test_", "absent_")
    empty = tmp_path / "empty"
    empty.mkdir()
    for blobs in (tmp_path / "new" / "deep", empty):
        for code, store in ((11, latin), (7, nowhere)):
            cli.fails(code, "init", "--store", store, "--blobs", blobs.as_uri())
    assert not (tmp_path / "new").exists()
    assert list(empty.iterdir()) == []
    for command in (["put", write_files(cli, a="a"), "-n", "demo/data"], ["ls"]):
        cli.fails(11, *command, "--store", latin, says=["LATIN1", "createdb -E UTF8"])


def test_a_directory_that_cannot_be_made_is_told_before_the_database_is_touched(
    shared: SharedStore, tmp_path: Path
) -> None:
    cli = shared.host()
    (tmp_path / "file").touch()
    for where in ("/proc/blobs", tmp_path / "file" / "blobs"):
        line = cli.run("init", "--blobs", f"file://{where}")
        assert line.code in {3, 7, 8}, line
        assert line.err.count("\n") == 1
    cli.fails(11, "ls", says="not a catalog of artfs")


def test_a_directory_has_its_blobs_itself(cli: Cli) -> None:
    cli.fails(10, "init", "--blobs", "s3://bucket/x", says="leave it out")
    assert not cli.store.exists()
    assert cli.ok("init", "--entity", "me", "--json").json["created"]
    assert "already a store of me" in cli.ok("init").out
    cli.fails(4, "init", "--entity", "you", says="of the entity 'me'")


def test_wrong_credentials_are_one_line(shared: SharedStore) -> None:
    cli = shared.host()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del cli.environment[name]
    cli.fails(8, "init", "--blobs", shared.blobs, says="configure AWS credentials")
    cli.environment["AWS_PROFILE"] = "nobody"
    cli.fails(8, "init", "--blobs", shared.blobs, says="nobody")
    del cli.environment["AWS_PROFILE"]
    shared.made()
    assert "is empty" in cli.run("ls").err
    cli.environment |= {"AWS_ACCESS_KEY_ID": "wrong", "AWS_SECRET_ACCESS_KEY": "wrong"}
    cli.fails(8, "put", write_files(cli, a="a"), "-n", "demo/data", says="s3://")
    assert cli.run("ls", "demo").code == 3


# --- opening ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "store", "says"),
    [
        (12, "mysql://u:secret@host/x", "a store is a directory, postgresql://"),
        (11, "postgresql://u:secret@host:port/x", "not a database URL"),
        (11, "postgresql://u:sec@ret@host/x", "not a database URL"),
        (7, "postgresql://u:secret@127.0.0.1:1/x", "127.0.0.1"),
        (7, "postgresql://u:secret@no-such-host.invalid/x?password=secret", "no-such-host"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_line_without_its_password(
    cli: Cli, code: int, store: str, says: str
) -> None:
    for command in (("ls",), ("put", "x", "-n", "p/x"), ("status",), ("gc",)):
        line = cli.fails(code, *command, "--store", store, says=says)
        assert "sec" not in line
        assert "ret@" not in line


def test_a_database_that_is_no_store_is_one_line(
    shared: SharedStore, postgresql: PostgreSQL
) -> None:
    cli = shared.host()
    cli.fails(7, "ls", "--store", postgresql.url("nowhere"), says="does not exist")
    cli.fails(11, "ls", says="`artfs init` makes one")
    cli.fails(11, "put", write_files(cli, a="a"), "-n", "demo/data", says="`artfs init` makes one")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", "99", "has format 99, this artfs knows 1: use a newer artfs"),
        ("format", "new", "not a store, or a damaged one"),
        ("artfs_schema", "99", "written by a newer artfs"),
        ("blobs", "azure://x", "its blobs are at 'azure://x': use a newer artfs"),
    ],
)
def test_a_store_of_a_newer_artfs_is_refused(
    shared: SharedStore, key: str, value: str, says: str
) -> None:
    cli = shared.made().host()
    with psycopg.connect(shared.url, autocommit=True) as connection:
        connection.execute("UPDATE settings SET value = %s WHERE key = %s", (value, key))
    for command in (("ls",), ("gc",), ("put", write_files(cli, a="a"), "-n", "demo/data")):
        cli.fails(11, *command, says=says)


# --- passwords -------------------------------------------------------------------------------


def test_the_password_is_nowhere(shared: SharedStore) -> None:
    shared.made()
    cli = shared.host()
    cli.environment |= {"ARTFS_STORE": with_password(shared.url), "ARTFS_DEBUG": "1"}
    files = write_files(cli, a="alpha")
    mountpoint, staged = cli.directory / "mnt", cli.directory / "new"
    mountpoint.mkdir()
    staged.mkdir()
    script = cli.directory / "stage.py"
    script.write_text(
        "import subprocess, artfs\n"
        "with artfs.stage('demo/data', base='latest') as path:\n"
        "    (path / 'b').write_text('beta')\n"
        "    ps = subprocess.run(['ps', '-eo', 'args'], capture_output=True)\n"
        "print(ps.stdout.decode())\n"
    )
    outputs = []
    try:
        for command in (
            ("init", "--blobs", shared.blobs, "--json"),
            ("put", files, "-n", "demo/data"),
            ("mount", mountpoint),
            ("stage", "demo/data", staged),
            ("status", "--json"),
            ("status", mountpoint, "--json"),
            ("staging", "ls", "--json"),
            ("ls", "--json"),
            ("doctor", "--json"),
            ("mount", mountpoint),
            ("run", "-p", "demo", "--", "ps", "-eo", "args"),
            ("ls", "demo/nothing"),
            ("abort", "--yes", staged),
        ):
            result = cli.run(*command)
            outputs.append(result.out + result.err)
        outputs.append(cli.script(script))
        assert (mountpoint / "demo" / "data" / "v1" / "b").read_text() == "beta"
    finally:
        cli.run("umount", "--force", mountpoint)
    everything = "".join(outputs)
    assert "artfs.daemon" in everything
    assert shared.url in everything
    assert PASSWORD not in everything
    for path in cli.directory.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_bug_keeps_no_password(shared: SharedStore) -> None:
    cli = shared.made().host()
    program = (
        "import sys, artfs.cli.app as app; "
        "app.group.callback = lambda: 1 / 0; "
        "sys.exit(app.run(sys.argv[1:]))"
    )
    cli.script(_program(cli, program))
    log = (cli.state / "artfs" / "errors.log").read_text()
    assert "ZeroDivisionError" in log
    assert PASSWORD not in log
    assert "--store" in log


def _program(cli: Cli, program: str) -> Path:
    path = cli.directory / "program.py"
    path.write_text(
        f"import sys; sys.argv[1:] = ['ls', '--store', 'postgresql://u:{PASSWORD}@h/d']\n"
        f"{program.replace('sys.exit(', '(')}\n"
    )
    return path
