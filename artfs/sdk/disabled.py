"""`init(mode="disabled")`: a run for trying a script out, of which nothing is kept."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self

from artfs.catalog.records import VersionRecord
from artfs.errors import NotFound
from artfs.model import Metadata, RunState
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from artfs.sdk.run import Artifact, Run
from artfs.sdk.runsettings import RunRequest, Settings
from artfs.sdk.session import shared_repository
from artfs.settings import default_entity
from artfs.system.oserrors import translate_os_errors


class DisabledRun(Run):
    """A run in a store of its own, which is a temporary directory and goes when the run ends.

    What its script logs it can use, download and delete. Artifacts of the real store can be used
    as well, which is not recorded.
    """

    _place: Path

    @classmethod
    def thrown_away(cls, request: RunRequest, config: Metadata) -> Self:
        """Begin one. Raises: InvalidName, OutOfSpace, PermissionDenied."""
        with translate_os_errors(tempfile.gettempdir()):
            place = Path(tempfile.mkdtemp(prefix="artfs-disabled-"))
        try:
            entity = request.entity or default_entity()
            repository = open_store(str(place / "store"), create=True, entity=entity)
            run = cls.begin(
                repository,
                request.project,
                name=request.name,
                job_type=request.job_type,
                config=config,
                run_id=request.id,
            )
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        run.placed(place)
        return run

    def placed(self, place: Path) -> None:
        """Keep all in a directory, which goes when the run ends."""
        self._place = place

    @property
    def disabled(self) -> bool:
        """True."""
        return True

    def started(self, request: RunRequest, *, settings: Settings, details: Metadata) -> None:
        """See Run."""
        super().started(request, settings=settings, details=details)
        self._is_silent, self._files_root = True, str(self._place)

    def _found(self, name: str) -> tuple[Repository, VersionRecord]:
        try:
            return super()._found(name)
        except NotFound as error:
            try:
                real = shared_repository(create=False)
                return real, real.resolve(name, project=self.project)
            except NotFound:
                raise error from None

    def _record_use(self, artifact: Artifact, use_as: str | None) -> None:
        logged = artifact._state.logged  # noqa: SLF001 - Artifact's own module is above
        if logged is not None and logged.repository is self.repository:
            super()._record_use(artifact, use_as)

    def _after_end(self, state: RunState) -> None:
        super()._after_end(state)
        self.repository.close()
        shutil.rmtree(self._place, ignore_errors=True)
