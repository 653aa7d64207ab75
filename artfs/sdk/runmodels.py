"""Models and code of a run: artifacts that are logged, used and linked by fewer words."""

from __future__ import annotations

import os
import re
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from artfs.errors import InvalidArgument, InvalidValue
from artfs.sdk.entry import ArtifactValue
from artfs.sdk.runlogging import RunLogging

AnyArtifact: TypeAlias = Any
"""An Artifact, which the module of Run has."""

MODEL_TYPE = "model"
REGISTRY_PROJECT = "model-registry"
"""The project of registered models, which are portfolios."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_CODE_ENDINGS = (".py", ".sh", ".ipynb")
_CODE_FILES = frozenset({"requirements.txt", "pyproject.toml", "Dockerfile"})
_SKIPPED = frozenset({"wandb", "artifacts", "__pycache__", "node_modules"})

FileTest = Callable[..., bool]
"""Whether a file counts, by its path, and where it takes two arguments by the root as well."""


class RunModels(RunLogging):
    """Models, tables and code; Run has what they are made of."""

    @abstractmethod
    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - W&B's name
        aliases: str | Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> AnyArtifact:
        """See Run."""

    @abstractmethod
    def use_artifact(
        self,
        artifact_or_name: Any,
        type: str | None = None,  # noqa: A002 - W&B's name
        aliases: str | Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> AnyArtifact:
        """See Run."""

    @abstractmethod
    def new_artifact(self, name: str, type_name: str) -> AnyArtifact:
        """An empty draft."""

    def log_model(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        aliases: str | Sequence[str] | None = None,
    ) -> None:
        """Log a file, directory or URI as an artifact of the type "model".

        Args:
            path: What to log.
            name: The artifact's name. Default: `run-<id>-<base name>`.
            aliases: Aliases for it besides `latest`.

        Raises:
            ValueError: for a path where nothing is, and bad names and aliases.
        """
        self._logged_model(path, name, aliases)

    def _logged_model(
        self,
        path: str | os.PathLike[str],
        name: str | None,
        aliases: str | Sequence[str] | None,
    ) -> AnyArtifact:
        if name is None:
            base = Path(os.fspath(path).rstrip("/")).name
            name = f"run-{self.id}-{_NOT_IN_NAMES.sub('-', base)}"
        return self.log_artifact(path, name, MODEL_TYPE, aliases)

    def use_model(self, name: str) -> str:
        """Use a model and download it: the path of its file, or of the directory of several.

        Args:
            name: `[[entity/]project/]name[:alias|:vN]`.

        Raises:
            ArtifactNotFound, VersionNotFound, AliasNotFound: if there is none of that name.
            ValueError: if its type does not contain "model"; it is an AssertionError too.
        """
        artifact = self.use_artifact(name)
        if MODEL_TYPE not in artifact.type.lower():
            raise InvalidValue(name, f"is no model but a {artifact.type!r}")
        if artifact.file_count == 1:
            return str(artifact.file())
        return str(artifact.download())

    def link_model(
        self,
        path: str | os.PathLike[str],
        registered_model_name: str,
        name: str | None = None,
        aliases: list[str] | None = None,
    ) -> AnyArtifact:
        """Log a model, and link it into the portfolio of that name in `model-registry`.

        Returns it as the portfolio shows it. Arguments are those of `log_model`; the aliases are
        the portfolio's. Raises: ValueError, also for a registered model with a path.
        """
        if "/" in registered_model_name or ":" in registered_model_name:
            raise InvalidValue(registered_model_name, "is more than the name of a registered model")
        artifact = self._logged_model(path, name, None)
        return artifact.link(f"{REGISTRY_PROJECT}/{registered_model_name}", aliases)

    def log_code(
        self,
        root: str | None = ".",
        name: str | None = None,
        include_fn: FileTest | None = None,
        exclude_fn: FileTest | None = None,
    ) -> AnyArtifact | None:
        """Log source files as an artifact of the type "code"; None where there are none.

        Args:
            root: The directory below which they are.
            name: The artifact's name. Default: `source-<project>-<script>`.
            include_fn: Which files count. Default: Python, shell, notebooks, requirements.
            exclude_fn: Which of them do not.
        """
        base = Path(root or ".").absolute()
        files = list(_code_files(base, include_fn, exclude_fn))
        return self._logged_code(base, files, name) if files else None

    def log_script(self) -> AnyArtifact | None:
        """Log the script that this process runs, as `init(save_code=True)` does."""
        script = Path(sys.argv[0]).absolute()
        return self._logged_code(script.parent, [script], None) if script.is_file() else None

    def _logged_code(self, base: Path, files: list[Path], name: str | None) -> AnyArtifact:
        if name is None:
            script = _NOT_IN_NAMES.sub("_", Path(sys.argv[0] or "interactive").name)
            name = f"source-{self.project}-{script}"[:128]
        artifact = self.new_artifact(name, "code")
        for path in files:
            artifact.add_file(str(path), name=path.relative_to(base).as_posix())
        return self.log_artifact(artifact)

    def _stored_table(self, key: str, table: ArtifactValue) -> dict[str, Any]:
        name = f"run-{self.id}-{_NOT_IN_NAMES.sub('', key)}"[:128]
        artifact = self.new_artifact(name, "run_table")
        entry = artifact.add(table, _NOT_IN_NAMES.sub("_", key))
        self.log_artifact(artifact)
        columns, rows = getattr(table, "columns", []), getattr(table, "data", [])
        return {
            "_type": "table-file",
            "artifact_path": artifact.get_path(entry.path).ref_url(),
            "ncols": len(columns),
            "nrows": len(rows),
        }


def _code_files(base: Path, include: FileTest | None, exclude: FileTest | None) -> Iterator[Path]:
    if not base.is_dir():
        raise InvalidArgument(str(base), "is not a directory")
    for directory, below, names in os.walk(base):
        below[:] = sorted(each for each in below if each not in _SKIPPED and each[0] != ".")
        for name in sorted(names):
            path = Path(directory, name)
            counts = (
                _holds(include, path, base)
                if include
                else name.endswith(_CODE_ENDINGS) or name in _CODE_FILES
            )
            if counts and path.is_file() and not (exclude and _holds(exclude, path, base)):
                yield path


def _holds(test: FileTest, path: Path, root: Path) -> bool:
    code = getattr(test, "__code__", None)
    takes_root = code is not None and code.co_argcount >= 2
    return bool(test(str(path), str(root)) if takes_root else test(str(path)))


def fill_from(artifact: AnyArtifact, path: str) -> None:
    """Add a file, a directory or what a URI names. Raises: InvalidArgument for anything else."""
    if Path(path).is_file():
        artifact.add_file(path)
    elif Path(path).is_dir():
        artifact.add_dir(path)
    elif "://" in path:
        artifact.add_reference(path)
    else:
        raise InvalidArgument(path, "is not a file, a directory or a URI like s3://bucket/path")
