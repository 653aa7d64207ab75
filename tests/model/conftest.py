from __future__ import annotations

from tests.support.mounts import mounted, repository, runtime

__all__ = ["mounted", "repository", "runtime"]
