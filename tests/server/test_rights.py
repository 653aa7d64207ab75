"""What keys and links allow, what they do not, and what hostile requests are answered."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from artfs.catalog.serving_records import ServingState
from artfs.errors import PermissionDenied
from artfs.model import Digest
from artfs.server.auth import Gate, TooManyWrongKeys, Unauthorized, new_key
from artfs.server.tokens import ContentDownload, RunFileUpload, Tokens
from tests.cli.conftest import Cli
from tests.server.conftest import RunningServer, ServerAt
from tests.support.stores import new_store

BYTES = b"some bytes"
MD5 = base64.b64encode(hashlib.md5(BYTES).digest()).decode()
CREATE = """mutation C($input: CreateArtifactInput!) {
  createArtifact(input: $input) { artifact { id state } } }"""
MANIFEST = """mutation M($input: CreateArtifactManifestInput!) {
  createArtifactManifest(input: $input) { artifactManifest { id file { uploadUrl } } } }"""
FILES = """mutation F($input: CreateArtifactFilesInput!) {
  createArtifactFiles(input: $input) { files { edges { node { uploadUrl artifact { id } } } } } }"""
COMMIT = """mutation D($input: CommitArtifactInput!) {
  commitArtifact(input: $input) { artifact { id digest versionIndex } } }"""
FIND = """query Q($project: String!, $name: String!) { project(name: $project) {
  artifact(name: $name) { id digest files { edges { node { name directUrl } } }
    currentManifest { file { directUrl } } } } }"""


class Logger:
    """Logs one file step by step, as a client does."""

    def __init__(self, server: ServerAt, project: str, name: str, **contents: bytes) -> None:
        self.server, self.project, self.name = server, project, name
        md5s = {path: hashlib.md5(data).digest() for path, data in contents.items()}
        self.contents = contents
        self.md5s = {path: base64.b64encode(md5).decode() for path, md5 in md5s.items()}
        lines = "".join(f"{path}:{md5}\n" for path, md5 in sorted(self.md5s.items()))
        head = "wandb-artifact-manifest-v1\n"
        self.digest = hashlib.md5((head + lines).encode()).hexdigest()
        self.id = ""

    def ok(self, query: str, **values: Any) -> dict[str, Any]:
        status, answer = self.server.ask(query, input=values)
        assert status == 200, answer
        found: dict[str, Any] = answer["data"]
        return found

    def create(self) -> str:
        found = self.ok(
            CREATE,
            artifactTypeName="dataset",
            artifactCollectionName=self.name,
            projectName=self.project,
            digest=self.digest,
        )["createArtifact"]["artifact"]
        self.id = found["id"]
        state: str = found["state"]
        return state

    def urls(self) -> list[str | None]:
        specs = [
            {"artifactID": self.id, "name": path, "md5": md5} for path, md5 in self.md5s.items()
        ]
        edges = self.ok(FILES, artifactFiles=specs)["createArtifactFiles"]["files"]["edges"]
        return [edge["node"]["uploadUrl"] for edge in edges]

    def send(self) -> None:
        for url, data in zip(self.urls(), self.contents.values(), strict=True):
            if url is not None:
                assert self.server.request("PUT", url, data, key="")[0] == 200

    def manifest(self, kind: str = "FULL", **references: str) -> None:
        entries: dict[str, dict[str, Any]] = {
            path: {"digest": md5, "size": len(self.contents[path])}
            for path, md5 in self.md5s.items()
        }
        for path, uri in references.items():
            entries[path]["ref"] = uri
        policy = {"storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {}}
        text = json.dumps({"version": 1, **policy, "contents": entries}).encode()
        digest = base64.b64encode(hashlib.md5(text).digest()).decode()
        url = self.ok(
            MANIFEST, artifactID=self.id, name="m", digest=digest, type=kind, runName="r"
        )["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]
        assert self.server.request("PUT", url, text, key="")[0] == 200

    def commit(self) -> tuple[int, dict[str, Any]]:
        return self.server.ask(COMMIT, input={"artifactID": self.id})

    def log(self) -> None:
        if self.create() == "PENDING":
            self.send()
            self.manifest()
            status, answer = self.commit()
            assert status == 200, answer


def key(server: RunningServer, name: str, *options: str) -> str:
    return server.cli.ok("keys", "add", name, *options).out.strip()


def test_a_key_of_one_project_sees_nothing_of_others_and_a_reading_one_changes_nothing(
    server: RunningServer,
) -> None:
    Logger(server, "open", "data", file=BYTES).log()
    Logger(server, "secret", "data", file=b"hidden").log()
    _, answer = server.ask(FIND, project="secret", name="data:latest")
    hidden = answer["data"]["project"]["artifact"]["id"]
    narrow = key(server, "narrow", "--project", "open")
    reader = key(server, "reader", "--project", "open", "--read-only")
    for chosen in (narrow, reader):
        status, answer = server.ask(FIND, key=chosen, project="open", name="data:latest")
        assert (status, answer["data"]["project"]["artifact"] is not None) == (200, True)
        status, answer = server.ask(FIND, key=chosen, project="secret", name="data:latest")
        assert (status, answer["data"]["project"]) == (200, None)
        status, answer = server.ask("{ models { edges { node { name } } } }", key=chosen)
        assert [each["node"]["name"] for each in answer["data"]["models"]["edges"]] == ["open"]
        query = "query Q($id: ID!) { artifact(id: $id) { digest } }"
        status, answer = server.ask(query, key=chosen, id=hidden)
        assert status == 400
        assert "Q: artifact: there is none" in answer["errors"][0]["message"]
        md5 = hashlib.md5(b"hidden").hexdigest()
        path = f"/artifactsV2/default/tester/{hidden}/{md5}"
        assert server.request("GET", path, key=chosen)[0] == 404
        delete = (
            "mutation D($input: DeleteArtifactInput!) {"
            " deleteArtifact(input: $input) { artifact { id } } }"
        )
        assert server.ask(delete, key=chosen, input={"artifactID": hidden})[0] == 400
    wanted = {"artifactTypeName": "t", "artifactCollectionName": "x", "digest": "0" * 32}
    for chosen, project in ((narrow, "secret"), (reader, "open")):
        status, answer = server.ask(CREATE, key=chosen, input={**wanted, "projectName": project})
        assert status == 400, answer
    # Content of another project must be sent: naming its md5 does not give it away.
    thief = Logger(server, "open", "theft", file=b"hidden")
    thief.create()
    assert thief.urls() != [None]


def test_a_collection_is_changed_by_whoever_may_write_to_its_project(
    server: RunningServer,
) -> None:
    for project in ("mine", "theirs"):
        Logger(server, project, "data", file=BYTES).log()
    find = """query Q($project: String!) { project(name: $project) {
      artifactCollection(name: "data") { id } } }"""
    ids = {
        project: server.ask(find, project=project)[1]["data"]["project"]["artifactCollection"]["id"]
        for project in ("mine", "theirs")
    }
    # The number of a row of the other project, in what is said to be of this one.
    number = base64.b64decode(ids["theirs"]).rpartition(b":")[2]
    forged = base64.b64encode(b"ArtifactCollection:mine:absent:" + number).decode()
    update = """mutation U($input: UpdateArtifactSequenceInput!) {
      updateArtifactSequence(input: $input) { artifactCollection { name } } }"""
    move = """mutation M($input: MoveArtifactSequenceInput!) {
      moveArtifactSequence(input: $input) { artifactCollection { name } } }"""
    tag = """mutation T($input: CreateArtifactCollectionTagAssignmentsInput!) {
      createArtifactCollectionTagAssignments(input: $input) { tags { name } } }"""
    narrow = key(server, "writes-mine", "--project", "mine")
    reader = key(server, "reads-mine", "--project", "mine", "--read-only")
    named = {"entityName": "tester", "artifactCollectionName": "data"}
    refused = ((narrow, "theirs", ids["theirs"]), (reader, "mine", ids["mine"]))
    for chosen, project, gid in (*refused, (narrow, "theirs", forged)):
        for query, wanted in (
            (update, {"artifactSequenceID": gid, "name": "stolen"}),
            (move, {"artifactSequenceID": gid, "destinationArtifactTypeName": "stolen"}),
            (tag, {**named, "projectName": project, "tags": [{"tagName": "stolen"}]}),
        ):
            status, answer = server.ask(query, key=chosen, input=wanted)
            assert status == 400, answer
    said = {"artifactSequenceID": ids["mine"], "name": "called"}
    assert server.ask(update, key=narrow, input=said)[0] == 200
    # An id names the same artifact whatever it is called.
    assert server.ask(update, key=narrow, input={**said, "name": "again"})[0] == 200
    status, answer = server.ask(update, key=narrow, input={**said, "name": "../x"})
    assert "not a valid artifact name" in answer["errors"][0]["message"]
    for text in (b"mine:data:x", b"mine:data:-1", b"mine:data:" + b"9" * 40, b"mine"):
        gid = base64.b64encode(b"ArtifactCollection:" + text).decode()
        assert server.ask(update, input={"artifactSequenceID": gid, "name": "x"})[0] == 400


def test_wrong_revoked_and_expired_keys_are_refused_and_guessing_is_slowed(tmp_path: Path) -> None:
    repository = new_store(tmp_path / "store")
    state: ServingState = repository.catalog.serving
    clock = 0
    host_s = 0.0
    gate = Gate(state, read_only=False, now_ns=lambda: clock, clock=lambda: host_s)
    text, made = new_key("ada", expires_at_ns=100)
    state.add_key(made)
    enter: Callable[[str], object] = lambda key: gate.enter(f"Bearer {key}", "host")  # noqa: E731
    enter(text)
    for wrong in (text[:-1] + ("a" if text[-1] != "a" else "b"), text[:8], "x" * 40, ""):
        with pytest.raises(Unauthorized):
            enter(wrong)
    clock = 100
    with pytest.raises(Unauthorized, match="expired"):
        enter(text)
    clock = 0
    gate.entered_lately(f"Bearer {text}", "host")
    state.revoke_key("ada")
    with pytest.raises(Unauthorized, match="revoked"):
        enter(text)
    gate.entered_lately(f"Bearer {text}", "host")
    with pytest.raises(Unauthorized):
        gate.entered_lately(f"Bearer {text[:-1]}", "host")
    host_s = 1.0
    with pytest.raises(Unauthorized, match="revoked"):
        gate.entered_lately(f"Bearer {text}", "host")
    other, made = new_key("bob")
    state.add_key(made)
    for _ in range(100):
        with pytest.raises((Unauthorized, TooManyWrongKeys)) as caught:
            enter("y" * 40)
    assert caught.type is TooManyWrongKeys
    enter(other)
    repository.close()


def test_a_link_counts_until_its_time_for_one_thing_and_as_it_was_signed(tmp_path: Path) -> None:
    repository = new_store(tmp_path / "store")
    now = 0.0
    tokens = Tokens(repository.catalog.serving, lambda: now)
    right = ContentDownload(Digest(bytes(32)), 5, None)
    token = tokens.sign(right, life_s=10)
    assert tokens.read(token, ContentDownload) == right
    # Another server of the same store takes it, too.
    assert Tokens(repository.catalog.serving, lambda: now).read(token, ContentDownload) == right
    with pytest.raises(PermissionDenied):
        tokens.read(token, RunFileUpload)
    middle = len(token) // 2
    flipped = token[:middle] + ("B" if token[middle] == "A" else "A") + token[middle + 1 :]
    for changed in (flipped, token[:-2], token[:20], "", "é", "x" * 5000):
        with pytest.raises(PermissionDenied):
            tokens.read(changed, ContentDownload)
    now = 10.0
    with pytest.raises(PermissionDenied, match="expired"):
        tokens.read(token, ContentDownload)
    repository.close()


def test_an_upload_must_be_what_was_announced(server: RunningServer) -> None:
    logger = Logger(server, "uploads", "data", file=BYTES)
    logger.create()
    (url,) = logger.urls()
    assert url is not None
    status, _, text = server.request("PUT", url, b"other bytes", key="")
    assert (status, b"md5" in text) == (400, True)
    logger.manifest()
    status, answer = logger.commit()
    assert status == 400
    assert "was never sent" in answer["errors"][0]["message"]
    _, answer = server.ask(FIND, project="uploads", name="data:latest")
    assert answer["data"]["project"]["artifact"] is None
    logger.send()
    assert logger.commit()[1]["data"]["commitArtifact"]["artifact"]["versionIndex"] == 0
    # An answer that was lost is asked for again.
    assert logger.commit()[1]["data"]["commitArtifact"]["artifact"]["versionIndex"] == 0
    assert Logger(server, "uploads", "data", file=BYTES).create() == "COMMITTED"


def test_what_a_draft_was_sent_outlives_gc_and_a_server_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    cli = Cli(tmp_path / "s")
    first = RunningServer(cli)
    logger = Logger(first, "p", "data", small=b"small", large=bytes(range(256)) * 8192)
    logger.create()
    logger.send()
    first.process.kill()
    first.process.communicate()
    cli.ok("gc", "--grace", "0s")
    second = RunningServer(cli)
    second.key = first.key
    logger.server = second
    logger.manifest()
    assert logger.commit()[0] == 200
    assert second.stop() == 0
    cli.ok("verify", "p/data:v0")


def test_ranges_of_content_are_answered(server: RunningServer) -> None:
    data = bytes(range(256)) * 20_000
    Logger(server, "ranges", "data", file=data).log()
    _, answer = server.ask(FIND, project="ranges", name="data:v0")
    url = answer["data"]["project"]["artifact"]["files"]["edges"][0]["node"]["directUrl"]
    assert server.request("GET", url, key="")[2] == data
    for text, wanted in {
        "bytes=5-9": data[5:10],
        "bytes=4194300-4194310": data[4194300:4194311],
        "bytes=5119990-": data[5119990:],
        "bytes=-3": data[-3:],
    }.items():
        status, headers, body = server.request("GET", url, key="", headers={"Range": text})
        assert (status, body) == (206, wanted)
        assert headers["content-length"] == str(len(wanted))
        # No browser takes it for a page of this server.
        assert headers["content-type"] == "application/octet-stream"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "sandbox"
    past = {"Range": "bytes=9999999-"}
    assert server.request("GET", url, key="", headers=past)[0] == 416


HOSTILE = {
    "no JSON": b"{",
    "no query": b"{}",
    "an unknown operation": json.dumps({"query": "query Nope { launchRockets { id } }"}).encode(),
    "a deep one": json.dumps({"query": "{" + 'entity{project(name:"a"){' * 3000}).encode(),
    "a long one": json.dumps({"query": "{ viewer { id } }" + " " * 200_000}).encode(),
    "many aliases": json.dumps(
        {"query": "{" + " ".join(f"a{n}: viewer{{id}}" for n in range(50_000)) + "}"}
    ).encode(),
    "10 MiB": json.dumps({"query": "{ viewer { id } #" + "x" * 10_000_000 + "\n}"}).encode(),
    "a list": b"[1]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_gets_one_line_that_says_why(server: RunningServer, name: str) -> None:
    status, _, text = server.request("POST", "/graphql", HOSTILE[name])
    message = json.loads(text)["errors"][0]["message"]
    assert status == 400, message
    assert "\n" not in message
    assert "Traceback" not in message
    assert "fault of this server" not in message
    if name == "an unknown operation":
        assert "operation Nope: Cannot query field 'launchRockets'" in message


@pytest.mark.parametrize("path", ["/graphql", "/artifactsV2/a/b", "/files/a/b/c/file_stream"])
def test_nothing_is_answered_without_a_key(server: RunningServer, path: str) -> None:
    method = "GET" if "V2" in path else "POST"
    for wrong in ("", "z" * 40):
        assert server.request(method, path, b"{}", key=wrong)[0] == 401
    for path_ in ("/uploads/x", "/contents/x/y", "/manifests/x/y", "/../../etc/passwd"):
        assert server.request("GET", path_, key="")[0] in {403, 404, 405}


def test_nobody_else_is_let_near_a_server_without_a_key(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.fails(8, "serve", "--listen", "0.0.0.0:0", says="artfs keys add")
    cli.ok("keys", "add", "ada")
    cli.fails(4, "keys", "add", "ada", says="there is one already")
    cli.fails(3, "keys", "revoke", "nobody", says="none of this name")
    cli.fails(10, "keys", "add", "b", "--expires", "soon", says="--expires")
    assert [each["name"] for each in cli.ok("keys", "ls", "--json").json] == ["ada"]
    cli.ok("keys", "revoke", "ada")
    assert cli.ok("keys", "ls", "--json").json == []


def test_an_artifact_may_refer_to_one_that_is_logged_beside_it(server: RunningServer) -> None:
    first, same, view = (
        Logger(server, "beside", "data", file=BYTES),
        Logger(server, "beside", "data", file=BYTES),
        Logger(server, "beside", "view", link=BYTES),
    )
    for each in (first, same, view):
        assert each.create() == "PENDING"
    for each in (first, same):
        each.send()
        each.manifest()
    named = base64.b64decode(same.id).hex()
    view.manifest(link=f"wandb-artifact://{named}/file")
    # Clients come back later, for minutes.
    status, answer = view.commit()
    assert status == 503
    assert "still being logged" in answer["errors"][0]["message"]
    assert [each.commit()[0] for each in (first, same, view)] == [200, 200, 200]
    # Both became one version, whose id is that of the first.
    kept = server.cli.ok("manifest", "beside/view:latest").json["contents"]["link"]["ref"]
    assert kept == f"wandb-artifact://{base64.b64decode(first.id).hex()}/file"
    got = server.cli.directory / "beside"
    server.cli.ok("get", "beside/view:latest", "--root", got)
    assert (got / "link").read_bytes() == BYTES


def test_a_client_may_ask_for_an_artifact_that_it_is_about_to_make(server: RunningServer) -> None:
    query = """query Q($own: ID!, $other: ID!) {
      own: clientIDMapping(clientID: $own) { serverID }
      other: clientIDMapping(clientID: $other) { serverID } }"""
    made = {
        "artifactTypeName": "dataset",
        "artifactCollectionName": "soon",
        "projectName": "beside",
        "digest": "0" * 32,
        "clientID": "made-soon",
    }
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(server.ask, query, own="made-soon", other="never-made")
        _, answer = server.ask(CREATE, input=made)
        found = asked.result()[1]["data"]
    gid = answer["data"]["createArtifact"]["artifact"]["id"]
    assert found == {"own": {"serverID": gid}, "other": None}


def test_an_artifact_does_not_refer_to_itself_and_values_of_wrong_types_are_named(
    server: RunningServer,
) -> None:
    own = Logger(server, "beside", "own", link=BYTES)
    own.create()
    own.manifest(link=f"wandb-artifact://{base64.b64decode(own.id).hex()}/link")
    status, answer = own.commit()
    assert status == 400
    assert "not there" in answer["errors"][0]["message"]
    status, answer = server.ask(CREATE, input={"aliases": "x", "digest": 1})
    assert status == 400
    assert "String cannot represent" in answer["errors"][0]["message"]
