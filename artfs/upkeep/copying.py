"""Copying artifacts from one store to another: what the other has already is not sent again.

Versions are sent one by one, the oldest first, each in one commit. Where an artifact of the target
holds nothing but versions of the source under the numbers that they have there, or nothing at all,
they keep their numbers, whichever are copied first; elsewhere they get the next ones, in their
order, and content that is there is found by its digest.

What is stored is told to the target's catalog at once: a copy that was killed is taken up by the
next one. A lease in the target keeps it from gc, and one in the source what is being read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from artfs.catalog.base import Catalog
from artfs.catalog.blob_port import Lease
from artfs.catalog.records import (
    ArtifactChange,
    CommitRequest,
    LeaseKind,
    Origin,
    VersionRecord,
    VersionUpdate,
)
from artfs.errors import (
    ArtifactNotFound,
    BackendUnavailable,
    Conflict,
    IntegrityError,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    ReadOnly,
    Unsupported,
    VersionExists,
)
from artfs.manifest.directory import totals
from artfs.manifest.entries import DirectoryEntry
from artfs.manifest.wandb import TreeDigests, tree_digests
from artfs.repository.facade import LATEST, Repository
from artfs.system.oserrors import reach_step
from artfs.system.progress import ProgressMeter
from artfs.upkeep.copied_runs import copy_runs
from artfs.upkeep.copy_selection import (
    SKIPPED,
    CopiedVersion,
    CopyFailure,
    CopyReport,
    CopyRequest,
    Group,
    Selection,
    new_project,
)
from artfs.upkeep.sending import Base, Looking, Taking, TreeSender

_NO_LEASE = (BackendUnavailable, OutOfSpace, PermissionDenied, ReadOnly, Unsupported)
"""Why there is no lease in a source that can only be read."""
_ATTEMPTS = 3


def copy(
    source: Repository,
    target: Repository | None,
    request: CopyRequest,
    selection: Selection,
    *,
    report: CopyReport,
    meter: ProgressMeter,
) -> None:
    """Copy what was selected, and say in `report` what was done, as it is done.

    Without a target it is a dry run for one that is yet to be made; `report.dry_run` says whether
    it is one for a target that is there.
    Blocks: on both stores. Raises: Conflict, OutOfSpace, PermissionDenied, BackendUnavailable.
    What is wrong with single versions is in the report.
    """
    run = _Copying(source, target, request, report, meter)
    for group in selection.groups:
        run.copy_artifact(group)
    if target is None or report.dry_run:
        return
    for portfolio, members in selection.portfolios:
        run.copy_links(target.catalog, portfolio, members)
    if request.lineage:
        counts, failed = copy_runs(
            source, target, run.copied, lambda project: new_project(request, project)
        )
        report.runs, report.uses = counts
        report.failures += [CopyFailure(subject, error) for subject, error in failed]


class _Copying:
    def __init__(
        self,
        source: Repository,
        target: Repository | None,
        request: CopyRequest,
        report: CopyReport,
        meter: ProgressMeter,
    ) -> None:
        self._source = source
        self._target = target
        self._request = request
        self._report = report
        self._meter = meter
        self._looking = Looking(None if target is None else target.catalog, meter)
        self._converts = source.is_server
        self.copied: dict[str, str] = {}
        """The ids of versions in the target, by those in the source."""

    # --- versions --------------------------------------------------------------------------

    def copy_artifact(self, group: Group) -> None:
        """Copy what the target has not of some versions, and their aliases."""
        for version in group.versions:
            self._meter.expect(files=version.file_count, size_bytes=version.size_bytes)
        try:
            known = _Known(self._source, self._target, group, by_wandb=self._converts)
        except SKIPPED as error:
            self._report.failures.append(CopyFailure(group.versions[0].path, error))
            return
        there: list[tuple[VersionRecord, str]] = []
        for version in group.versions:
            found = known.find(version)
            if found is not None:
                self._meter.advance(files=version.file_count, size_bytes=version.size_bytes)
                self._note(version, found, created=False)
            else:
                try:
                    found = self._send(version, group, known)
                except SKIPPED as error:
                    self._report.failures.append(CopyFailure(version.path, error))
                    if known.is_mirror:
                        continue
                    # Those behind it would get numbers before it.
                    break
            if found is not None:
                known.add(found)
                self.copied[version.id] = found.id
                there.append((version, found.id))
        if self._request.aliases:
            self._copy_aliases(there, group, with_latest=known.is_mirror)
        if there:
            self.copy_description(group)

    def _note(
        self,
        version: VersionRecord,
        found: VersionRecord | None,
        *,
        created: bool,
        group: Group | None = None,
        sent: tuple[int, int] = (0, 0),
    ) -> None:
        assert found is not None or group is not None
        target = found.path if found is not None else group.new_path if group is not None else ""
        self._report.versions.append(
            CopiedVersion(
                source=version.path,
                target=target,
                created=created,
                id=None if found is None else found.id,
                digest=version.digest,
                size_bytes=version.size_bytes,
                file_count=version.file_count,
                sent_blobs=sent[0],
                sent_bytes=sent[1],
            )
        )

    def _send(self, version: VersionRecord, group: Group, known: _Known) -> VersionRecord | None:
        """Copy one version; None where that is only looked at."""
        digests = self._digests(version)
        root = DirectoryEntry(
            "", version.tree, *totals(self._source.directory(version.tree).entries())
        )
        base = known.base()
        with self._leased(version):
            if self._target is None or self._report.dry_run:
                before = self._looking.blobs, self._looking.size_bytes
                tree = None if base is None else base[1]
                TreeSender(self._source, self._looking, self._meter).send(root, tree)
                blobs, size_bytes = self._looking.blobs, self._looking.size_bytes
                sent = (blobs - before[0], size_bytes - before[1])
                self._note(version, None, created=True, group=group, sent=sent)
                return None
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._commit(
                        version,
                        root,
                        self._commit_request(version, group, known, base),
                        base,
                        digests,
                    )
                except Conflict as error:
                    # gc was about to delete what it relied on: that is gone by now.
                    if type(error) is not Conflict or attempt == _ATTEMPTS:
                        raise
        raise AssertionError

    def _digests(self, version: VersionRecord) -> TreeDigests | None:
        """The digests of a tree that is sent as it is.

        Raises: IntegrityError where they are not those of the version.
        """
        if self._converts:
            return None
        digests = tree_digests(self._source.directory, version.tree)
        _check_digests(version, digests.digest == version.digest)
        _check_digests(version, digests.content_digest == version.content_digest)
        return digests

    def _commit_request(
        self,
        version: VersionRecord,
        group: Group,
        known: _Known,
        base: tuple[str, Base] | None,
    ) -> CommitRequest:
        return CommitRequest(
            project=group.new_project,
            name=group.new_name,
            type=version.type,
            description=version.description,
            metadata=version.metadata,
            tags=version.tags,
            ttl_s=version.ttl_s,
            base_ids=() if base is None else (base[0],),
            origin=Origin(
                id=version.id,
                created_at_ns=version.created_at_ns,
                index=version.index if known.is_mirror else None,
            ),
        )

    def _commit(
        self,
        version: VersionRecord,
        root: DirectoryEntry,
        request: CommitRequest,
        base: tuple[str, Base] | None,
        digests: TreeDigests | None,
    ) -> VersionRecord:
        target = self._target
        assert target is not None
        ingest = target.ingest()
        try:
            taking = Taking(self._source, target, ingest, self._meter)
            sender = TreeSender(self._source, taking, self._meter)
            tree = sender.send(root, None if base is None else base[1])
            if digests is None:
                load = ingest.directory_loader(target.directory)
                digests = tree_digests(load, tree.sha256)
                _check_digests(version, digests.digest == version.digest)
            reach_step("copy.sent", version.path)
            outcome = target.commit(ingest, tree, request, digests=digests)
            reach_step("copy.made", version.path)
            sent = (ingest.stored_blobs, ingest.stored_bytes)
        finally:
            ingest.discard()
        self._note(version, outcome.version, created=outcome.created, sent=sent)
        self._note_unresolved(outcome.version, sender.referred)
        return outcome.version

    def _note_unresolved(self, version: VersionRecord, referred: Iterable[str]) -> None:
        assert self._target is not None
        for version_id in sorted(referred):
            try:
                self._target.catalog.version_by_id(version_id)
            except NotFound:
                self._report.unresolved.append(f"{version.path}: {version_id}")

    @contextmanager
    def _leased(self, version: VersionRecord) -> Iterator[None]:
        """Let gc of the source keep what is read, where the source can be told so."""
        lease: Lease | None = None
        if not self._report.dry_run:
            with suppress(*_NO_LEASE):
                lease = self._source.catalog.lease(
                    LeaseKind.STAGING, subject="copy", tree=version.tree
                )
        try:
            yield
        finally:
            if lease is not None:
                lease.release()

    # --- names -----------------------------------------------------------------------------

    def _copy_aliases(
        self, there: Sequence[tuple[VersionRecord, str]], group: Group, *, with_latest: bool
    ) -> None:
        """Let aliases name the same versions in the target.

        `latest` follows the newest version where the target has others as well.
        """
        if self._target is None or self._report.dry_run or not there:
            return
        catalog = self._target.catalog
        artifact = catalog.artifact(group.new_project, group.new_name)
        now = {each.id: each for each in catalog.versions(artifact.id)}
        for version, target_id in there:
            known = now.get(target_id)
            if known is None:
                continue
            missing = tuple(
                alias
                for alias in version.aliases
                if alias not in known.aliases and (with_latest or alias != LATEST)
            )
            if missing:
                reach_step("copy.aliasing", version.path)
                catalog.update_version(target_id, VersionUpdate(add_aliases=missing))
                self._report.aliases += [
                    f"{group.new_path}:{alias} -> {known.version}" for alias in missing
                ]

    def copy_description(self, group: Group) -> None:
        """Say of an artifact or portfolio what the source says, where nothing is said of it yet."""
        if self._target is None or self._report.dry_run:
            return
        said = self._source.catalog.artifact(group.project, group.name)
        there = self._target.catalog.artifact(group.new_project, group.new_name)
        if (said.description or said.tags) and not (there.description or there.tags):
            change = ArtifactChange(description=said.description, add_tags=said.tags)
            self._target.catalog.change_artifact(there.id, change)

    def copy_links(
        self, catalog: Catalog, portfolio: Group, members: Sequence[VersionRecord]
    ) -> None:
        """Put what was copied into the portfolio of the target, in its order."""
        for version in members:
            if (target_id := self.copied.get(version.id)) is None:
                continue
            aliases = [each for each in version.aliases if each != LATEST]
            wanted = aliases if self._request.aliases else []
            seen = catalog.memberships(target_id)
            known = {f"{each.project}/{each.name}": each.aliases for each in seen}
            if (
                set(wanted) <= set(known.get(portfolio.new_path, ()))
                and portfolio.new_path in known
            ):
                continue
            try:
                reach_step("copy.linking", version.path)
                linked = catalog.link(target_id, portfolio.new_project, portfolio.new_name, wanted)
            except SKIPPED as error:
                self._report.failures.append(CopyFailure(version.path, error))
                return
            self._report.links.append(linked.path)
            self.copy_description(portfolio)


class _Known:
    """What the target has of one artifact, and which of it is which version of the source."""

    def __init__(
        self, source: Repository, target: Repository | None, group: Group, *, by_wandb: bool
    ) -> None:
        """Raises: VersionExists where the name belongs to something else."""
        self._source = source
        self._target = target
        self._key: Callable[[VersionRecord], str] = (
            (lambda version: version.digest)
            if by_wandb
            else (lambda version: version.content_digest)
        )
        there = [] if target is None else _versions_there(target, group)
        artifact = source.catalog.artifact(group.project, group.name)
        of_source = source.catalog.versions(artifact.id, on_damage=lambda _: None)
        numbered = {version.index: self._key(version) for version in of_source}
        highest = max(numbered, default=-1)
        self.is_mirror = all(
            numbered.get(version.index, self._key(version)) == self._key(version)
            and version.index <= highest
            for version in there
        )
        """Whether the target has nothing but versions of the source, with their numbers."""
        self._by_index = {version.index: version for version in there}
        # The newest of those with the same content.
        self._by_key = {self._key(version): version for version in reversed(there)}
        self._trees = {version.tree for version in of_source}
        # The newest one that is the same in the source: it is read from where it is near.
        self._base = next(
            (version for version in there if version.tree in self._trees),
            there[0] if there else None,
        )

    def find(self, version: VersionRecord) -> VersionRecord | None:
        """What a version of the source is in the target."""
        if self.is_mirror:
            found = self._by_index.get(version.index)
            return found if found is not None and self._key(found) == self._key(version) else None
        return self._by_key.get(self._key(version))

    def add(self, version: VersionRecord) -> None:
        """A version is there now, or was found: the next one is likely to resemble it."""
        self._by_index[version.index] = version
        self._by_key[self._key(version)] = version
        self._base = version

    def base(self) -> tuple[str, Base] | None:
        """A version of the target of which the next one may have parts, by its id."""
        if self._base is None or self._target is None:
            return None
        is_same = self._base.tree in self._trees
        load = self._source.directory if is_same else self._target.directory
        return self._base.id, Base(self._base.tree, load)


def _versions_there(target: Repository, group: Group) -> list[VersionRecord]:
    """The target's versions of an artifact, newest first. Raises: VersionExists."""
    try:
        artifact = target.catalog.artifact(group.new_project, group.new_name)
    except ArtifactNotFound:
        return []
    type_name = group.versions[0].type
    if artifact.is_portfolio:
        raise VersionExists(
            f"{artifact.path} of the target", "is a portfolio", hint="copy it under another name"
        )
    if artifact.type != type_name:
        raise VersionExists(
            f"{artifact.path} of the target",
            f"has the type {artifact.type!r}, not {type_name!r}",
            hint="copy it under another name",
        )
    return target.catalog.versions(artifact.id)


def _check_digests(version: VersionRecord, is_right: bool) -> None:
    if not is_right:
        raise IntegrityError(version.path, "what it holds is not what its digest says")
