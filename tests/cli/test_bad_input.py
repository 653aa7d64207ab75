"""Bad input: one clear line, the documented exit code, and nothing lost."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from artfs.repository.stores import open_store
from tests.cli.conftest import Cli
from tests.support.disks import mounted, small_disk
from tests.support.privileges import unprivileged

__all__ = ["small_disk"]

LARGE_BYTES = 6 * 1024 * 1024


def fingerprint(cli: Cli) -> object:
    """What the store shows; it must be the same after anything that failed."""
    with open_store(str(cli.store)) as repository:
        catalog = repository.catalog
        return [(each, catalog.versions(each.id)) for each in catalog.artifacts()]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ls", "nowhere"), "nowhere: there is no such project"),
        (("ls", "demo/nothing"), "demo/nothing"),
        (("ls", "nowhere/nothing"), "nowhere/nothing"),
        (("ls", "demo/data:v7"), "v7"),
        (("ls", "demo/data:worst"), "worst"),
        (("ls", "demo/data:" + "0" * 32), "0" * 32),
        (("ls", "demo/data:v0/nothing"), "nothing: no such file or directory"),
        (("ls", "demo/data:v0/a.txt/below"), "a.txt/below: no such file or directory"),
        (("ls", "stranger/demo/data"), "tester"),
        (("get", "demo/nothing"), "demo/nothing"),
        (("get", "demo/data:v7"), "v7"),
        (("manifest", "demo/nothing"), "demo/nothing"),
        (("verify", "demo/data:worst"), "worst"),
        (("diff", "demo/data:v0", "demo/data:v7"), "v7"),
        (("history", "demo/nothing"), "demo/nothing"),
        (("rm", "demo/nothing", "--yes"), "demo/nothing"),
        (("rm", "demo/data:v7", "--yes"), "v7"),
        (("alias", "add", "demo/data:v7", "x"), "v7"),
        (("alias", "rm", "demo/data", "worst"), "worst"),
    ],
)
def test_what_is_not_there_is_exit_code_3(
    filled: Cli, arguments: tuple[str, ...], says: str
) -> None:
    before = fingerprint(filled)
    filled.fails(3, *arguments, says=says)
    assert fingerprint(filled) == before


BAD_NAMES = ["a/b//d", "demo/..", "demo/.", "../demo", "demo/a\nb", "demo/a b", "demo/größe"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "demo/" + "x" * 300, "x" * 300 + "/a", "demo//", ""])
def test_bad_names_are_exit_code_10(filled: Cli, name: str) -> None:
    before = fingerprint(filled)
    filled.fails(10, "put", "data-files", "-n", name)
    filled.fails(10, "get", name)
    assert fingerprint(filled) == before


@pytest.mark.parametrize(
    "alias", ["a/b", "..", "a:b", "v3", "a\nb", "x" * 300, "", "\x1b[31m", "latest"]
)
def test_bad_aliases_are_exit_code_10(filled: Cli, alias: str) -> None:
    filled.fails(10, "alias", "add", "demo/data:v0", alias)
    if alias != "latest":
        before = fingerprint(filled)
        filled.fails(10, "put", "data-files", "-n", "demo/new", "-a", alias)
        assert fingerprint(filled) == before


@pytest.mark.parametrize("metadata", ["{", "[1]", "3", '"x"', "@missing.json", "[" * 100_000])
def test_bad_metadata_is_exit_code_10(filled: Cli, metadata: str) -> None:
    filled.fails(10, "put", "data-files", "-n", "demo/new", "--metadata", metadata)
    filled.fails(3, "ls", "demo/new")


def test_another_type_is_a_conflict(filled: Cli) -> None:
    filled.fails(4, "put", "data-files", "-n", "demo/data", "-t", "model", says="demo/data")


def test_a_path_that_is_not_there_is_exit_code_3(filled: Cli) -> None:
    before = fingerprint(filled)
    filled.fails(3, "put", "missing", "-n", "demo/data", says="missing: does not exist")
    filled.fails(3, "put", "data-files", "missing", "-n", "demo/data", says="missing")
    assert fingerprint(filled) == before


def test_sockets_devices_and_fifos_are_refused(filled: Cli) -> None:
    before = fingerprint(filled)
    # The path of a socket is short: it is made in its own directory.
    os.chdir(filled.directory)
    odd = Path("odd")
    odd.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("odd/socket")
        filled.fails(10, "put", "odd", "-n", "demo/odd", says="a socket")
        filled.fails(10, "put", "odd/socket", "-n", "demo/odd", says="a socket")
    (odd / "socket").unlink()
    os.mkfifo(odd / "fifo")
    filled.fails(10, "put", "odd", "-n", "demo/odd", says="a fifo")
    filled.fails(10, "put", "/dev/null", "-n", "demo/odd", says="a character device")
    assert fingerprint(filled) == before


def test_a_name_that_is_not_utf_8_is_refused(filled: Cli) -> None:
    odd = filled.directory / "odd"
    odd.mkdir()
    (odd / os.fsdecode(b"bad\xff.txt")).write_text("x")
    filled.fails(10, "put", "odd", "-n", "demo/odd", says="not UTF-8")


@pytest.fixture
def unprivileged_cli(filled: Cli) -> Cli:
    """`artfs` that respects permissions, where the tests run as root."""
    filled.prefix = unprivileged([])
    return filled


def test_a_file_that_cannot_be_read_is_exit_code_8(unprivileged_cli: Cli) -> None:
    secret = unprivileged_cli.directory / "data-files" / "secret"
    secret.write_text("x")
    secret.chmod(0)
    before = fingerprint(unprivileged_cli)
    unprivileged_cli.fails(8, "put", "data-files", "-n", "demo/data", says="secret")
    assert fingerprint(unprivileged_cli) == before


def check_reading_only(cli: Cli) -> None:
    """Whatever reads works, whatever writes is refused."""
    before = cli.ok("ls", "demo/data", "--json").out
    (cli.directory / "data-files" / "more").write_text("more")
    cli.fails(8, "put", "data-files", "-n", "demo/data")
    cli.fails(8, "rm", "demo/data", "--yes")
    cli.fails(8, "alias", "add", "demo/data:v0", "x")
    cli.ok("get", "demo/data:v0", "--root", "copy")
    cli.ok("verify")
    assert cli.ok("ls", "demo/data", "--json").out == before


def test_a_store_without_write_permission_can_be_read(unprivileged_cli: Cli) -> None:
    for path in [unprivileged_cli.store, *unprivileged_cli.store.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    check_reading_only(unprivileged_cli)


def test_a_store_on_a_read_only_disk_can_be_read(filled: Cli) -> None:
    with mounted(filled.store, "--bind", "-o", "ro", filled.store):
        check_reading_only(filled)


def test_a_full_disk_is_exit_code_9_and_nothing_is_lost(cli: Cli, small_disk: Path) -> None:
    cli.environment["ARTFS_STORE"] = str(small_disk / "store")
    data = cli.directory / "data"
    data.mkdir()
    (data / "small").write_text("small")
    cli.ok("put", data, "-n", "demo/data")
    (data / "large").write_bytes(os.urandom(LARGE_BYTES))
    (data / "larger").write_bytes(os.urandom(3 * LARGE_BYTES))
    cli.fails(9, "put", data, "-n", "demo/data")
    assert cli.ok("ls", "demo/data", "--json").json["version_count"] == 1
    cli.ok("verify")
    cli.ok("gc", "--grace", "0")
    (data / "larger").unlink()
    assert cli.ok("put", data, "-n", "demo/data", "--json").json["version"] == "v1"


def test_a_download_to_a_full_disk_is_one_line_and_goes_on_when_there_is_room(
    cli: Cli, small_disk: Path
) -> None:
    data = cli.directory / "data"
    data.mkdir()
    (data / "a").write_bytes(os.urandom(LARGE_BYTES))
    (data / "b").write_bytes(os.urandom(LARGE_BYTES))
    cli.ok("put", data, "-n", "demo/data")
    (small_disk / "ballast").write_bytes(b"x" * LARGE_BYTES)
    root = small_disk / "root"
    cli.fails(9, "get", "demo/data", "--root", root, says=["No space left", str(root)])
    there = {path.name: path.read_bytes() for path in root.iterdir()}
    assert there.items() < {path.name: path.read_bytes() for path in data.iterdir()}.items()
    (small_disk / "ballast").unlink()
    value = cli.ok("get", "demo/data", "--root", root, "--json").json
    assert value["files"]["kept"] == len(there)
    assert (root / "b").read_bytes() == (data / "b").read_bytes()


def test_where_there_is_no_store_it_says_so(cli: Cli) -> None:
    cli.fails(3, "ls", says=["there is no store here", "artfs put"])
    cli.fails(3, "verify", says="there is no store here")
    assert not cli.store.exists()


def test_a_directory_that_is_no_store_is_not_made_one(cli: Cli) -> None:
    cli.store.mkdir()
    (cli.store / "precious.txt").write_text("mine")
    (cli.directory / "x").write_text("x")
    cli.fails(11, "put", "x", "-n", "p/a", says=["not a store", "precious.txt"])
    assert [path.name for path in cli.store.iterdir()] == ["precious.txt"]


def test_a_store_that_is_a_file_is_refused(cli: Cli) -> None:
    cli.store.write_text("not a directory")
    result = cli.run("ls")
    assert result.code in {3, 7, 11}
    assert result.err.count("\n") == 1


def test_a_store_of_a_newer_artfs_is_refused(filled: Cli) -> None:
    path = filled.store / "artfs.toml"
    text = path.read_text()
    path.write_text(text.replace("format = 1", "format = 99"))
    for arguments in (["ls"], ["put", "data-files", "-n", "demo/data"], ["gc"]):
        filled.fails(11, *arguments, says=["format 99", "newer artfs"])
    path.write_text(text)
    filled.ok("ls")


@pytest.mark.parametrize("text", ["", "format = 1", "format = 'one'\nentity = 'x'", "\0", "[["])
def test_a_damaged_store_file_is_refused(filled: Cli, text: str) -> None:
    (filled.store / "artfs.toml").write_text(text)
    filled.fails(11, "ls", says="damaged")


def test_a_damaged_catalog_is_refused(filled: Cli) -> None:
    catalog = filled.store / "catalog.sqlite"
    for path in filled.store.glob("catalog.sqlite-*"):
        path.unlink()
    catalog.write_bytes(b"this is no database" * 1000)
    filled.fails(11, "ls")
    result = filled.run("doctor")
    assert result.code == 11
    assert "cannot be examined" in result.out


def test_a_catalog_of_something_else_is_refused(filled: Cli) -> None:
    catalog = filled.store / "catalog.sqlite"
    for path in filled.store.glob("catalog.sqlite*"):
        path.unlink()
    with sqlite3.connect(catalog) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    filled.fails(11, "ls")


def test_a_lost_catalog_is_not_an_empty_store(filled: Cli) -> None:
    for path in filled.store.glob("catalog.sqlite*"):
        path.unlink()
    filled.fails(11, "ls")
    filled.fails(11, "put", "data-files", "-n", "demo/data")


def objects(cli: Cli, kind: str) -> list[Path]:
    """The stored objects of one kind."""
    return sorted(path for path in (cli.store / kind).rglob("*") if path.is_file())


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_tampered_blobs_are_named_by_verify(cli: Cli) -> None:
    data = cli.directory / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "large.bin").write_bytes(os.urandom(LARGE_BYTES))
    (data / "same.bin").write_bytes((data / "deep" / "large.bin").read_bytes())
    (data / "small.txt").write_text("small")
    cli.ok("put", data, "-n", "demo/data")
    (data / "small.txt").write_text("other")
    cli.ok("put", data, "-n", "demo/data")
    (blob,) = objects(cli, "blobs")
    flip(blob, LARGE_BYTES - 1)
    result = cli.run("verify")
    assert (result.code, result.err) == (5, "")
    *damages, summary, cure = result.out.splitlines()
    assert sorted(line.split(":")[0] + line.split(":")[1] for line in damages) == [
        "DAMAGED demo/datav0/deep/large.bin",
        "DAMAGED demo/datav0/same.bin",
        "DAMAGED demo/datav1/deep/large.bin",
        "DAMAGED demo/datav1/same.bin",
    ]
    assert summary.endswith("4 paths damaged")
    assert cure.startswith("to heal it: ")
    only = cli.run("verify", "demo/data:v1", "--json")
    assert only.code == 5
    assert {damage["path"] for damage in only.json["damages"]} == {"deep/large.bin", "same.bin"}
    # What is damaged is not handed out, and what is right is.
    cli.fails(5, "get", "demo/data:v1", "--root", "copy", says="artfs verify")
    assert not (cli.directory / "copy" / "same.bin").exists()


def test_a_tampered_pack_is_named_by_verify(filled: Cli) -> None:
    for pack in objects(filled, "packs"):
        for offset in range(0, pack.stat().st_size, 16):
            flip(pack, offset)
    result = filled.run("verify", "--json")
    assert result.code == 5
    assert {damage["path"] for damage in result.json["damages"]} == {"."}
    filled.fails(5, "ls", "demo/data:v0")


def test_lost_objects_are_named_by_verify_and_doctor(cli: Cli) -> None:
    (cli.directory / "large.bin").write_bytes(os.urandom(LARGE_BYTES))
    cli.ok("put", "large.bin", "-n", "demo/data")
    (blob,) = objects(cli, "blobs")
    blob.chmod(0o600)
    os.truncate(blob, 100)
    value = cli.run("doctor", "--json")
    assert value.code == 5
    assert value.json["findings"][0]["kind"] == "wrong-size"
    assert cli.run("verify").code == 5
    blob.unlink()
    value = cli.run("doctor", "--json")
    assert value.code == 5
    assert value.json["findings"][0]["kind"] == "missing-object"
    result = cli.run("verify")
    assert result.code == 5
    assert "demo/data:v0/large.bin" in result.out


def test_a_mountpoint_that_cannot_be_used_is_exit_code_13(filled: Cli) -> None:
    filled.fails(13, "mount", "missing", says="no such directory")
    filled.fails(13, "mount", "data-files", says="not empty")
    filled.fails(13, "mount", "data-files/a.txt", says="not a directory")
    filled.fails(13, "umount", "data-files", says="nothing is mounted")
    filled.fails(13, "umount", "missing")
    filled.fails(13, "umount", "/proc", says="not a mount of artfs")
    filled.fails(13, "status", "data-files", says="nothing is mounted")
    (filled.directory / "mnt").mkdir()
    strange = filled.directory / os.fsdecode(b"m\xe9")
    strange.mkdir()
    for arguments in (("mount", strange), ("stage", "demo/data", strange)):
        done = subprocess.run(
            filled.command(*arguments),
            env=filled.environment,
            cwd=filled.directory,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"not valid Unicode text" in done.stderr) == (10, True)
    filled.fails(10, "mount", "mnt", "-o", "nonsense", says="nonsense")
    filled.fails(3, "mount", "demo/nothing", "mnt", says="demo/nothing")
    filled.fails(3, "mount", "demo/data:v7", "mnt", says="v7")


def test_bad_configuration_is_exit_code_11(filled: Cli) -> None:
    config = filled.directory / "config" / "artfs" / "config.toml"
    config.parent.mkdir(parents=True)
    del filled.environment["ARTFS_STORE"]
    for text in ("store = 3", "unknown = 'x'", "][", "\0"):
        config.write_text(text)
        filled.fails(11, "ls", says="config.toml")


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    """Wait until a callable is true, or the process has ended."""
    assert callable(condition)
    deadline_s = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_ctrl_c_is_one_line_and_changes_nothing(filled: Cli) -> None:
    before = fingerprint(filled)
    big = filled.directory / "big"
    big.mkdir()
    # Sparse, so that it takes long to read and hash, and no time to make.
    with (big / "sparse.bin").open("wb") as file:
        file.truncate(64 * 1024**3)
    process = filled.popen("put", "big", "-n", "demo/data")
    wait_for(lambda: any((filled.store / "tmp").glob("*/*")), process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "artfs: interrupted\n"
    assert fingerprint(filled) == before
    assert list((filled.store / "tmp").glob("*/*")) == []


def test_what_a_killed_put_leaves_is_named_by_doctor_and_removed_by_gc(filled: Cli) -> None:
    before = fingerprint(filled)
    big = filled.directory / "big"
    big.mkdir()
    (big / "a.bin").write_bytes(os.urandom(LARGE_BYTES))
    with (big / "b.bin").open("wb") as file:
        file.truncate(64 * 1024**3)
    process = filled.popen("put", "big", "-n", "demo/data")
    wait_for(lambda: objects(filled, "blobs"), process)
    process.kill()
    process.communicate(timeout=30)
    value = filled.run("doctor", "--json")
    assert value.code == 0
    kinds = {finding["kind"]: finding for finding in value.json["findings"]}
    assert kinds["orphan-blob"]["size_bytes"] == LARGE_BYTES
    assert kinds["temporary"]["count"] >= 1
    assert fingerprint(filled) == before
    filled.ok("gc", "--grace", "0")
    found = filled.ok("doctor", "--json").json["findings"]
    assert {finding["kind"] for finding in found} <= {"dead-mount"}
    assert objects(filled, "blobs") == []
    (big / "b.bin").unlink()
    filled.ok("put", "big", "-n", "demo/data")
    filled.ok("verify")


NO_TOML = {
    "nested without end": b"a=" + b"[" * 50_000,
    "nested and whole": b"a=" + b"[" * 900 + b"]" * 900,
    "a number of 6,000 digits": b"entity = " + b"9" * 6000,
    "NUL": bytes(3),
    "not UTF-8": b"\xff\xfe=1",
    "other types": b"format = []\nstore = 3\nentity = {}\n",
    "infinite": b"format = inf\nstore = nan\n",
}


@pytest.mark.parametrize("kind", NO_TOML)
def test_a_file_of_settings_that_no_decoder_reads_is_one_line_that_names_it(
    filled: Cli, kind: str
) -> None:
    config = filled.directory / "config" / "artfs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_bytes(NO_TOML[kind])
    filled.fails(11, "ls", says=str(config))
    config.unlink()
    settings = filled.store / "artfs.toml"
    settings.chmod(0o600)
    settings.write_bytes(NO_TOML[kind])
    filled.fails(11, "ls", says=str(settings))
