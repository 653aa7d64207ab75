from __future__ import annotations

from tests.support.mounts import mounted, repository, runtime
from tests.support.staging import staged

__all__ = ["mounted", "repository", "runtime", "staged"]
