"""A real web server for tests: nginx on loopback, on a free port, one per test process."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest

from artfs.testing.seaweedfs import connect, free_ports, wait_until_it_answers

_LOG_DEADLINE_S = 20
_CONFIG = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 512; }}
http {{
    types {{ text/plain txt; application/octet-stream bin; }}
    default_type application/octet-stream;
    log_format short '$request_method $uri "$http_range" $status $body_bytes_sent';
    access_log {directory}/access.log short;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    sendfile on;
    keepalive_timeout 60s;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/root;
        absolute_redirect off;
        location /plain/ {{ alias {directory}/root/; }}
        location /gzip/ {{
            alias {directory}/root/;
            gzip on;
            gzip_types text/plain;
            gzip_min_length 1;
        }}
        location /no-etag/ {{ alias {directory}/root/; etag off; }}
        location /no-ranges/ {{ alias {directory}/root/; max_ranges 0; }}
        location /no-size/ {{ alias {directory}/root/; ssi on; ssi_types *; }}
        location /redirect/ {{ rewrite ^/redirect/(.*)$ /plain/$1 redirect; }}
        location /broken/ {{ return 500; }}
        location /private/ {{
            alias {directory}/root/;
            auth_basic "artfs";
            auth_basic_user_file {directory}/users;
        }}
    }}
}}
"""


class Request(msgspec.Struct, frozen=True):
    """One line of the access log."""

    method: str
    path: str
    range: str
    status: int
    body_bytes: int


class Nginx(msgspec.Struct, frozen=True):
    """A running server; what is in `root` is served below each of its locations."""

    url: str
    root: Path
    log: Path

    def write(self, name: str, data: bytes, *, mtime_s: int = 1_600_000_000) -> Path:
        """Put a file under the root; two contents with one mtime and size share an ETag."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.new")
        temporary.write_bytes(data)
        set_mtime(temporary, mtime_s)
        temporary.replace(path)
        return path

    def requests(self, name: str) -> list[Request]:
        """What was asked for under a name, in any location, in order."""
        found = []
        for line in self._complete_log().splitlines():
            head, range_text, tail = line.split('"')
            method, path = head.strip().split(" ", 1)
            status, body_bytes = tail.split()
            if path.endswith(f"/{name}"):
                found.append(Request(method, path, range_text, int(status), int(body_bytes)))
        return found

    def _complete_log(self) -> str:
        """The access log with all requests that were answered before this call.

        A request is logged after its answer is sent; the one worker logs them in order, so one
        more request shows that those before it are there.
        """
        marker = f"/marker-{secrets.token_hex(8)}"
        with suppress(HTTPError):
            urlopen(self.url + marker)
        deadline_s = time.monotonic() + _LOG_DEADLINE_S
        while marker not in (text := self.log.read_text()):
            assert time.monotonic() < deadline_s, "nginx does not log"
            time.sleep(0.005)
        return text


def set_mtime(path: Path, mtime_s: int) -> None:
    """Set the mtime of a file, in seconds since 1970."""
    os.utime(path, (mtime_s, mtime_s))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """An nginx with ranges, ETags, gzip, and locations that lack some of them."""
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if binary is None:
        pytest.fail("nginx is missing: scripts/test installs it")
    directory = tmp_path_factory.mktemp("nginx")
    (directory / "root").mkdir()
    (directory / "users").write_text("user:{PLAIN}secret\n")
    [port] = free_ports(1)
    config = directory / "nginx.conf"
    config.write_text(_CONFIG.format(directory=directory, port=port))
    # The server dies with the tests, whatever ends them.
    command = ["setpriv", "--pdeathsig", "KILL", binary, "-e", str(directory / "start.log")]
    process = subprocess.Popen([*command, "-c", str(config), "-p", str(directory)])
    try:
        wait_until_it_answers(lambda: connect(port), process, log=directory / "start.log")
        yield Nginx(f"http://127.0.0.1:{port}", directory / "root", directory / "access.log")
    finally:
        process.kill()
        process.wait()
