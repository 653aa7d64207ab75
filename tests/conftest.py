"""Fixtures for all tests: servers, one per test process, started when first asked for."""

from __future__ import annotations

from tests.servers.gcs import gcs
from tests.servers.nginx import nginx
from tests.servers.postgres import postgresql
from tests.servers.seaweedfs import seaweedfs

__all__ = ["gcs", "nginx", "postgresql", "seaweedfs"]
