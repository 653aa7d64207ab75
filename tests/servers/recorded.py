"""A W&B server with the answers of one: shaped as those that its clients get, and changeable."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import Any

from tests.servers.scripted import Asked, ScriptedServer, answer, redirect, scripted

ENTITY = "acme"
PROJECT = "vision"
KEY = "k" * 40
Handler = Callable[[Asked], bytes]


def gid(number: int) -> str:
    """The id of a version as W&B writes it."""
    return b64encode(f"Artifact:{number}".encode()).decode()


def md5_text(content: bytes) -> str:
    """The digest of a file in manifests."""
    return b64encode(md5(content).digest()).decode()


def artifact(index: int, *, name: str = "photos", aliases: tuple[str, ...] = ()) -> dict[str, Any]:
    """A version as it is answered."""
    project = {"name": PROJECT, "entity": {"name": ENTITY}}
    return {
        "id": gid(index),
        "digest": f"{index:032x}",
        "state": "COMMITTED",
        "description": None,
        "metadata": '{"lr": 0.1}',
        "size": "11",
        "fileCount": 2,
        "createdAt": f"2024-05-0{index % 9 + 1}T10:00:00Z",
        "versionIndex": index,
        "ttlDurationSeconds": -1,
        "tags": [{"name": "blessed"}],
        "aliases": [
            {"alias": each, "artifactCollection": {"name": name, "project": {"name": PROJECT}}}
            for each in (*aliases, f"v{index}")
        ],
        "artifactType": {"name": "dataset"},
        "artifactSequence": {"name": name, "project": project},
    }


def page(nodes: list[Any], *, cursor: str | None = None) -> dict[str, Any]:
    """A page of a list; `cursor` where another one follows."""
    return {
        "totalCount": len(nodes),
        "edges": [{"node": node} for node in nodes],
        "pageInfo": {"endCursor": cursor, "hasNextPage": cursor is not None},
    }


def as_json(value: Any, status: int = 200, **headers: str) -> bytes:
    """An answer of JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return answer(status, body, content_length=str(len(body)), connection="close", **headers)


class RecordedServer:
    """The server and the bucket that it redirects to; what is answered may be changed."""

    def __init__(self, server: ScriptedServer, bucket: ScriptedServer) -> None:
        self.server = server
        self.bucket = bucket
        self.files = {"a.txt": b"hello", "d/b.bin": b"world!"}
        self.entries: dict[str, Any] = {}
        self.versions = [artifact(1, aliases=("latest",)), artifact(0, aliases=("prod",))]
        self.answers: dict[str, Any] = {}
        """By operation, in place of what is answered else: `data`, bytes, or what makes them."""
        self.manifest: Any = None
        self.signature = 1
        """What the bucket accepts; whatever was signed before has expired."""
        self.signed = 0
        server.script = self._answer
        bucket.script = self._from_bucket

    @property
    def address(self) -> str:
        """Of the store."""
        return f"wandb://{self.server.url.partition('://')[2]}/{ENTITY}"

    @property
    def operations(self) -> list[str]:
        """What was asked for."""
        return [_operation(each) for each in self.server.asked if each.path == "/graphql"]

    def manifest_value(self) -> dict[str, Any]:
        """The manifest of each version."""
        contents = {
            path: {"digest": md5_text(data), "birthArtifactID": gid(0), "size": len(data)}
            for path, data in self.files.items()
        }
        return {
            "version": 1,
            "storagePolicy": "wandb-storage-policy-v1",
            "storagePolicyConfig": {"storageLayout": "V2"},
            "contents": {**contents, **self.entries},
        }

    def _answer(self, asked: Asked) -> bytes:
        if asked.path == "/graphql":
            operation = _operation(asked)
            special = self.answers.get(operation)
            if callable(special):
                special = special(json.loads(asked.body)["variables"])
            if isinstance(special, bytes):
                return special
            variables = json.loads(asked.body)["variables"]
            return as_json(
                {"data": self._data(operation, variables) if special is None else special}
            )
        if asked.path.startswith("/artifactsV2/"):
            if asked.headers.get("authorization") is None:
                return as_json({}, 401)
            self.signed += 1
            digest = asked.path.rpartition("/")[2]
            return redirect(f"{self.bucket.url}/{digest}?signed={self.signature}")
        return as_json({"message": "no such page"}, 404)

    def _data(self, operation: str, variables: dict[str, Any]) -> Any:  # noqa: PLR0911 - a table
        collection: dict[str, Any] = {
            "__typename": "ArtifactSequence",
            "name": "photos",
            "createdAt": "2024-05-01T10:00:00",
            "defaultArtifactType": {"name": "dataset"},
            "artifacts": page(self.versions),
        }
        if operation == "Entity":
            return {"entity": {"name": ENTITY}}
        if operation == "Projects":
            return {"models": page([{"name": PROJECT, "createdAt": "2024-05-01T10:00:00"}])}
        if operation == "ProjectArtifactTypes":
            return {"project": {"artifactTypes": page([{"name": "dataset"}])}}
        if operation == "ArtifactTypeArtifactCollections":
            found = {"name": "dataset", "artifactCollections": page([collection])}
            return {"project": {"artifactType": found}}
        if operation == "ProjectArtifacts":
            return {"project": {"artifactCollection": collection}}
        if operation == "ArtifactMembershipByName":
            return {"project": {"artifactCollectionMembership": self._member(variables["name"])}}
        if operation == "ArtifactByID":
            chosen = [each for each in self.versions if each["id"] == variables["id"]]
            return {"artifact": chosen[0] if chosen else None}
        assert operation == "FetchArtifactManifest", operation
        url = f"{self.bucket.url}/manifest?signed={self.signature}"
        return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}

    def _member(self, name: str) -> Any:
        wanted = name.partition(":")[2]
        for each in self.versions:
            aliases = [alias["alias"] for alias in each["aliases"]]
            if wanted in aliases:
                index = each["versionIndex"]
                return {"versionIndex": index, "aliases": each["aliases"][:-1], "artifact": each}
        return None

    def _from_bucket(self, asked: Asked) -> bytes:
        path, _, signature = asked.path.partition("?signed=")
        if signature != str(self.signature) or "authorization" in asked.headers:
            return as_json({}, 403)
        if path == "/manifest":
            value = self.manifest_value() if self.manifest is None else self.manifest
            return as_json(value)
        known = {md5(data).hexdigest(): data for data in self.files.values()}
        data = known.get(path[1:])
        if data is None:
            return as_json({}, 404)
        return self.serve(data, asked)

    @staticmethod
    def serve(data: bytes, asked: Asked) -> bytes:
        """Content, or the range that is asked for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
        assert match, asked
        start, stop = int(match[1]), min(int(match[2]) + 1, len(data))
        part = data[start:stop]
        return answer(
            206,
            part,
            content_length=str(len(part)),
            content_range=f"bytes {start}-{stop - 1}/{len(data)}",
            connection="close",
        )


def _operation(asked: Asked) -> str:
    match = re.search(r"query (\w+)", json.loads(asked.body)["query"])
    assert match
    return match[1]


@contextmanager
def recorded() -> Iterator[RecordedServer]:
    """Both of them, running."""
    with scripted(lambda _: b"") as server, scripted(lambda _: b"", host="127.0.0.2") as bucket:
        yield RecordedServer(server, bucket)
