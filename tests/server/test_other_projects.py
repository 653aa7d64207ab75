"""What a key of one project can reach of others through what leads there: links, ids, lineage."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from tests.server.conftest import RunningServer
from tests.server.test_rights import FILES, FIND, Logger, key

LINK = """mutation L($input: LinkArtifactInput!) { linkArtifact(input: $input) { versionIndex } }"""
RUN = """mutation U($input: UpsertBucketInput!) { upsertBucket(input: $input) {
  bucket { id name project { name } } } }"""
BELOW = """{ id name
  artifactType(name: "dataset") { artifactCollections { edges { node { name } } } }
  artifactTypes { edges { node { name } } } artifactCollections { edges { node { name } } }
  artifactCollection(name: "private") { id } artifact(name: "private:v0") { digest }
  artifactCollectionMembership(name: "private:v0") { id }
  runs { edges { node { name } } } run(name: "hidden-run") { id } runCount }"""
AROUND = f"""query A($id: ID!) {{ artifact(id: $id) {{
  artifactType {{ project {BELOW} artifactCollections {{ edges {{ node {{ name }} }} }}
    artifact(name: "private:v0") {{ digest }} }}
  artifactSequence {{ name project {BELOW} }}
  aliases {{ alias artifactCollection {{ project {BELOW} }} }}
  artifactMemberships {{ edges {{ node {{ artifactCollection {{ project {BELOW} }} }} }} }}
  createdBy {{ ... on Run {{ name project {BELOW} }} }} usedBy {{ edges {{ node {{ name }} }} }}
}} }}"""
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "updateArtifact": ("UpdateArtifactInput", {"artifactID": "$id", "description": "mine"}),
    "deleteArtifact": ("DeleteArtifactInput", {"artifactID": "$id", "deleteAliases": True}),
    "addAliases": (
        "AddAliasesInput",
        {
            "artifactID": "$id",
            "aliases": [
                {
                    "artifactCollectionName": "private",
                    "alias": "mine",
                    "projectName": "secret",
                    "entityName": "tester",
                }
            ],
        },
    ),
    "linkArtifact": (
        "LinkArtifactInput",
        {"artifactID": "$id", "artifactPortfolioName": "mine", "projectName": "shown"},
    ),
    "unlinkArtifact": ("UnlinkArtifactInput", {"artifactID": "$id", "artifactPortfolioID": "$c"}),
    "deleteArtifactSequence": ("DeleteArtifactSequenceInput", {"artifactSequenceID": "$c"}),
    "deleteArtifactPortfolio": ("DeleteArtifactPortfolioInput", {"artifactPortfolioID": "$c"}),
    "useArtifact": (
        "UseArtifactInput",
        {"artifactID": "$id", "projectName": "shown", "runName": "r", "entityName": "tester"},
    ),
    "upsertBucket": ("UpsertBucketInput", {"id": "$run", "notes": "mine"}),
    "stopRun": ("StopRunInput", {"id": "$run"}),
    "createRunFiles": (
        "CreateRunFilesInput",
        {"projectName": "secret", "runName": "hidden-run", "files": ["a"]},
    ),
    "createArtifactManifest": (
        "CreateArtifactManifestInput",
        {"artifactID": "$draft", "name": "m", "digest": "", "type": "FULL"},
    ),
    "createArtifactFiles": (
        "CreateArtifactFilesInput",
        {"artifactFiles": [{"artifactID": "$draft", "name": "f", "md5": "$md5"}]},
    ),
    "commitArtifact": ("CommitArtifactInput", {"artifactID": "$draft"}),
}


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


def test_a_link_into_a_project_shows_its_version_and_nothing_around_it(
    server: RunningServer,
) -> None:
    status, answer = server.ask(RUN, input={"name": "hidden-run", "modelName": "secret"})
    assert status == 200
    run = answer["data"]["upsertBucket"]["bucket"]["id"]
    Logger(server, "secret", "private", file=b"for few").log()
    given = Logger(server, "secret", "given", file=b"for many")
    given.log()
    given.ok(LINK, artifactID=given.id, artifactPortfolioName="folio", projectName="shown")
    draft = Logger(server, "secret", "draft", file=b"not yet")
    draft.create()
    _, answer = server.ask(FIND, project="secret", name="private:v0")
    hidden = answer["data"]["project"]["artifact"]["id"]
    names = {
        "$id": hidden,
        "$run": run,
        "$draft": draft.id,
        "$md5": draft.md5s["file"],
        "$c": base64.b64encode(b"ArtifactCollection:secret:private").decode(),
    }
    md5 = hashlib.md5(b"for few").hexdigest()
    for chosen in (
        key(server, "shown-reader", "--project", "shown", "--read-only"),
        key(server, "shown-writer", "--project", "shown"),
    ):
        status, answer = server.ask(FIND, key=chosen, project="shown", name="folio:v0")
        assert answer["data"]["project"]["artifact"]["id"] == given.id
        status, answer = server.ask(AROUND, key=chosen, id=given.id)
        assert status == 200, answer
        text = json.dumps(answer)
        assert "folio" in text
        for secret in ("private", "hidden-run", hidden):
            assert secret not in text
        # Content of other versions of that project is not to be had through the one that is shown.
        path = f"/artifactsV2/default/tester/{given.id}/"
        shown = hashlib.md5(b"for many").hexdigest()
        assert server.request("GET", path + shown, key=chosen)[2] == b"for many"
        assert server.request("GET", path + md5, key=chosen)[0] == 404
        before = server.ask(FIND, project="secret", name="private:v0")[1]["data"]["project"]
        for field, (kind, values) in WRITES.items():
            query = f"mutation W($input: {kind}!) {{ {field}(input: $input) {{ __typename }} }}"
            status, answer = server.ask(query, key=chosen, input=_filled(values, names))
            assert status == 400, (field, answer)
            message = answer["errors"][0]["message"]
            assert "\n" not in message
            assert "fault of this server" not in message
        after = server.ask(FIND, project="secret", name="private:v0")[1]["data"]["project"]
        assert after["artifact"]["digest"] == before["artifact"]["digest"]
        # A run's endpoint, and what clients chose as ids, are no way around.
        stream = "/files/tester/secret/hidden-run/file_stream"
        status, _, text_ = server.request("POST", stream, b'{"complete": true}', key=chosen)
        assert status == 403, text_
        query = "query C($c: ID!) { artifactCollection(id: $c) { name } }"
        assert server.ask(query, key=chosen, c=names["$c"])[1] == {
            "data": {"artifactCollection": None}
        }
    assert draft.ok(
        FILES, artifactFiles=[{"artifactID": draft.id, "name": "f", "md5": names["$md5"]}]
    )
