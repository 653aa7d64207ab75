"""Fixtures for all tests: servers, one per test process, started when first asked for."""

from __future__ import annotations

from tests.servers.postgres import postgresql
from tests.servers.seaweedfs import seaweedfs

__all__ = ["postgresql", "seaweedfs"]
