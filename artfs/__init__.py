"""artfs: a dataset or model version is a path.

Versioned, content-addressed artifacts behind the W&B Artifact API, mounted with FUSE. A script
written for that API runs with `import artfs as wandb`:

    import artfs

    with artfs.init(project="demo") as run:
        artifact = artfs.Artifact("digits", type="dataset")
        artifact.add_dir("digits/")
        run.log_artifact(artifact)

Names are imported when they are first used, so that `import artfs` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers take it for true; importing it from typing would cost ten milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from artfs.errors import (
        ArtfsError,
        ArtifactFinalizedError,
        ArtifactNotLoggedError,
        ArtifactStatusError,
        WaitTimeoutError,
    )
    from artfs.sdk.api import Api
    from artfs.sdk.artifact import Artifact
    from artfs.sdk.entry import ArtifactManifestEntry
    from artfs.sdk.intake import Progress
    from artfs.sdk.labels import ArtifactTTL
    from artfs.sdk.manifest import ArtifactManifest
    from artfs.sdk.run import Run, finish, init, log_artifact, use_artifact
    from artfs.sdk.stage import stage

    run: Run | None

_ERRORS = "artfs.errors"
_RUN = "artfs.sdk.run"

_MODULES = {
    "Api": "artfs.sdk.api",
    "ArtfsError": _ERRORS,
    "Artifact": "artfs.sdk.artifact",
    "ArtifactFinalizedError": _ERRORS,
    "ArtifactManifest": "artfs.sdk.manifest",
    "ArtifactManifestEntry": "artfs.sdk.entry",
    "ArtifactNotLoggedError": _ERRORS,
    "ArtifactStatusError": _ERRORS,
    "ArtifactTTL": "artfs.sdk.labels",
    "Progress": "artfs.sdk.intake",
    "Run": _RUN,
    "WaitTimeoutError": _ERRORS,
    "finish": _RUN,
    "init": _RUN,
    "log_artifact": _RUN,
    "stage": "artfs.sdk.stage",
    "use_artifact": _RUN,
}

__all__ = [
    "Api",
    "ArtfsError",
    "Artifact",
    "ArtifactFinalizedError",
    "ArtifactManifest",
    "ArtifactManifestEntry",
    "ArtifactNotLoggedError",
    "ArtifactStatusError",
    "ArtifactTTL",
    "Progress",
    "Run",
    "WaitTimeoutError",
    "finish",
    "init",
    "log_artifact",
    "run",
    "stage",
    "use_artifact",
]


def __getattr__(name: str) -> object:
    if name == "run":
        # Which run is current changes: it is looked up each time.
        return import_module("artfs.sdk.session").current_run()
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
