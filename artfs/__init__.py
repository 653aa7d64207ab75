"""artfs: a dataset or model version is a path.

Versioned, content-addressed artifacts behind the W&B Artifact API, mounted with FUSE. A script
written for that API runs with `import artfs as wandb`:

    import artfs

    with artfs.init(project="demo") as run:
        artifact = artfs.Artifact("digits", type="dataset")
        artifact.add_dir("digits/")
        run.log_artifact(artifact)

Names are imported when they are first used, so that `import artfs` itself costs nothing.
`artfs.config` is that of the current run, and is there only in one.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers take it for true; importing it from typing would cost ten milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from artfs import data_types
    from artfs.errors import (
        ArtfsError,
        ArtifactFinalizedError,
        ArtifactNotLoggedError,
        ArtifactStatusError,
        CommError,
        WaitTimeoutError,
    )
    from artfs.media.annotations import BoundingBoxes2D, Classes, ImageMask
    from artfs.media.audio import Audio
    from artfs.media.html import Bokeh, Html
    from artfs.media.image import Image
    from artfs.media.joined import JoinedTable, PartitionedTable
    from artfs.media.object3d import Object3D
    from artfs.media.table import Table
    from artfs.media.video import Video
    from artfs.sdk.api import Api
    from artfs.sdk.entry import ArtifactManifest, ArtifactManifestEntry
    from artfs.sdk.metadata import ArtifactTTL
    from artfs.sdk.run import Artifact, Run
    from artfs.sdk.runconfig import RunConfig
    from artfs.sdk.starting import finish, init, log_artifact, stage, use_artifact
    from artfs.system.progress import Progress

    config: RunConfig
    run: Run | None

_ERRORS = "artfs.errors"
_STARTING = "artfs.sdk.starting"

_MODULES = {
    "Api": "artfs.sdk.api",
    "ArtfsError": _ERRORS,
    "Artifact": "artfs.sdk.run",
    "ArtifactFinalizedError": _ERRORS,
    "ArtifactManifest": "artfs.sdk.entry",
    "ArtifactManifestEntry": "artfs.sdk.entry",
    "ArtifactNotLoggedError": _ERRORS,
    "ArtifactStatusError": _ERRORS,
    "ArtifactTTL": "artfs.sdk.metadata",
    "Audio": "artfs.media.audio",
    "Bokeh": "artfs.media.html",
    "BoundingBoxes2D": "artfs.media.annotations",
    "Classes": "artfs.media.annotations",
    "CommError": _ERRORS,
    "Html": "artfs.media.html",
    "Image": "artfs.media.image",
    "ImageMask": "artfs.media.annotations",
    "JoinedTable": "artfs.media.joined",
    "Object3D": "artfs.media.object3d",
    "PartitionedTable": "artfs.media.joined",
    "Progress": "artfs.system.progress",
    "Run": "artfs.sdk.run",
    "Table": "artfs.media.table",
    "Video": "artfs.media.video",
    "WaitTimeoutError": _ERRORS,
    "finish": _STARTING,
    "init": _STARTING,
    "log_artifact": _STARTING,
    "stage": "artfs.sdk.starting",
    "use_artifact": _STARTING,
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
    "Audio",
    "Bokeh",
    "BoundingBoxes2D",
    "Classes",
    "CommError",
    "Html",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Object3D",
    "PartitionedTable",
    "Progress",
    "Run",
    "Table",
    "Video",
    "WaitTimeoutError",
    "data_types",
    "finish",
    "init",
    "log_artifact",
    "run",
    "stage",
    "use_artifact",
]


def __getattr__(name: str) -> object:
    if name in {"config", "run"}:
        # Which run is current changes: it is looked up each time.
        current: Run | None = import_module("artfs.sdk.session").current_run()
        if name == "run":
            return current
        if current is None:
            raise AttributeError("artfs.config: there is no run: call artfs.init() before it")
        return current.config
    if name == "data_types":
        return import_module("artfs.data_types")
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
