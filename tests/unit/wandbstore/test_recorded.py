"""`wandb://` against answers shaped as those of W&B's servers, and against wrong ones."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artfs.content.base import Content, read_range
from artfs.errors import (
    AliasNotFound,
    ArtfsError,
    ArtifactNotFound,
    BackendUnavailable,
    IntegrityError,
    InvalidManifest,
    PermissionDenied,
    ReadOnly,
    ReferenceChanged,
    StoreNotFound,
    VersionNotFound,
)
from artfs.manifest.entries import DirectoryEntry, Pin, ReferenceEntry
from artfs.manifest.wandb import tree_digests, tree_entries
from artfs.model import BLOCK_SIZE_BYTES, ByteRange
from artfs.repository.facade import Repository
from artfs.repository.stores import open_store
from tests.servers.recorded import (
    ENTITY,
    KEY,
    PROJECT,
    RecordedServer,
    artifact,
    as_json,
    gid,
    md5_text,
    page,
    recorded,
)
from tests.servers.scripted import Asked, answer, redirect


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedServer]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("ARTFS_TIMEOUT", "8")
    with recorded() as running:
        yield running


@pytest.fixture
def store(server: RecordedServer) -> Iterator[Repository]:
    with open_store(server.address) as repository:
        yield repository


def content_of(store: Repository, path: str, *, version: str = "latest") -> Content:
    found = store.resolve(f"{PROJECT}/photos:{version}")
    entry = store.find(found.tree, path)
    assert isinstance(entry, ReferenceEntry)
    return store.content(entry)


def read(store: Repository, path: str, *, version: str = "latest") -> bytes:
    content = content_of(store, path, version=version)
    return read_range(content, ByteRange(0, content.size_bytes))


# --- names -------------------------------------------------------------------------------------


def test_names_are_those_of_the_server(server: RecordedServer, store: Repository) -> None:
    [project] = store.catalog.projects()
    assert project.name == PROJECT
    [record] = store.catalog.artifacts(project=PROJECT)
    assert (record.path, record.type, record.is_portfolio) == ("vision/photos", "dataset", False)
    newest, oldest = store.catalog.versions(record.id)
    assert (newest.version, newest.aliases) == ("v1", ("latest",))
    assert (oldest.version, oldest.aliases, oldest.tags) == ("v0", ("prod",), ("blessed",))
    assert (newest.metadata, newest.size_bytes, newest.ttl_s) == ({"lr": 0.1}, 11, None)
    assert store.resolve("vision/photos:prod") == oldest
    assert store.catalog.version_by_id(oldest.id) == oldest
    with pytest.raises(AliasNotFound):
        store.resolve("vision/photos:best")
    with pytest.raises(VersionNotFound):
        store.resolve("vision/photos:v7")
    server.answers["ProjectArtifacts"] = {"project": {"artifactCollection": None}}
    with pytest.raises(ArtifactNotFound):
        store.catalog.artifact(PROJECT, "nothing")
    assert all(each.headers["authorization"].startswith("Basic ") for each in server.server.asked)


def test_a_list_is_read_to_its_last_page(server: RecordedServer, store: Repository) -> None:
    def projects(variables: dict[str, Any]) -> bytes:
        start = int(variables["cursor"] or 0)
        found = [{"name": f"p{number}"} for number in range(start, start + 3)]
        cursor = str(start + 3) if start < 6 else None
        return as_json({"data": {"models": page(found, cursor=cursor)}})

    server.answers["Projects"] = projects
    assert [each.name for each in store.catalog.projects()] == [f"p{n}" for n in range(9)]


def test_a_server_without_models_is_asked_by_its_entity(
    server: RecordedServer, store: Repository
) -> None:
    server.answers["Projects"] = as_json({"errors": [{"message": "Cannot query field"}]})
    projects = page([{"name": "one"}])
    server.answers["EntityProjects"] = {"entity": {"name": ENTITY, "projects": projects}}
    assert [each.name for each in store.catalog.projects()] == ["one"]


def test_names_that_artfs_cannot_have_are_left_out_and_said(
    server: RecordedServer, store: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["good", "my project", "..", "a/b", "nul\0", "x" * 300]
    server.answers["Projects"] = {"models": page([{"name": name} for name in names])}
    assert [each.name for each in store.catalog.projects()] == ["good"]
    assert caplog.text.count("not listed") == 5


def test_a_portfolio_numbers_its_versions_itself(server: RecordedServer, store: Repository) -> None:
    linked = artifact(5, name="other")
    name = {"name": "photos", "project": {"name": PROJECT}}
    linked["aliases"].append({"alias": "best", "artifactCollection": name})
    found: dict[str, Any] = {
        "__typename": "ArtifactPortfolio",
        "name": "photos",
        "artifacts": page([linked]),
    }
    found["artifacts"]["edges"][0]["version"] = "v0"
    found["defaultArtifactType"] = {"name": "dataset"}
    server.answers["ProjectArtifacts"] = {"project": {"artifactCollection": found}}
    record = store.catalog.artifact(PROJECT, "photos")
    assert record.is_portfolio
    [version] = store.catalog.versions(record.id)
    assert (version.version, version.aliases) == ("v0", ("best",))
    assert (version.source_name, version.source_index, version.is_linked) == ("other", 5, True)


# --- trees and bytes ---------------------------------------------------------------------------


def test_a_manifest_is_asked_for_once_and_kept_for_ever(
    server: RecordedServer, store: Repository
) -> None:
    version = store.resolve("vision/photos")
    entries = list(tree_entries(store.directory, version.tree))
    assert [(each.path, each.digest, each.ref) for each in entries] == [
        (path, md5_text(data), None) for path, data in server.files.items()
    ]
    assert entries[0].birth_artifact_id == gid(0)
    assert len(tree_digests(store.directory, version.tree).digest) == 32
    directory = store.find(version.tree, "d")
    assert isinstance(directory, DirectoryEntry)
    with open_store(server.address) as again:
        assert again.find(again.resolve("vision/photos").tree, "d/b.bin").name == "b.bin"
    assert server.operations.count("FetchArtifactManifest") == 1


def test_a_manifest_whose_cache_was_lost_in_part_is_fetched_again(
    server: RecordedServer, store: Repository, tmp_path: Path
) -> None:
    version = store.resolve("vision/photos")
    directory = store.find(version.tree, "d")
    assert isinstance(directory, DirectoryEntry)
    store.cache.drop(directory.sha256, 0)
    with open_store(server.address) as again:
        tree = again.resolve("vision/photos").tree
        assert again.find(tree, "d/b.bin").name == "b.bin"
    assert server.operations.count("FetchArtifactManifest") == 2


def test_bytes_come_through_the_redirect_and_the_key_stays_with_the_server(
    server: RecordedServer, store: Repository
) -> None:
    assert read(store, "a.txt") == b"hello"
    [asked] = [each for each in server.server.asked if each.path.startswith("/artifactsV2/")]
    birth = gid(0).replace("=", "%3D")
    digest = asked.path.rpartition("/")[2]
    assert asked.path == f"/artifactsV2/default/{ENTITY}/{birth}/{digest}"
    token = b64encode(f"api:{KEY}".encode()).decode()
    assert asked.headers["authorization"] == f"Basic {token}"
    assert [each.headers["range"] for each in server.bucket.asked[1:]] == ["bytes=0-4"]
    assert not any("authorization" in each.headers for each in server.bucket.asked)


def test_the_same_content_in_another_version_is_not_fetched_again(
    server: RecordedServer, store: Repository
) -> None:
    assert read(store, "a.txt", version="v0") == read(store, "a.txt", version="v1")
    assert server.signed == 1


def test_a_signed_address_is_used_until_it_expires_and_then_renewed(
    server: RecordedServer, store: Repository
) -> None:
    data = bytes(range(256)) * (3 * BLOCK_SIZE_BYTES // 256)
    server.files["large"] = data
    content = content_of(store, "large")
    content.load_block(0)
    content.load_block(1)
    assert server.signed == 1
    server.signature += 1
    assert bytes(content.load_block(2)) == data[2 * BLOCK_SIZE_BYTES :]
    assert server.signed == 2


def test_a_server_that_sends_content_itself_is_asked_once_for_each_and_may_do_otherwise_later(
    server: RecordedServer, store: Repository
) -> None:
    names = [f"f{number}" for number in range(4)]
    server.files.update((name, f"content of {name}".encode()) for name in names)
    by_md5 = {md5_text(data): data for data in server.files.values()}
    usual, busy = server.server.script, iter([False, False, True])

    def itself(asked: Asked) -> bytes:
        if not asked.path.startswith("/artifactsV2/"):
            return usual(asked)
        assert asked.headers["authorization"].startswith("Basic ")
        assert asked.headers["accept-encoding"] == "identity"
        if next(busy, False):
            return answer(503, retry_after="0", content_length="0")
        digest = bytes.fromhex(asked.path.rpartition("/")[2])
        return server.serve(by_md5[b64encode(digest).decode()], asked)

    def asked_for() -> int:
        return sum(each.path.startswith("/artifactsV2/") for each in server.server.asked)

    server.server.script = itself
    for count, name in enumerate(names[:3], 1):
        assert read(store, name) == server.files[name]
        assert asked_for() == count + (count == 3)
    server.server.script = usual
    assert read(store, names[3]) == server.files[names[3]]
    assert server.signed


def test_the_address_of_a_manifest_that_has_expired_is_asked_for_again(
    server: RecordedServer, store: Repository
) -> None:
    def late(asked: Asked) -> bytes:
        server.bucket.script = server._from_bucket
        server.signature += 1
        return as_json({}, 403)

    server.bucket.script = late
    assert store.find(store.resolve("vision/photos").tree, "a.txt").name == "a.txt"
    assert server.operations.count("FetchArtifactManifest") == 2


@pytest.mark.parametrize("headers", [{"retry_after": "0"}, {"ratelimit_reset": "0"}, {}])
def test_a_server_that_is_asked_too_often_is_asked_again(
    server: RecordedServer, store: Repository, headers: dict[str, str]
) -> None:
    busy = iter([as_json({}, 429, **headers), as_json({}, 503)])
    server.answers["ArtifactMembershipByName"] = lambda _: next(busy, None)
    assert store.resolve("vision/photos").version == "v1"


def test_a_server_that_asks_for_too_long_a_pause_is_given_up_at_once(
    server: RecordedServer, store: Repository
) -> None:
    server.answers["ArtifactMembershipByName"] = as_json({}, 429, ratelimit_reset="3600")
    with pytest.raises(BackendUnavailable, match="status 429"):
        store.resolve("vision/photos")
    assert server.operations.count("ArtifactMembershipByName") == 1


def test_content_that_does_not_have_its_md5_is_never_shown(
    server: RecordedServer, store: Repository
) -> None:
    content = content_of(store, "a.txt")
    server.serve = lambda data, asked: RecordedServer.serve(b"HELLO", asked)  # type: ignore[method-assign]
    with pytest.raises(IntegrityError):
        content.load_block(0)
    server.serve = RecordedServer.serve  # type: ignore[method-assign]
    assert bytes(content.load_block(0)) == b"hello"


@pytest.mark.parametrize("wrong", [b"hell", b"hello!"])
def test_content_of_another_size_than_its_manifest_says_is_an_error(
    server: RecordedServer, store: Repository, wrong: bytes
) -> None:
    content = content_of(store, "a.txt")
    server.serve = lambda data, asked: RecordedServer.serve(wrong, asked)  # type: ignore[method-assign]
    with pytest.raises(BackendUnavailable, match="by its manifest"):
        content.load_block(0)


def test_answers_and_manifests_that_are_compressed_are_read(server: RecordedServer) -> None:
    script = server.server.script

    def compressed(asked: Asked) -> bytes:
        head, _, body = script(asked).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return head + b"\r\n\r\n" + body
        packed = gzip.compress(body)
        return answer(200, packed, content_encoding="gzip", content_length=str(len(packed)))

    server.server.script = compressed
    with open_store(server.address) as store:
        assert read(store, "a.txt") == b"hello"


def test_a_part_of_coded_content_is_never_taken_for_content(
    server: RecordedServer, store: Repository
) -> None:
    packed = gzip.compress(b"hello")

    def serve(data: bytes, asked: Asked, coding: str = "gzip") -> bytes:
        length = str(len(packed))
        if "range" not in asked.headers:
            return answer(200, packed, content_encoding=coding, content_length=length)
        said = f"bytes 0-{len(packed) - 1}/{len(packed)}"
        more = {"content_range": said, "content_length": length}
        return answer(206, packed, content_encoding=coding, **more)

    content = content_of(store, "a.txt")
    server.serve = lambda data, asked: serve(data, asked, "br")  # type: ignore[method-assign]
    with pytest.raises(BackendUnavailable, match="Content-Encoding: br"):
        content.load_block(0)
    server.serve = serve  # type: ignore[method-assign]
    assert bytes(content.load_block(0)) == b"hello"


def test_what_the_server_lost_or_refuses_is_said_as_that(
    server: RecordedServer, store: Repository
) -> None:
    lost = content_of(store, "a.txt")
    refused = content_of(store, "d/b.bin")
    server.files.pop("a.txt")
    with pytest.raises(ReferenceChanged, match="gone"):
        lost.load_block(0)
    script = server.server.script
    server.server.script = lambda asked: as_json({}, 403)
    with pytest.raises(PermissionDenied, match="another key") as caught:
        refused.load_block(0)
    assert KEY not in str(caught.value)
    server.server.script = script
    assert bytes(refused.load_block(0)) == b"world!"


def test_references_in_a_manifest_keep_their_pins_and_extras(
    server: RecordedServer, store: Repository
) -> None:
    md5 = md5_text(b"x")
    other = bytes("Artifact:0", "ascii").hex()
    server.entries = {
        "s3": {
            "digest": "abc",
            "ref": "s3://bucket/key",
            "size": 3,
            "extra": {"etag": "abc", "versionID": "7"},
        },
        "gs": {"digest": md5, "ref": "gs://b/k", "size": 3, "extra": {"versionID": "12"}},
        "web": {"digest": "e", "ref": "https://h/x", "size": 3, "extra": {"etag": '"e"'}},
        "link": {"digest": md5_text(b"hello"), "ref": f"wandb-artifact://{other}/a.txt", "size": 0},
        "strange": {"digest": "u", "ref": "odd://x"},
        # Not to be taken for a file of this version.
        "evil": {
            "digest": md5,
            "ref": "wandb://evil.example/a/b/c:v0/x",
            "size": 1,
            "extra": {"birthArtifactID": "x"},
        },
    }
    tree = store.resolve("vision/photos").tree
    found = {name: store.find(tree, name) for name in server.entries}
    pins = {name: entry.pin for name, entry in found.items() if isinstance(entry, ReferenceEntry)}
    assert pins["s3"] == Pin(etag='"abc"', version_id="7")
    assert (pins["gs"].generation, pins["web"], pins["strange"]) == (12, Pin(etag='"e"'), Pin())
    exported = {each.path: each for each in tree_entries(store.directory, tree)}
    assert exported["s3"].extra == server.entries["s3"]["extra"]
    assert exported["evil"].ref == server.entries["evil"]["ref"]
    assert read(store, "link") == b"hello"


# --- wrong answers -----------------------------------------------------------------------------

VERSION: dict[str, Any] = artifact(1, aliases=("latest",))


def member(**changes: Any) -> dict[str, Any]:
    found = {"versionIndex": 1, "aliases": [], "artifact": {**VERSION, **changes}}
    return {"project": {"artifactCollectionMembership": found}}


def without(name: str) -> dict[str, Any]:
    value = member()
    del value["project"]["artifactCollectionMembership"]["artifact"][name]
    return value


WRONG: dict[str, Any] = {
    "no JSON": as_json(b"<html>"),
    "nothing": as_json(b""),
    "a list": as_json(b"[]"),
    "no data": as_json({}),
    "null": as_json({"data": None}),
    "text for an object": as_json({"data": {"project": "x"}}),
    "not UTF-8": as_json(b'{"data": "\xff"}'),
    "nested for ever": as_json(b'{"data": ' + b"[" * 100_000),
    "cut off": answer(200, b'{"data": ', content_length="900", connection="close"),
    "an error": as_json({"errors": [{"message": "boom\nTraceback\x1b[31m"}]}),
    "errors of another shape": as_json({"errors": "x"}),
    "a page of another site": as_json(b"<html>", 404),
    "a teapot": as_json(b"", 418),
    "a redirect": redirect("https://evil.example/graphql"),
    "no status": b"\r\n\r\n",
    "an id that is none": member(id="%%%"),
    "an empty id": member(id=""),
    "a name with a slash": member(artifactSequence={"name": "a/b", "project": {"name": "p"}}),
    "a name that leads up": member(artifactSequence={"name": "..", "project": {"name": "p"}}),
    "a project with NUL": member(artifactSequence={"name": "a", "project": {"name": "p\0"}}),
    "a negative size": member(size=-1),
    "a size beyond all": member(size=2**70),
    "a size that is none": member(size="many"),
    "no version number": member(versionIndex=None) | {},
    "a number below zero": member(versionIndex=-3),
    "a type with a slash": member(artifactType={"name": "a/b"}),
    "no digest": without("digest"),
    "no id": without("id"),
    "no state": without("state"),
    "no sequence": without("artifactSequence"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_answer_is_one_clear_line(
    server: RecordedServer, store: Repository, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["ArtifactMembershipByName"] = WRONG[what]
    with pytest.raises(ArtfsError) as caught:
        store.resolve("vision/photos:latest")
    assert isinstance(caught.value, BackendUnavailable)
    assert str(caught.value).isprintable()
    assert KEY not in str(caught.value)


MANIFESTS: dict[str, Any] = {
    "no JSON": b"<html>",
    "no contents": {"version": 1},
    "another version": {"version": 2, "contents": {}},
    "another policy": {"version": 1, "storagePolicy": "x", "contents": {}},
    "contents in a list": {"version": 1, "contents": []},
    **{
        repr(path): {"version": 1, "contents": {path: {"digest": "x", "size": 1}}}
        for path in ("", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "nul\0", "n" * 256)
    },
    "a file and a directory of one name": {
        "version": 1,
        "contents": {"a": {"digest": "x"}, "a/b": {"digest": "x"}},
    },
    "a lone surrogate": b'{"version": 1, "contents": {"\\ud800": {"digest": "x"}}}',
    "a negative size": {"version": 1, "contents": {"a": {"digest": "x", "size": -1}}},
    "an endless size": {"version": 1, "contents": {"a": {"digest": "x", "size": 2**63}}},
    "no digest": {"version": 1, "contents": {"a": {"size": 1}}},
    "a digest that is none": {"version": 1, "contents": {"a": {"digest": 7}}},
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_wrong_manifest_is_one_clear_line(
    server: RecordedServer, store: Repository, what: str
) -> None:
    server.manifest = MANIFESTS[what]
    with pytest.raises(InvalidManifest) as caught:
        store.directory(store.resolve("vision/photos").tree)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "entry",
    [
        {"digest": "no md5", "size": 1},
        {"digest": md5_text(b"x"), "size": 1, "birthArtifactID": ".."},
    ],
)
def test_a_file_without_a_place_on_the_server_is_listed_and_an_error(
    server: RecordedServer, store: Repository, entry: dict[str, Any]
) -> None:
    server.entries = {"odd": entry}
    with pytest.raises(InvalidManifest):
        read(store, "odd")
    assert read(store, "a.txt") == b"hello"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://[", "ftp://h/x", "http://169.254.169.254/x", ""]
)
def test_the_address_of_a_manifest_may_not_lead_anywhere(
    server: RecordedServer, store: Repository, url: str
) -> None:
    manifest = {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}
    server.answers["FetchArtifactManifest"] = manifest
    with pytest.raises(ArtfsError) as caught:
        store.directory(store.resolve("vision/photos").tree)
    assert str(caught.value).isprintable()


def test_pages_without_end_have_an_end(server: RecordedServer, store: Repository) -> None:
    server.answers["Projects"] = {"models": page([{"name": "p"}], cursor="again")}
    with pytest.raises(BackendUnavailable, match="without end"):
        store.catalog.projects()


def test_another_version_than_was_asked_for_is_no_answer(
    server: RecordedServer, store: Repository
) -> None:
    server.answers["ArtifactMembershipByName"] = member()
    with pytest.raises(BackendUnavailable):
        store.resolve("vision/photos:v0")


def test_a_deleted_version_is_gone_and_not_empty(server: RecordedServer, store: Repository) -> None:
    tree = store.resolve("vision/photos").tree
    server.answers["FetchArtifactManifest"] = {"artifact": None}
    with pytest.raises(ReferenceChanged):
        store.directory(tree)


# --- opening, and what is refused --------------------------------------------------------------


def test_a_store_that_cannot_be_opened_is_said(
    server: RecordedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["Entity"] = {"entity": None}
    with pytest.raises(StoreNotFound):
        open_store(server.address)
    server.answers["Entity"] = as_json({}, 401)
    with pytest.raises(PermissionDenied, match="WANDB_API_KEY") as caught:
        open_store(server.address)
    assert KEY not in str(caught.value)
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(PermissionDenied, match="no key was found"):
        open_store(server.address)
    assert "authorization" not in server.server.asked[-1].headers


WRITES: dict[str, Callable[[Repository], object]] = {
    "ingest": lambda store: store.ingest().add_bytes(b"x"),
    "delete": lambda store: store.catalog.delete_version("00", delete_aliases=True),
    "link": lambda store: store.catalog.link("00", "p", "n", []),
    "run": lambda store: store.catalog.create_run("p", name=None, job_type=None, config={}),
    "use": lambda store: store.catalog.record_use("r", "00", use_as=None),
    "keys": lambda store: store.catalog.serving,
    "blobs": lambda store: store.objects.delete(None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRITES)
def test_whatever_writes_is_refused(store: Repository, what: str) -> None:
    with pytest.raises(ReadOnly, match="only read"):
        WRITES[what](store)


def test_a_reference_to_a_server_is_read_from_another_store(
    server: RecordedServer, store: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.server.url)
    with open_store(str(tmp_path / "own"), create=True) as own:
        uri = f"{server.address}/{PROJECT}/photos:prod"
        found = dict(own.references.describe(uri))
        assert sorted(found) == ["a.txt", "d/b.bin"]
        entry = found["d/b.bin"]
        assert entry.uri == f"{server.address}/{PROJECT}/photos:v0/d/b.bin"
        assert (entry.extra, entry.pin.proof) == ({}, "content")
        [(path, one)] = own.references.describe(f"{uri}/a.txt", name="x/y")
        assert (path, one.digest) == ("x/y", md5_text(b"hello"))
        assert bytes(own.content(entry).load_block(0)) == b"world!"


def test_a_version_of_strangers_cannot_have_the_key_sent_elsewhere(
    server: RecordedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{server.address}/{PROJECT}/photos:v0/a.txt"
    pin = Pin(md5=b"0" * 16)
    entry = ReferenceEntry("a.txt", uri, "x", 5, pin, {"birthArtifactID": "x"})
    with open_store(str(tmp_path / "own"), create=True) as own:
        content = own.content(entry)
        with pytest.raises(PermissionDenied):
            content.load_block(0)
    assert server.server.asked
    assert not any("authorization" in each.headers for each in server.server.asked)


def test_an_answer_has_a_limit(server: RecordedServer, store: Repository) -> None:
    text = json.dumps({"data": {"models": page([{"name": "x" * 1024**2}] * 70)}}).encode()
    server.answers["Projects"] = as_json(text)
    with pytest.raises(BackendUnavailable, match="more than"):
        store.catalog.projects()
