"""Digests, entries and manifests are those of the real wandb 0.15.0, bit for bit."""

from __future__ import annotations

import hashlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import artfs
from artfs.foreign.finding import read_foreign
from artfs.manifest.wandb import manifest_text, tree_entries
from artfs.repository.stores import open_store
from artfs.sdk.importing import import_tree
from artfs.sdk.publish import PutRequest
from tests.golden.fixtures import (
    CASES,
    DIVERGES,
    expected,
    names,
    placeholder,
    random_trees,
    text_sha256,
)
from tests.support.foreign import fill_md5_cache

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "golden"))
trees = import_module("trees")

TREES_PER_TEST = 50
NEEDS_MEDIA = {"references.client-artifact"}
NAMED_REFS = [name for name in DIVERGES if name.startswith("references.directory-")]


def drafted(recipe: dict[str, Any], root: Path) -> artfs.Artifact:
    trees.build(recipe, root)
    artifact = artfs.Artifact("golden", type="dataset")
    trees.add(recipe, root, artifact)
    return artifact


def has_too_long_a_name(recipe: dict[str, Any]) -> bool:
    """Whether an entry of a recipe has a name that no file system can show."""
    paths = [path for file in recipe["files"] for path in (file.get("name", ""), file["path"])]
    return any(len(part.encode()) > 255 for path in paths for part in path.split("/"))


@pytest.mark.parametrize("first", range(0, len(random_trees()), TREES_PER_TEST))
def test_random_trees_have_the_digests_and_manifests_of_wandb(first: int, tmp_path: Path) -> None:
    for recipe in random_trees()[first : first + TREES_PER_TEST]:
        if has_too_long_a_name(recipe):
            with pytest.raises(ValueError, match="longer than 255 bytes"):
                drafted(recipe, tmp_path / recipe["id"])
            continue
        artifact = drafted(recipe, tmp_path / recipe["id"])
        wanted = recipe["expected"]
        assert artifact.digest == wanted["digest"], recipe["id"]
        found = {
            path: [entry.digest, entry.size] for path, entry in artifact.manifest.entries.items()
        }
        assert found == wanted["entries"], recipe["id"]
        text = artifact.manifest.to_manifest_text()
        assert hashlib.sha256(text.encode()).hexdigest() == wanted["manifest_sha256"], recipe["id"]
        assert text == wanted.get("manifest", text)


@pytest.mark.parametrize("as_references", [False, True])
def test_manifests_of_wandb_are_imported_with_their_digests(
    tmp_path: Path, as_references: bool
) -> None:
    written = [recipe for recipe in random_trees() if "manifest" in recipe["expected"]]
    assert len(written) > 40
    with open_store(str(tmp_path / "store"), create=True) as repository:
        for recipe in written[:: 3 if as_references else 1]:
            place = tmp_path / recipe["id"]
            trees.build(recipe, place / "files")
            files = (each for each in place.rglob("*") if each.is_file())
            fill_md5_cache(place / "cache", {str(each): each.read_bytes() for each in files})
            (place / "manifest.json").write_text(recipe["expected"]["manifest"])
            tree = read_foreign(place / "manifest.json", cache=place / "cache")
            request = PutRequest(name=f"golden/{recipe['id']}")
            done = import_tree(repository, tree, request, as_references=as_references)
            version = done.outcome.version
            assert version.digest == recipe["expected"]["digest"], recipe["id"]
            if not as_references:
                text = manifest_text(tree_entries(repository.directory, version.tree))
                assert text == recipe["expected"]["manifest"]


def test_there_are_a_thousand_random_trees_but_for_a_few_that_no_mount_can_show() -> None:
    comparable = [recipe for recipe in random_trees() if not has_too_long_a_name(recipe)]
    assert len(comparable) >= 1000


@pytest.mark.parametrize(
    "name", sorted({*names("files", "value"), *names("references", "value")} - NEEDS_MEDIA)
)
def test_a_case_has_the_digest_and_manifest_of_wandb(name: str, tmp_path: Path) -> None:
    wanted = expected(CASES[name].group)[name]
    artifact = CASES[name].recipe(artfs, tmp_path)
    assert artifact.digest == wanted["digest"]
    assert artifact.size == wanted["size"]
    document = artifact.manifest.to_manifest_json()
    assert placeholder(document["contents"], tmp_path) == wanted["contents"]
    assert text_sha256(document, tmp_path) == wanted["manifest_sha256"]


@pytest.mark.parametrize("name", NAMED_REFS)
def test_references_of_a_named_directory_differ_from_wandb_in_nothing_but_the_ref(
    name: str, tmp_path: Path
) -> None:
    wanted = expected("references")[name]
    artifact = CASES[name].recipe(artfs, tmp_path)
    assert artifact.digest == wanted["digest"]
    for path, entry in artifact.manifest.entries.items():
        assert (entry.digest, entry.size) == tuple(
            wanted["contents"][path].get(key) for key in ("digest", "size")
        )
        assert entry.ref is not None
        assert Path(entry.ref.removeprefix("file://")).is_file()


@pytest.mark.parametrize("name", names("files", "fact") + names("references", "fact"))
def test_a_draft_says_what_wandb_says(name: str, tmp_path: Path) -> None:
    found = CASES[name].recipe(artfs, tmp_path)
    assert placeholder(found, tmp_path) == expected(CASES[name].group)[name]["value"]


@pytest.mark.parametrize(
    "name", ["files.verbatim-paths", "files.new-file-leading-slash", "references.web-nosum-2"]
)
def test_paths_that_no_mount_can_show_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a valid path"):
        CASES[name].recipe(artfs, tmp_path)
