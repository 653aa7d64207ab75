"""Each test has a store and a directory of its own."""

from __future__ import annotations

from tests.support.workplace import repository, run, workplace

__all__ = ["repository", "run", "workplace"]
