"""What a project calls its runs: an id is unique in the store, a name of W&B's in its project."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b

from artfs.catalog.base import Catalog
from artfs.catalog.records import RunRecord
from artfs.errors import RunNotFound
from artfs.model import check_run_id


def find_run(catalog: Catalog, project: str, name: str) -> RunRecord | None:
    """The run that is called `name` in a project, or None. Blocks: on the catalog."""
    for run_id in (name, _other_run_id(project, name)):
        with suppress(RunNotFound):
            run = catalog.run(run_id)
            if run.project == project:
                return run
    return None


def new_run_id(catalog: Catalog, project: str, name: str) -> str:
    """The id for a new run that is called `name`: that, unless another project has it.

    Blocks: on the catalog. Raises: InvalidName.
    """
    check_run_id(name)
    with suppress(RunNotFound):
        catalog.run(name)
        return _other_run_id(project, name)
    return name


def run_name(run: RunRecord) -> str:
    """What its project calls a run."""
    return run.id.removesuffix(_run_suffix(run.project))


def _other_run_id(project: str, name: str) -> str:
    """What a run is called in the store whose own name is that of another project's run."""
    return f"{name}{_run_suffix(project)}"


def _run_suffix(project: str) -> str:
    return "@" + blake2b(project.encode(), digest_size=8).hexdigest()
