"""Fixtures for all tests: servers, one per test process, started when first asked for."""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.servers.gcs import gcs
from tests.servers.nginx import nginx
from tests.servers.postgres import postgresql
from tests.servers.seaweedfs import seaweedfs
from tests.support import daemons
from tests.support.statements import share_statements

__all__ = ["gcs", "nginx", "postgresql", "seaweedfs"]

_FIRST = (
    "tests/server/",
    "tests/unit/references/test_faults.py",
    "tests/mount/test_foreign.py",
    "tests/mount/test_shared.py",
    "tests/test_demo.py",
    "tests/crash/",
    "tests/model/",
)
"""Long files, which mostly wait: begun first, they end while others are still running."""


_CASES = {
    "tests/cli/test_help_examples.py::test_an_example_of_the_help_works": (
        *("staging resume", "staging salvage"),
    ),
    "tests/contract/test_search_index.py::test_an_index_of_what_is_no_more_is_made_anew": (
        "sqlite",
    ),
    "tests/contract/test_search_index.py::test_what_is_renamed_or_deleted_is_found_as_it_is_now": (
        "sqlite",
    ),
    "tests/contract/test_search_index.py::test_without_a_sound_index_everything_is_looked"
    "_through": ("postgresql-\\xff", "sqlite-]"),
    "tests/users/test_stores_of_several_users.py::test_a_store_of_a_group_keeps_group_and_mode"
    "_whoever_writes": ("18",),
    "tests/cli/test_failing_disk.py::test_what_a_disk_cannot_read_is_healed_by_putting_it_again": (
        "store/[bp]",
    ),
    "tests/cli/test_locales.py::test_the_sdk_keeps_names_in_utf8_in_any_locale": (
        *("latin-1", "no utf-8"),
    ),
    "tests/cli/test_outcomes.py::test_a_forced_umount_says_that_the_work_was_kept_without_a"
    "_version": ("True",),
    "tests/cli/test_places.py::test_a_user_without_a_place_of_their_own_needs_none": (
        *("empty", "relative"),
    ),
    "tests/cli/test_shared.py::test_a_url_that_leads_nowhere_is_one_line_without_its_password": (
        "12-mysql",
    ),
    "tests/crash/test_forks.py::test_the_workers_of_a_pool_log_what_they_say": ("spawn",),
    "tests/unit/upkeep/test_rebuild.py::test_c4_whatever_was_done_comes_back": (*("1", "2"),),
    "tests/cli/test_gc_beside_put.py::test_a_put_that_was_stopped_ends_well_or_in_a_clean"
    "_conflict": ("shared",),
    "tests/cli/test_locales.py::test_names_are_utf8_in_any_locale": ("no utf-8", "ascii output"),
    "tests/cli/test_lost_output.py::test_a_stream_that_is_closed_changes_no_exit_code_and_no"
    "_file": (*("ls-0", "nonsense", "get demo", "mount", "ls nope", "put more"),),
    "tests/cli/test_poor_file_systems.py::test_a_file_system_holds_a_store_without": (
        *("no sync of directories", "no modes", "no hard", "no links"),
    ),
    "tests/crash/test_copy_is_killed.py::test_a_second_copy_after_a_kill_ends_what_the_first"
    "_began": (*("0.4", "0.85"),),
    "tests/crash/test_put_is_killed.py::test_a_second_put_after_a_kill_gives_the_right_version": (
        *("0.0", "0.1", "0.2", "0.3", "0.4", "0.6", "0.7", "0.8"),
    ),
    "tests/mount/test_foreign.py::test_r6_seventy_readers_of_a_dead_server_do_not_stall_the_files_of"
    "_another": ("12",),
    "tests/cli/test_gc_beside_put.py::test_what_a_running_put_relies_on_stays_with_any_clock": (
        *("shared", "embedded-right", "embedded-behind"),
    ),
    "tests/cli/test_hostile_rows.py::test_a_version_that_no_artfs_wrote_is_named_can_be_deleted_and"
    "_hides_no_other": ("size is", "state is no", "tree is", "time", "count", "digest"),
    "tests/cli/test_hostile_rows.py::test_a_row_that_no_artfs_wrote_is_one_line_with_a_documented"
    "_exit_code": ("a blob's", "a run's", "a link's", "an alias is", "a pack's size"),
    "tests/contract/test_failing_disk.py::test_every_adapter_tells_a_failing_disk_in_errors_of"
    "_artfs": (
        *("access", "fsyncdir", "getattr", "link", "lookup"),
        *("mknod", "opendir", "readlink", "statfs", "symlink"),
    ),
    "tests/crash/test_forks.py::test_what_a_forked_child_is_told_is_logged_is_there": (
        *("committing", "idle", "reading-forks twice", "reading-ends", "reading-goes"),
    ),
    "tests/crash/test_forks.py::test_the_same_holds_for_a_shared_store": (
        *("forks twice", "is killed"),
    ),
    "tests/server/test_clients.py::test_an_offline_run_is_synced": ("0.15.0",),
    "tests/server/test_clients.py::test_the_command_line_of_a_client_puts_and_gets": ("0.15.0",),
}
_LONG = (
    *(f"{test}[{case}" for test, cases in _CASES.items() for case in cases),
    "tests/cli/test_full_disk.py::test_a_disk_without_inodes_is_read_and_emptied",
    "tests/cli/test_full_disk.py::test_a_full_disk_is_read_where_its_reserve_is_used_up",
    "tests/cli/test_failing_disk.py::test_no_failure_of_a_disk_is_an_internal_error",
    "tests/crash/test_put_is_killed.py::test_gc_may_be_killed_as_well",
    "tests/crash/test_rebuild_is_killed.py::test_c4_a_rebuild_that_is_killed_begins_anew[False",
    "tests/hunt/test_programs.py::test_no_program_over_a_shared_store_breaks_a_promise",
    "tests/model/test_staging_mount.py::TestLongStagingMount",
    "tests/unit/filesystem/test_datasets.py",
    "tests/mount/test_shared.py::test_a_version_is_read_and_the_next_one_is_staged",
    "tests/unit/references/test_faults.py::test_a_source_that_stays_broken_fails_in_time_and_heals",
)
"""More of what others look at: `scripts/hunt` runs them, a merge waits for all others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs the long tests alone."""
    parser.addoption("--long", action="store_true", help="run the long tests, and no others")


def pytest_report_header(config: pytest.Config) -> str:
    """Nothing is left out silently."""
    long = config.getoption("--long")
    return "the long tests alone" if long else "all but the long tests, which scripts/hunt runs"


def pytest_configure() -> None:
    """Keep what artfs remembers of stores out of the home of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="artfs-test-state-")
    daemons.start_here()
    share_statements()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose between long and other tests; the long files first, the rest stays in its order."""
    wanted = [item for item in items if item.nodeid.startswith(_LONG) == config.getoption("--long")]
    # A test that is asked for by its name is run.
    if wanted:
        kept = set(wanted)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = wanted
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
