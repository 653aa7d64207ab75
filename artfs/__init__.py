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
    from artfs import data_types, errors, plot
    from artfs.errors import (
        ArtfsError,
        ArtifactFinalizedError,
        ArtifactNotLoggedError,
        ArtifactStatusError,
        CommError,
        Error,
        UsageError,
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
    from artfs.sdk.charts import Histogram, Plotly, plot_table
    from artfs.sdk.current import (
        alert,
        define_metric,
        finish,
        link_model,
        log,
        log_artifact,
        log_model,
        login,
        mark_preempting,
        pin_config_keys,
        require,
        save,
        setup,
        teardown,
        unwatch,
        use_artifact,
        use_model,
        watch,
    )
    from artfs.sdk.entry import ArtifactManifest, ArtifactManifestEntry
    from artfs.sdk.metadata import ArtifactTTL
    from artfs.sdk.mounting import mount, path
    from artfs.sdk.run import Artifact, Run
    from artfs.sdk.runconfig import RunConfig
    from artfs.sdk.runlogging import AlertLevel
    from artfs.sdk.runsettings import Settings
    from artfs.sdk.starting import init, stage
    from artfs.sdk.summary import RunSummary
    from artfs.system.progress import Progress

    config: RunConfig
    run: Run | None
    summary: RunSummary
    __version__: str

_ERRORS = "artfs.errors"
_CURRENT = "artfs.sdk.current"

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
    "AlertLevel": "artfs.sdk.runlogging",
    "CommError": _ERRORS,
    "Error": _ERRORS,
    "UsageError": _ERRORS,
    "Settings": "artfs.sdk.runsettings",
    "Histogram": "artfs.sdk.charts",
    "Html": "artfs.media.html",
    "Plotly": "artfs.sdk.charts",
    "plot_table": "artfs.sdk.charts",
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
    "init": "artfs.sdk.starting",
    "mount": "artfs.sdk.mounting",
    "path": "artfs.sdk.mounting",
    "stage": "artfs.sdk.starting",
    "alert": _CURRENT,
    "define_metric": _CURRENT,
    "finish": _CURRENT,
    "link_model": _CURRENT,
    "log": _CURRENT,
    "log_artifact": _CURRENT,
    "log_model": _CURRENT,
    "login": _CURRENT,
    "mark_preempting": _CURRENT,
    "pin_config_keys": _CURRENT,
    "require": _CURRENT,
    "save": _CURRENT,
    "setup": _CURRENT,
    "teardown": _CURRENT,
    "unwatch": _CURRENT,
    "use_artifact": _CURRENT,
    "use_model": _CURRENT,
    "watch": _CURRENT,
}

__all__ = [
    "AlertLevel",
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
    "Error",
    "Histogram",
    "Html",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Object3D",
    "PartitionedTable",
    "Plotly",
    "Progress",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Video",
    "WaitTimeoutError",
    "__version__",
    "alert",
    "data_types",
    "define_metric",
    "errors",
    "finish",
    "init",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "mark_preempting",
    "mount",
    "path",
    "pin_config_keys",
    "plot",
    "plot_table",
    "require",
    "run",
    "save",
    "setup",
    "stage",
    "teardown",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
]


_PLOTS = "artfs keeps no plots: log a Table"
_SWEEPS = "artfs has no sweeps"

_NOT_THERE = {
    "Graph": _PLOTS,
    "Molecule": "it is no value of an artifact here: add its file",
    "agent": _SWEEPS,
    "controller": _SWEEPS,
    "restore": "files of runs stay where they are: use_artifact() gives what was logged",
    "sweep": _SWEEPS,
}
"""What W&B has and artfs has not, so that who asks for it is told."""


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow to import, and rarely asked for

    return version("artfs")


def __getattr__(name: str) -> object:
    if name in {"config", "run", "summary"}:
        # Which run is current changes: it is looked up each time.
        current: Run | None = import_module("artfs.sdk.session").current_run()
        if name == "run":
            return current
        if current is None:
            raise AttributeError(f"artfs.{name}: there is no run: call artfs.init() before it")
        return getattr(current, name)
    if name in {"data_types", "errors", "plot"}:
        return import_module(f"artfs.{name}")
    if name == "__version__":
        return _version()
    module = _MODULES.get(name)
    if module is None:
        if name in _NOT_THERE:
            raise AttributeError(f"artfs.{name}: not there: {_NOT_THERE[name]}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
