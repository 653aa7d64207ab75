"""The part of the contract of catalogs about changing and deleting what is there."""

from __future__ import annotations

import pytest

from artfs.catalog.base import Catalog
from artfs.catalog.records import ArtifactChange, VersionUpdate
from artfs.errors import (
    AliasNotFound,
    ArtifactNotFound,
    Conflict,
    VersionExists,
    VersionNotFound,
)
from artfs.model import VersionState
from artfs.testing.catalog_samples import commit, put


class ChangesContract:
    """Updates, deletion and portfolios."""

    # --- updates ---------------------------------------------------------------------------

    def test_an_update_changes_what_it_names(self, catalog: Catalog) -> None:
        version = put(catalog, 1, description="old", metadata={"a": 1}, tags=("x",), ttl_s=1)
        changed = catalog.update_version(version.id, VersionUpdate(description="new"))
        assert changed.description == "new"
        assert (changed.metadata, changed.tags, changed.ttl_s) == ({"a": 1}, ("x",), 1)
        changed = catalog.update_version(
            version.id, VersionUpdate(description=None, metadata={}, tags=("z", "y"), ttl_s=None)
        )
        assert (changed.description, changed.metadata, changed.ttl_s) == (None, {}, None)
        assert changed.tags == ("y", "z")
        assert catalog.update_version(version.id, VersionUpdate()) == changed
        assert catalog.version_by_id(version.id) == changed

    def test_c2_an_added_alias_moves(self, catalog: Catalog) -> None:
        first = put(catalog, 1, aliases=("best",))
        second = put(catalog, 2)
        changed = catalog.update_version(second.id, VersionUpdate(add_aliases=("best", "new")))
        assert changed.aliases == ("best", "latest", "new")
        assert catalog.version_by_id(first.id).aliases == ()

    def test_an_artifact_is_renamed_with_all_that_it_has(self, catalog: Catalog) -> None:
        first = put(catalog, 1, aliases=("best",))
        catalog.link(first.id, "team", "shelf", ["here"])
        artifact = catalog.artifact("team", "data")
        changed = catalog.change_artifact(artifact.id, ArtifactChange(name="corpus"))
        assert (changed.id, changed.path, changed.version_count) == (artifact.id, "team/corpus", 1)
        assert catalog.version("team", "corpus", "best").id == first.id
        with pytest.raises(ArtifactNotFound):
            catalog.artifact("team", "data")
        linked = catalog.version("team", "shelf", "here")
        assert (linked.source_name, linked.path) == ("corpus", "team/shelf:v0")
        assert put(catalog, 2, name="corpus").index == 1
        assert put(catalog, 2).path == "team/data:v0"

    def test_a_name_that_another_artifact_has_is_not_taken(self, catalog: Catalog) -> None:
        put(catalog, 1)
        gone = put(catalog, 1, name="gone")
        put(catalog, 1, name="other")
        catalog.delete_artifact(catalog.artifact("team", gone.name).id)
        artifact = catalog.artifact("team", "data")
        with pytest.raises(VersionExists, match="team/other"):
            catalog.change_artifact(artifact.id, ArtifactChange(name="other", description="x"))
        assert catalog.artifact("team", "data") == artifact
        catalog.change_artifact(artifact.id, ArtifactChange(name="gone"))
        assert [each.name for each in catalog.artifacts()] == ["gone", "other"]

    def test_an_artifact_gets_another_type_with_all_its_versions(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        catalog.link(version.id, "team", "shelf", [])
        catalog.change_artifact(catalog.artifact("team", "data").id, ArtifactChange(type="model"))
        assert catalog.version_by_id(version.id).type == "model"
        assert [each.name for each in catalog.artifacts(type_name="model")] == ["data"]
        with pytest.raises(Conflict, match="portfolio"):
            catalog.change_artifact(
                catalog.artifact("team", "shelf").id, ArtifactChange(type="model")
            )

    def test_what_is_said_of_an_artifact_is_in_copies_of_the_catalog(
        self, catalog: Catalog
    ) -> None:
        put(catalog, 1, tags=("of the version",))
        artifact = catalog.artifact("team", "data")
        assert (artifact.description, artifact.tags) == (None, ())
        change = ArtifactChange(description="Grüße", add_tags=("b", "a", "c"))
        said = catalog.change_artifact(artifact.id, change)
        assert (said.description, said.tags) == ("Grüße", ("a", "b", "c"))
        (row,) = catalog.copy_names()["artifacts"]
        assert (row["description"], row["tags"]) == ("Grüße", '["a","b","c"]')
        change = ArtifactChange(add_tags=("d",), remove_tags=("a", "b", "c", "absent"))
        assert catalog.change_artifact(artifact.id, change).tags == ("d",)
        change = ArtifactChange(description=None, remove_tags=("d",))
        assert catalog.change_artifact(artifact.id, change) == artifact
        with pytest.raises(ArtifactNotFound):
            catalog.change_artifact(2**31 - 1, ArtifactChange(description="x"))

    def test_a_removed_alias_is_gone(self, catalog: Catalog) -> None:
        version = put(catalog, 1, aliases=("a", "b"))
        changed = catalog.update_version(version.id, VersionUpdate(remove_aliases=("a",)))
        assert changed.aliases == ("b", "latest")
        with pytest.raises(AliasNotFound):
            catalog.version("team", "data", "a")

    def test_an_alias_of_another_version_is_not_removed(self, catalog: Catalog) -> None:
        first = put(catalog, 1, aliases=("best",))
        second = put(catalog, 2)
        with pytest.raises(AliasNotFound, match="best"):
            catalog.update_version(
                second.id, VersionUpdate(description="x", remove_aliases=("best",))
            )
        assert catalog.version("team", "data", "best").id == first.id
        assert catalog.version_by_id(second.id).description is None

    def test_latest_can_be_moved_but_not_lost(self, catalog: Catalog) -> None:
        first = put(catalog, 1)
        second = put(catalog, 2)
        catalog.update_version(first.id, VersionUpdate(add_aliases=("latest",)))
        assert catalog.version("team", "data", "latest").id == first.id
        catalog.update_version(first.id, VersionUpdate(remove_aliases=("latest",)))
        assert catalog.version("team", "data", "latest").id == second.id
        catalog.update_version(second.id, VersionUpdate(remove_aliases=("latest",)))
        assert catalog.version("team", "data", "latest").id == second.id

    def test_what_is_not_there_cannot_be_updated(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        catalog.delete_version(version.id, delete_aliases=False)
        for version_id in (version.id, "0" * 32):
            with pytest.raises(VersionNotFound):
                catalog.update_version(version_id, VersionUpdate(description="x"))

    # --- deletion --------------------------------------------------------------------------

    def test_the_number_of_a_deleted_version_is_never_used_again(self, catalog: Catalog) -> None:
        put(catalog, 1)
        second = put(catalog, 2)
        catalog.delete_version(second.id, delete_aliases=False)
        with pytest.raises(VersionNotFound, match="deleted"):
            catalog.version("team", "data", "v1")
        assert put(catalog, 2).index == 2
        assert catalog.version_by_id(second.id).state is VersionState.DELETED
        assert catalog.version_by_id(second.id).path == "team/data:v1"
        assert catalog.artifact("team", "data").version_count == 2
        assert {version.index for version, _ in catalog.live_trees()} == {0, 2}

    def test_latest_falls_back_to_the_newest_version_left(self, catalog: Catalog) -> None:
        versions = [put(catalog, number) for number in range(3)]
        catalog.delete_version(versions[1].id, delete_aliases=False)
        assert catalog.version("team", "data", "latest").id == versions[2].id
        catalog.delete_version(versions[2].id, delete_aliases=False)
        assert catalog.version("team", "data", "latest").id == versions[0].id
        catalog.delete_version(versions[0].id, delete_aliases=False)
        assert catalog.artifact("team", "data").latest is None
        assert catalog.artifact("team", "data").version_count == 0
        for selector in ("latest", "v0"):
            with pytest.raises((AliasNotFound, VersionNotFound)):
                catalog.version("team", "data", selector)
        assert put(catalog, 9).index == 3

    def test_aliases_protect_a_version_unless_told_otherwise(self, catalog: Catalog) -> None:
        version = put(catalog, 1, aliases=("best",))
        with pytest.raises(Conflict, match="'best'"):
            catalog.delete_version(version.id, delete_aliases=False)
        assert catalog.version("team", "data", "best").id == version.id
        catalog.delete_version(version.id, delete_aliases=True)
        assert put(catalog, 2).aliases == ("latest",)

    def test_what_is_not_there_cannot_be_deleted(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        catalog.delete_version(version.id, delete_aliases=False)
        for version_id in (version.id, "0" * 32):
            with pytest.raises(VersionNotFound):
                catalog.delete_version(version_id, delete_aliases=True)

    def test_a_deleted_artifact_frees_its_name(self, catalog: Catalog) -> None:
        run = catalog.create_run("team", name=None, job_type=None, config={})
        old = put(catalog, 1, aliases=("best",))
        catalog.record_use(run.id, old.id, use_as=None)
        linked = catalog.link(old.id, "team", "registry", ["prod"])
        artifact = catalog.artifact("team", "data")
        catalog.delete_artifact(artifact.id)
        with pytest.raises(ArtifactNotFound):
            catalog.artifact("team", "data")
        with pytest.raises(ArtifactNotFound):
            catalog.delete_artifact(artifact.id)
        assert [each.path for each in catalog.artifacts()] == ["team/registry"]
        assert catalog.artifact("team", "registry").latest is None
        assert linked.version == "v0"
        assert catalog.projects()[0].artifact_count == 1
        new = put(catalog, 2, type="model")
        assert (new.index, new.aliases) == (0, ("latest",))
        assert catalog.inputs_of(run.id)[0].id == old.id
        assert catalog.version_by_id(old.id).state is VersionState.DELETED

    # --- portfolios ------------------------------------------------------------------------

    def test_a_portfolio_shows_versions_of_others_under_its_own_numbers(
        self, catalog: Catalog
    ) -> None:
        put(catalog, 0)
        one = put(catalog, 1, tags=("t",))
        other = put(catalog, 1, project="lab", name="more")
        first = catalog.link(one.id, "team", "registry", ["prod"])
        second = catalog.link(other.id, "team", "registry", [])
        assert (first.path, first.aliases) == ("team/registry:v0", ("latest", "prod"))
        assert (first.source_project, first.source_name, first.source_index) == ("team", "data", 1)
        assert (first.id, first.tags, first.type) == (one.id, ("t",), "dataset")
        assert (second.path, second.aliases) == ("team/registry:v1", ("latest",))
        assert second.source_project == "lab"
        record = catalog.artifact("team", "registry")
        assert record.is_portfolio
        assert record.version_count == 2
        assert record.latest == second
        assert [version.id for version in catalog.versions(record.id)] == [other.id, one.id]
        assert catalog.version("team", "registry", "prod").id == one.id
        assert catalog.version("team", "registry", one.digest).id == other.id
        assert catalog.version_by_id(one.id).path == "team/data:v1"
        assert catalog.version_by_id(one.id).aliases == ("latest",)
        assert len(list(catalog.live_trees())) == 3

    def test_a_version_that_is_linked_keeps_its_number(self, catalog: Catalog) -> None:
        one, two = put(catalog, 1), put(catalog, 2)
        catalog.link(one.id, "team", "registry", [])
        catalog.link(two.id, "team", "registry", ["prod"])
        again = catalog.link(one.id, "team", "registry", ["prod"])
        assert (again.index, again.aliases) == (0, ("prod",))
        assert catalog.version("team", "registry", "latest").id == two.id

    def test_a_name_is_an_artifact_or_a_portfolio(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        with pytest.raises(VersionExists, match="team/data"):
            catalog.link(version.id, "team", "data", [])
        catalog.link(version.id, "team", "registry", [])
        with pytest.raises(VersionExists, match="portfolio"):
            commit(catalog, 2, name="registry")

    def test_what_is_deleted_cannot_be_linked(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        catalog.delete_version(version.id, delete_aliases=False)
        for version_id in (version.id, "0" * 32):
            with pytest.raises(VersionNotFound):
                catalog.link(version_id, "team", "registry", [])
        assert [each.path for each in catalog.artifacts()] == ["team/data"]

    def test_a_deleted_version_leaves_its_portfolios(self, catalog: Catalog) -> None:
        one, two = put(catalog, 1), put(catalog, 2)
        catalog.link(one.id, "team", "registry", [])
        catalog.link(two.id, "team", "registry", ["prod"])
        with pytest.raises(Conflict, match="'prod'"):
            catalog.delete_version(two.id, delete_aliases=False)
        catalog.delete_version(two.id, delete_aliases=True)
        assert catalog.version("team", "registry", "latest").id == one.id
        assert catalog.artifact("team", "registry").version_count == 1

    def test_a_version_is_taken_out_of_a_portfolio(self, catalog: Catalog) -> None:
        one, two = put(catalog, 1), put(catalog, 2)
        catalog.link(one.id, "team", "registry", [])
        catalog.link(two.id, "team", "registry", ["prod"])
        catalog.unlink(two.id, "team", "registry")
        assert catalog.version("team", "registry", "latest").id == one.id
        assert catalog.version_by_id(two.id).state is VersionState.COMMITTED
        with pytest.raises(VersionNotFound):
            catalog.unlink(two.id, "team", "registry")
        for portfolio in ("data", "nobody"):
            with pytest.raises(ArtifactNotFound):
                catalog.unlink(two.id, "team", portfolio)
        assert catalog.link(two.id, "team", "registry", []).index == 2

    def test_the_aliases_of_a_portfolio_are_its_own(self, catalog: Catalog) -> None:
        one, two = put(catalog, 1, aliases=("prod",)), put(catalog, 2)
        catalog.link(one.id, "team", "registry", ["prod", "old"])
        catalog.link(two.id, "team", "registry", [])
        changed = catalog.update_version(
            two.id, VersionUpdate(add_aliases=("prod",)), portfolio=("team", "registry")
        )
        assert (changed.path, changed.aliases) == ("team/registry:v1", ("latest", "prod"))
        assert catalog.version("team", "data", "prod").id == one.id
        catalog.update_version(
            one.id, VersionUpdate(remove_aliases=("old",)), portfolio=("team", "registry")
        )
        assert catalog.version("team", "registry", "v0").aliases == ()
        with pytest.raises(ArtifactNotFound):
            catalog.update_version(one.id, VersionUpdate(), portfolio=("team", "nobody"))

    def test_a_deleted_portfolio_leaves_its_versions(self, catalog: Catalog) -> None:
        version = put(catalog, 1)
        catalog.link(version.id, "team", "registry", ["prod"])
        catalog.delete_artifact(catalog.artifact("team", "registry").id)
        assert catalog.version("team", "data", "v0").state is VersionState.COMMITTED
        with pytest.raises(ArtifactNotFound):
            catalog.artifact("team", "registry")
        catalog.delete_version(version.id, delete_aliases=False)
