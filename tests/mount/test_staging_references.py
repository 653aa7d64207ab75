"""References in the base of a staging mount that do not say their size: right bytes or an error."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from artfs.catalog.records import CommitRequest
from artfs.content.base import read_blocks
from artfs.manifest.builder import TreeBuilder
from artfs.manifest.entries import Pin, ReferenceEntry, SymlinkEntry
from artfs.model import BLOCK_SIZE_BYTES
from tests.support.staging import ARTIFACT, Stager

DATA = os.urandom(BLOCK_SIZE_BYTES + 12_345)


class Server:
    """Sends DATA in chunks, and never says how much there is."""

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._begin()

            def do_GET(self) -> None:
                if not self._begin():
                    return
                for start in range(0, len(DATA), 100_000):
                    part = DATA[start : start + 100_000]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")

            def _begin(self) -> bool:
                self.send_response(200 if outer.works else 404)
                if outer.works:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.send_header("ETag", '"one"')
                else:
                    self.send_header("Content-Length", "0")
                self.end_headers()
                return outer.works

            def log_message(self, *_: object) -> None:
                pass

        self.works = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/data"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(params=["file", "http"])
def base(
    request: pytest.FixtureRequest,
    staged: Stager,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Server:
    """A version with `d/ref`, a pinned reference that does not say its size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
    repository = staged.repository
    if request.param == "http":
        [(_, entry)] = repository.references.describe(server.url, name="ref", checksum=True)
        assert entry.size_bytes is None
        assert entry.pin != Pin()
    else:
        source = tmp_path / "source.bin"
        source.write_bytes(DATA)
        uri, pin = source.as_uri(), Pin(mtime_ns=source.stat().st_mtime_ns)
        entry = ReferenceEntry("ref", uri, uri, None, pin, {})
    ingest, builder = repository.ingest(), TreeBuilder(repository.directory)
    builder.put("d/ref", entry)
    project, _, name = ARTIFACT.partition("/")
    order = CommitRequest(project=project, name=name, type="dataset")
    repository.commit(ingest, builder.build(ingest.add_directory), order)
    return server


def committed(staged: Stager, mountpoint: Path, path: str = "d/ref") -> bytes:
    """What the version that a mount becomes holds at a path."""
    version = staged.finish(mountpoint).version
    assert version is not None
    entry = staged.repository.find(staged.repository.resolve(version).tree, path)
    assert not isinstance(entry, SymlinkEntry)
    return b"".join(read_blocks(staged.repository.content(entry)))  # type: ignore[arg-type]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("looked", ["not", "listed", "statted"])
def test_a_file_of_unknown_size_is_appended_to_at_its_end(staged: Stager, looked: str) -> None:
    mountpoint = staged(base="latest")
    if looked != "not":
        assert [path.name for path in (mountpoint / "d").iterdir()] == ["ref"]
    if looked == "statted":
        assert (mountpoint / "d/ref").stat().st_size == len(DATA)
    with (mountpoint / "d/ref").open("ab", buffering=0) as file:
        file.write(b"more")
        assert file.tell() == len(DATA) + 4
    assert (mountpoint / "d/ref").read_bytes() == DATA + b"more"
    assert committed(staged, mountpoint) == DATA + b"more"


@pytest.mark.usefixtures("base")
def test_a_file_of_unknown_size_is_copied_mapped_cut_and_committed_whole(
    staged: Stager, tmp_path: Path
) -> None:
    mountpoint = staged(base="latest")
    ref = mountpoint / "d/ref"
    for command in ("cp", "cat"):
        target = tmp_path / command
        shell = f"{command} {ref} {target}" if command == "cp" else f"cat {ref} > {target}"
        subprocess.run(shell, shell=True, check=True)
        assert target.read_bytes() == DATA
    with ref.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == DATA
    shutil.copyfile(ref, mountpoint / "copy")
    os.link(ref, mountpoint / "link")
    ref.rename(mountpoint / "d/renamed")
    assert (mountpoint / "link").stat().st_size == len(DATA)
    with (mountpoint / "d/renamed").open("r+b") as changing:
        changing.seek(7)
        changing.write(b"changed")
    changed = DATA[:7] + b"changed" + DATA[14:]
    assert (mountpoint / "link").read_bytes() == changed
    assert (mountpoint / "copy").read_bytes() == DATA
    os.truncate(mountpoint / "link", 1000)
    assert (mountpoint / "d/renamed").read_bytes() == changed[:1000]
    assert committed(staged, mountpoint, "copy") == DATA


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("size_bytes", [0, 10, len(DATA) - 1, len(DATA) + 100])
def test_a_file_of_unknown_size_is_cut_and_extended_to_what_was_asked_for(
    staged: Stager, size_bytes: int
) -> None:
    mountpoint = staged(base="latest")
    os.truncate(mountpoint / "d/ref", size_bytes)
    expected = DATA[:size_bytes].ljust(size_bytes, b"\0")
    assert (mountpoint / "d/ref").read_bytes() == expected
    assert committed(staged, mountpoint) == expected


@pytest.mark.usefixtures("base")
def test_a_file_of_unknown_size_stays_what_it_is_through_a_commit_while_it_is_open(
    staged: Stager,
) -> None:
    mountpoint = staged(base="latest")
    with (mountpoint / "d/ref").open("rb") as file:
        assert file.read(10) == DATA[:10]
        (mountpoint / "new").write_bytes(b"x")
        subprocess.run(
            [sys.executable, "-m", "artfs", "commit", mountpoint],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (mountpoint / "d/ref").chmod(0o640)
        assert [path.name for path in (mountpoint / "d").iterdir()] == ["ref"]
        assert os.fstat(file.fileno()).st_size == len(DATA)
        assert file.read() == DATA[10:]
    with (mountpoint / "d/ref").open("ab") as file:
        file.write(b"!")
    assert (mountpoint / "d/ref").read_bytes() == DATA + b"!"


@pytest.mark.parametrize("base", ["http"], indirect=True)
def test_a_file_whose_size_nobody_tells_is_an_error_and_never_empty(
    staged: Stager, base: Server, tmp_path: Path
) -> None:
    base.works = False
    mountpoint = staged(base="latest")
    ref = mountpoint / "d/ref"
    for act in (ref.stat, ref.read_bytes, partial(ref.open, "ab")):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno in {errno.EIO, errno.ESTALE, errno.ENOENT}, act
    assert subprocess.run(
        ["cp", ref, tmp_path / "copy"], check=False, stderr=subprocess.DEVNULL
    ).returncode
    assert not (tmp_path / "copy").exists()
    # It can be named all the same, renamed, and read as soon as its server is there again.
    assert [path.name for path in (mountpoint / "d").iterdir()] == ["ref"]
    ref.rename(mountpoint / "d/later")
    base.works = True
    with (mountpoint / "d/later").open("ab", buffering=0) as file:
        assert file.tell() == len(DATA)
        file.write(b"more")
    assert (mountpoint / "d/later").read_bytes() == DATA + b"more"
