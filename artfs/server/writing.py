"""What clients log: drafts, their manifests, and where files are to be sent."""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from typing import Any

from artfs.catalog.records import CommitRequest, VersionRecord
from artfs.catalog.serving_records import (
    ContentRecord,
    Draft,
    DraftGone,
    DraftManifest,
    DraftRequest,
    ManifestKind,
)
from artfs.errors import InvalidArgument, PathNotFound, VersionExists
from artfs.model import Metadata, check_alias, check_name, check_type, is_wandb_digest
from artfs.repository.commits import set_labels
from artfs.repository.facade import LATEST
from artfs.server import ids, lists
from artfs.server.artifact_nodes import ArtifactNode, TypeNode
from artfs.server.committing import commit_draft
from artfs.server.context import Context, as_json
from artfs.server.project_nodes import PendingNode, ProjectNode
from artfs.server.runs import required_run
from artfs.server.tokens import ContentUpload, ManifestUpload

_MAX_TAG_CHARS = 128
_MAX_LABELS = 1000
"""Aliases, or tags, that one request names."""


class WriteMutations:
    """Resolves the fields of `Mutation` by which a version comes to be; blocks on the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create_artifact_type(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - a field's argument
        project = self._context.project(input.get("projectName"), input.get("entityName"))
        self._context.access.require_write(project)
        name = check_type(input["name"])
        node = ProjectNode(self._context, project)
        return {"artifactType": TypeNode(self._context, node, name, 0)}

    def create_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        context = self._context
        project = context.project(input.get("projectName"), input.get("entityName"))
        context.access.require_write(project)
        name = check_name(_collection_name(input), kind="artifact")
        request, moves_latest = self._request(project, name, input)
        latest = context.latest(project, name)
        same = self._same(project, name, request, latest)
        if same is not None:
            artifact = self._again(same, latest, request, moves_latest=moves_latest)
            return {"artifact": artifact}
        serving = context.repository.catalog.serving
        draft = serving.put_draft(
            Draft(
                id=secrets.token_hex(16),
                project=project,
                name=name,
                request=request,
                distributed_id=input.get("distributedID") or None,
            )
        )
        if request.client_id:
            serving.map_client_id(request.client_id, draft.id)
        return {"artifact": PendingNode(context, draft, latest)}

    def _request(
        self,
        project: str,
        name: str,
        input: Metadata,  # noqa: A002 - as above
    ) -> tuple[DraftRequest, bool]:
        """What is wanted, checked; and whether `latest` was named among the aliases."""
        type_name = check_type(input["artifactTypeName"])
        record = self._context.collection(project, name)
        if record is not None and (record.is_portfolio or record.type != type_name):
            kind = "a portfolio" if record.is_portfolio else f"of the type {record.type!r}"
            raise VersionExists(record.path, f"is {kind}", hint="choose another name")
        if not is_wandb_digest(input["digest"]):
            raise InvalidArgument(f"digest {input['digest'][:40]!r}", "is no MD5 in hexadecimal")
        metadata = as_json(input.get("metadata")) or {}
        if not isinstance(metadata, dict):
            raise InvalidArgument("metadata", "is not a JSON object")
        names = [each["alias"] for each in checked_count("aliases", input.get("aliases"))]
        run_id = None
        if run_name := input.get("runName"):
            run_id = required_run(self._context, project, run_name).id
        request = DraftRequest(
            type=type_name,
            digest=input["digest"],
            description=input.get("description") or None,
            metadata=metadata,
            aliases=tuple(dict.fromkeys(check_alias(each) for each in names if each != LATEST)),
            tags=checked_tags(input.get("tags")),
            ttl_s=checked_ttl(input.get("ttlDurationSeconds")),
            run_id=run_id,
            dedupe_all=bool(input.get("enableDigestDeduplication")),
            client_id=(input.get("clientID") or "")[:128] or None,
        )
        return request, LATEST in names

    def _same(
        self, project: str, name: str, request: DraftRequest, latest: VersionRecord | None
    ) -> VersionRecord | None:
        """The version that has the content already."""
        if latest is None or latest.digest == request.digest:
            return latest
        if request.dedupe_all:
            return self._context.version(project, f"{name}:{request.digest}")
        return None

    def _again(
        self,
        same: VersionRecord,
        latest: VersionRecord | None,
        request: DraftRequest,
        *,
        moves_latest: bool,
    ) -> ArtifactNode:
        """What is logged once more gets what is said of it."""
        catalog = self._context.repository.catalog
        aliases = request.aliases
        if moves_latest and latest is not None and latest.id != same.id:
            aliases = (*aliases, LATEST)
        labels = CommitRequest(
            project=same.project,
            name=same.name,
            type=request.type,
            description=request.description,
            metadata=request.metadata,
            aliases=aliases,
            tags=request.tags,
            ttl_s=request.ttl_s,
        )
        version, _ = set_labels(catalog, same, labels)
        if request.run_id is not None:
            catalog.record_output(request.run_id, version.id)
        if request.client_id:
            catalog.serving.map_client_id(request.client_id, version.id)
        return ArtifactNode(self._context, version)

    # --- manifests -------------------------------------------------------------------------

    def create_artifact_manifest(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        draft = self._draft(input["artifactID"])
        manifest = DraftManifest(
            id=secrets.token_hex(16),
            draft_id=draft.id,
            kind=ManifestKind(input.get("type") or ManifestKind.FULL),
            writer=(input.get("runName") or "")[:128],
            base_id=self._base_id(input.get("baseArtifactID")),
        )
        try:
            self._context.repository.catalog.serving.put_manifest(manifest)
        except DraftGone:
            raise _given_up() from None
        return self._manifest_value(manifest, input["name"], input["digest"])

    def update_artifact_manifest(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        manifest_id = ids.manifest_id(input["artifactManifestID"])
        base_id = self._base_id(input.get("baseArtifactID"))
        serving = self._context.repository.catalog.serving
        manifest = serving.set_manifest_base(manifest_id, None)
        if manifest is None:
            raise _given_up()
        self._draft(manifest.draft_id)
        if base_id is not None:
            serving.set_manifest_base(manifest_id, base_id)
        return self._manifest_value(manifest, "wandb_manifest.json", input.get("digest") or "")

    def _base_id(self, gid: str | None) -> str | None:
        if not gid:
            return None
        return self._context.version_by_id(ids.artifact_id(gid)).id

    def _manifest_value(self, manifest: DraftManifest, name: str, digest: str) -> dict[str, Any]:
        md5 = checked_md5(digest) if digest else None
        right = ManifestUpload(manifest.draft_id, manifest.id, md5)
        file = {
            "id": ids.manifest_gid(manifest.id),
            "name": name,
            "displayName": name,
            "uploadUrl": self._context.upload_url(right),
            "uploadHeaders": [],
        }
        return {"artifactManifest": {"id": ids.manifest_gid(manifest.id), "file": file}}

    # --- files -----------------------------------------------------------------------------

    def create_artifact_files(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        specs = input["artifactFiles"]
        wanted: dict[str, list[bytes]] = {}
        for spec in specs:
            wanted.setdefault(spec["artifactID"], []).append(checked_md5(spec["md5"]))
        drafts = {gid: self._draft(gid) for gid in wanted}
        have = {gid: self._claimed(drafts[gid], md5s) for gid, md5s in wanted.items()}
        shown = []
        for spec in specs:
            gid = spec["artifactID"]
            shown.append(self._file(drafts[gid], spec, have[gid]))
        page = lists.edges(lists.nodes(shown), 0, more=False, total=len(shown))
        return {"files": page}

    def _claimed(self, draft: Draft, md5s: list[bytes]) -> dict[bytes, str]:
        """What of some content the store has, and may be used: the versions that hold it."""
        context = self._context
        latest = context.latest(draft.project, draft.name)
        found = context.contents.known(draft.project, md5s, latest=latest)
        contents: list[ContentRecord] = [content for content, _ in found.values()]
        try:
            kept = context.repository.catalog.serving.claim(draft.id, contents)
        except DraftGone:
            raise _given_up() from None
        return {md5: version_id for md5, (_, version_id) in found.items() if md5 in kept}

    def _file(self, draft: Draft, spec: Metadata, have: dict[bytes, str]) -> dict[str, Any]:
        md5 = checked_md5(spec["md5"])
        held_by = have.get(md5)
        url = None
        headers: list[str] = []
        if held_by is None:
            url = self._context.upload_url(ContentUpload(draft.id, md5))
            headers = [f"Content-MD5:{spec['md5']}"]
        return {
            "id": ids.named_gid("File", draft.id, md5.hex()),
            "name": spec["name"],
            "displayName": spec["name"],
            "uploadUrl": url,
            "uploadHeaders": headers,
            "uploadMultipartUrls": None,
            "storagePath": f"contents/{md5.hex()}",
            "md5": spec["md5"],
            "digest": spec["md5"],
            "artifact": {"id": ids.artifact_gid(held_by or draft.id)},
        }

    # --- the end ---------------------------------------------------------------------------

    def commit_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - as above
        context = self._context
        artifact_id = ids.artifact_id(input["artifactID"])
        draft = context.repository.catalog.serving.draft(artifact_id)
        if draft is None:
            # It was committed before, and the answer was lost.
            committed = context.repository.catalog.committed_with(artifact_id)
            version = context.version_by_id(committed or artifact_id)
        else:
            context.access.require_write(draft.project)
            version = commit_draft(context, draft)
        return {"artifact": ArtifactNode(context, version)}

    def _draft(self, gid: str) -> Draft:
        """A draft that the key may write to. Raises: PathNotFound, PermissionDenied."""
        draft = self._context.repository.catalog.serving.draft(ids.artifact_id(gid))
        if draft is None:
            raise _given_up()
        self._context.access.require_write(draft.project)
        return draft


def _given_up() -> PathNotFound:
    return PathNotFound(
        "this artifact", "is not being logged (any more)", hint="log it again from the start"
    )


def _collection_name(input: Metadata) -> str:  # noqa: A002 - as above
    names = input.get("artifactCollectionNames") or [input.get("artifactCollectionName")]
    if len(names) != 1 or not names[0]:
        raise InvalidArgument("createArtifact", "names no collection, or several")
    return str(names[0])


def checked_md5(text: str) -> bytes:
    """An md5 as clients write it, in base64. Raises: InvalidArgument."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise InvalidArgument(f"md5 {text[:40]!r}", "is no MD5 in base64")
    return raw


def checked_count(what: str, values: list[Metadata] | None) -> list[Metadata]:
    """The values of a list that is as long as one may be. Raises: InvalidArgument."""
    if values is not None and len(values) > _MAX_LABELS:
        raise InvalidArgument(
            f"{len(values)} {what}", f"at most {_MAX_LABELS} are taken at once", hint="give fewer"
        )
    return values or []


def checked_tags(tags: list[Metadata] | None) -> tuple[str, ...]:
    """The names of tags. Raises: InvalidArgument."""
    names = [str(each["tagName"]) for each in checked_count("tags", tags)]
    for name in names:
        if not name or len(name) > _MAX_TAG_CHARS or not name.isprintable():
            raise InvalidArgument(f"tag {name[:40]!r}", "is not a valid tag")
    return tuple(dict.fromkeys(names))


def checked_ttl(seconds: int | None) -> int | None:
    """A time to live; those below zero are W&B's words for none."""
    if seconds is None or int(seconds) < 0:
        return None
    if not 0 < int(seconds) < 2**62:
        raise InvalidArgument(f"ttlDurationSeconds {seconds}", "is no time to live")
    return int(seconds)
