"""Shared stores for tests: a real database, a real S3 server, and hosts that share nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from artfs.repository.stores import make_store
from tests.cli.conftest import Cli
from tests.servers.seaweedfs import REGION, SeaweedFS

PASSWORD = "n0b0dy-m4y-s33"


class SharedStore:
    """One shared store, and the hosts that use it."""

    def __init__(
        self, root: Path, database: str, server: SeaweedFS, *, endpoint: str | None = None
    ) -> None:
        self.root = root
        self.url = database
        self.server = server
        self.prefix = server.new_prefix()
        endpoint = endpoint or server.endpoint_url
        self.blobs = f"s3://{server.bucket}/{self.prefix}?endpoint={endpoint}&region={REGION}"
        self.hosts: list[Cli] = []

    def host(self) -> Cli:
        """Another host: nothing but the store's URL, and credentials."""
        directory = self.root / f"host{len(self.hosts)}"
        directory.mkdir()
        cli = Cli(directory)
        cli.environment |= {
            "ARTFS_STORE": self.url,
            # Whoever has many processes at once need not wait for a metadata service.
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        }
        self.hosts.append(cli)
        return cli

    def made(self) -> SharedStore:
        """The store, once it is there."""
        make_store(self.url, blobs=self.blobs, entity="team")
        return self


def with_password(url: str) -> str:
    """The URL of a database with a password in it, which the test's server does not ask for."""
    return url.replace("postgres@", f"postgres:{PASSWORD}@", 1)
