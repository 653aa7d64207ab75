"""Ask the real wandb what it makes of references to servers.

Run by wandb's own Python: reads a JSON list of `add_reference` arguments on standard input, and
prints for each one the entries it makes, or the exception.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any


def main() -> None:
    """Answer all cases."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    os.environ |= {"WANDB_DIR": tempfile.mkdtemp(), "WANDB_CACHE_DIR": tempfile.mkdtemp()}
    import wandb  # noqa: PLC0415 - after its settings

    json.dump([answer(wandb, case) for case in json.load(sys.stdin)], sys.stdout)


def answer(wandb: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What one call does."""
    artifact = wandb.Artifact("golden", type="dataset")
    try:
        artifact.add_reference(**case)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return {"error": [kind.__name__ for kind in type(error).__mro__]}
    return {
        "contents": artifact.manifest.to_manifest_json()["contents"],
        "digest": artifact.digest,
    }


if __name__ == "__main__":
    main()
