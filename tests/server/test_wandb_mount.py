"""`artfs mount wandb://…` over a server whose answers are wrong, late, or go elsewhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from artfs.model import BLOCK_SIZE_BYTES
from tests.cli.conftest import Cli
from tests.servers.recorded import KEY, RecordedServer, as_json, recorded
from tests.servers.scripted import Asked, redirect

TIMEOUT_S = 4


@contextmanager
def mounted(server: RecordedServer, directory: Path) -> Iterator[tuple[Cli, Path]]:
    """The version v0 of what the server has."""
    cli, mountpoint = Cli(directory), directory / "mnt"
    mountpoint.mkdir()
    cli.environment |= {"WANDB_API_KEY": KEY, "ARTFS_STORE": server.address}
    cli.ok("mount", "-o", f"timeout={TIMEOUT_S}", f"{server.address}/vision/photos", mountpoint)
    try:
        yield cli, mountpoint
    finally:
        cli.run("umount", mountpoint)


def error_of(path: Path) -> int | None:
    """What reading it all fails with."""
    with pytest.raises(OSError) as caught:
        path.read_bytes()
    return caught.value.errno


def test_r2_content_that_lacks_its_md5_is_an_error_once_it_is_complete(tmp_path: Path) -> None:
    with recorded() as server:
        data = bytes(range(256)) * (2 * BLOCK_SIZE_BYTES // 256) + b"the end"
        wrong = b"\x01" + data[1:]
        server.files["large"] = data
        serve = RecordedServer.serve
        server.serve = lambda data, asked: serve(  # type: ignore[method-assign]
            wrong if len(data) > 5 else b"HELLO", asked
        )
        with mounted(server, tmp_path) as (cli, mountpoint):
            version = mountpoint / "v0"
            assert error_of(version / "a.txt") == errno.EIO
            assert error_of(version / "large") == errno.EIO
            assert (version / "large").stat().st_size == len(data)
            # Whoever has read a part of it, and comes a moment later, hears of it as well.
            assert error_of(version / "large") == errno.EIO
            server.serve = serve  # type: ignore[method-assign]
            assert (version / "a.txt").read_bytes() == b"hello"
            cli.ok("umount", mountpoint)
            cli.ok("mount", f"{server.address}/vision/photos", mountpoint)
            assert (version / "large").read_bytes() == data


def test_r6_a_bucket_that_hangs_fails_reads_in_time_and_hinders_nobody(tmp_path: Path) -> None:
    with recorded() as server:
        let_go = Event()

        def hang(asked: Asked) -> bytes:
            let_go.wait()
            return server._from_bucket(asked)

        with mounted(server, tmp_path) as (cli, mountpoint):
            version = mountpoint / "v0"
            assert (version / "a.txt").read_bytes() == b"hello"
            assert (mountpoint / "v1" / "a.txt").stat().st_size == 5
            server.bucket.script = hang
            try:
                assert error_of(version / "d" / "b.bin") in {errno.ETIMEDOUT, errno.EIO}
                assert cli.ok("status", mountpoint).code == 0
                assert sorted(os.listdir(version)) == ["a.txt", "d"]  # noqa: PTH208
                assert (mountpoint / "v1" / "a.txt").read_bytes() == b"hello"
            finally:
                let_go.set()


def test_r5_pauses_that_are_asked_for_and_expired_links_are_invisible_and_the_key_stays(
    tmp_path: Path,
) -> None:
    with recorded() as server, recorded() as stranger:
        busy = iter([as_json({}, 429, retry_after="0"), as_json({}, 503, retry_after="1")])
        script = server.server.script
        server.server.script = lambda asked: next(busy, None) or script(asked)
        with mounted(server, tmp_path) as (_, mountpoint):
            version = mountpoint / "v0"
            pauses = iter([as_json({}, 429, retry_after="0"), as_json({}, 429, retry_after="1")])

            def late(asked: Asked) -> bytes:
                pause = next(pauses, None)
                if pause is None:
                    server.bucket.script = server._from_bucket
                    # The link that it came with has expired meanwhile.
                    server.signature += 1
                return pause or server._from_bucket(asked)

            server.bucket.script = late
            assert (version / "a.txt").read_bytes() == b"hello"
            # A link that leads on, to whoever: the key is not for them.
            server.bucket.script = lambda _: redirect(f"{stranger.bucket.url}/steal")
            stranger.bucket.script = lambda _: as_json({}, 404)
            error_of(version / "d" / "b.bin")
            assert all("authorization" not in each.headers for each in stranger.bucket.asked)
            assert all("authorization" not in each.headers for each in server.bucket.asked)
            server.bucket.script = server._from_bucket
            assert (mountpoint / "v1" / "d" / "b.bin").read_bytes() == b"world!"
