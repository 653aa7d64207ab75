"""The documentation says what the code does: exit codes, links, and commands with their output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import artfs.errors
from artfs.cli.app import BROKEN_PIPE_EXIT_CODE, COMMANDS, OTHER_NAMES, USAGE_EXIT_CODE
from artfs.cli.main import INTERRUPTED_EXIT_CODE
from artfs.errors import ArtfsError
from artfs.mounts.options import parse_options
from tests.servers.postgres import PostgreSQL
from tests.servers.seaweedfs import SeaweedFS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def section(text: str, heading: str) -> str:
    """The part of a page below a heading, up to the next one."""
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_exit_codes_of_all_errors_are_documented() -> None:
    text = section((ROOT / "docs" / "operations.md").read_text("utf-8"), "Exit codes")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    errors = [
        value
        for value in vars(artfs.errors).values()
        if isinstance(value, type) and issubclass(value, ArtfsError)
    ]
    assert documented == {error.exit_code for error in errors} | {
        0,
        USAGE_EXIT_CODE,
        INTERRUPTED_EXIT_CODE,
        BROKEN_PIPE_EXIT_CODE,
    }


def test_the_documented_mount_options_exist() -> None:
    text = section((ROOT / "docs" / "operations.md").read_text("utf-8"), "Mounting")
    lines = [line for line in text.splitlines() if line.startswith("| `") and "-o" not in line]
    names = [name for line in lines for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    assert len(names) >= 9
    for name in names:
        value = name.replace("=S", "=1").replace("=N", "=1").replace("=M", "=22")
        parse_options([value])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_holds_the_marks_of_a_conflict(page: Path) -> None:
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", page.read_text("utf-8"), re.MULTILINE)


def test_decisions_are_numbered_once() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        assert page.read_text("utf-8").startswith(f"# {page.name[:4]} — ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_pages_mention_exist(page: Path) -> None:
    for name in re.findall(r"`artfs ([a-z]+)", page.read_text("utf-8")):
        assert name in COMMANDS.keys() | OTHER_NAMES.keys(), f"{page.name} mentions artfs {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_mount_options_that_pages_mention_exist(page: Path) -> None:
    for name in re.findall(r"-o ([a-z_]+(?:=[a-z]+)?)", page.read_text("utf-8")):
        seconds = name in {"alias_ttl", "timeout", "idle"}
        parse_options([f"{name}=1" if seconds else name])


def test_modules_that_pages_mention_exist() -> None:
    table = section((ROOT / "docs" / "design.md").read_text("utf-8"), "Layers")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    assert len(rows) > 10
    named = [f"artfs/{package}/{name}" for package, text in rows for name in modules(text)]
    for page in PAGES:
        named += re.findall(r"`((?:artfs|tests)/[a-z0-9_/]+\.py)`", page.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def modules(text: str) -> list[str]:
    """Every `module.py` of a text."""
    return re.findall(r"`(\w+\.py)`", text)


def test_the_readme_names_every_command() -> None:
    text = section((ROOT / "README.md").read_text("utf-8"), "Tour")
    named = re.findall(r"`([a-z]+)`", text.partition("Every command has")[2])
    assert named == list(COMMANDS)


def console(page: str, heading: str) -> list[tuple[str, str]]:
    """The commands of a section, each with the output that it shows."""
    text = section((ROOT / page).read_text("utf-8"), heading)
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = step.splitlines(keepends=True)
            more = [line for line in lines[1:] if line.startswith("> ")]
            command = lines[0] + "".join(line.removeprefix("> ") for line in more)
            steps.append((command, "".join(lines[1 + len(more) :])))
    return steps


def loosely(text: str) -> list[str]:
    """The lines of an output without what differs from run to run: ages, names, places, columns."""
    text = re.sub(r"just now|\d+ (s|min) ago", "AGE", text)
    text = re.sub(r"\b[a-z]+-[a-z]+-\d+\b", "RUN", text)
    text = re.sub(r"on /\S*/mnt", "on MNT", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def environment_in(directory: Path) -> dict[str, str]:
    """An environment with `artfs` and `python` of this source tree, and a home of its own."""
    environment = os.environ | {
        "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory / "home"),
        "LC_ALL": "C.UTF-8",
    }
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        environment.pop(f"XDG_{name}_HOME", None)
    for name in ("ARTFS_STORE", "ARTFS_PROJECT", "ARTFS_ENTITY", "ARTFS_RUN_ID", "ARTFS_DEBUG"):
        environment.pop(name, None)
    (directory / "bin").mkdir()
    for name, arguments in (("artfs", "-m artfs "), ("python", "")):
        script = directory / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        script.chmod(0o755)
    (directory / "home").mkdir()
    return environment


def work_as_shown(steps: list[tuple[str, str]], directory: Path) -> None:
    """Run the commands of a page in a new home, and compare what they print."""
    environment = environment_in(directory)
    try:
        for command, shown in steps:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=directory / "home",
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            # That a store is made is said beside the output, in the words of this home.
            said = [line for line in done.stderr.splitlines() if "was made here" not in line]
            assert (done.returncode, said) == (0, []), command
            assert loosely(done.stdout) == loosely(shown), command
    finally:
        subprocess.run(
            ["fusermount3", "-uzq", directory / "home" / "mnt"], capture_output=True, check=False
        )


def test_the_tour_of_the_readme_works_as_shown(tmp_path: Path) -> None:
    steps = console("README.md", "Tour")
    assert len(steps) >= 15
    work_as_shown(steps, tmp_path)


def test_a_lost_catalog_is_rebuilt_as_shown(tmp_path: Path) -> None:
    steps = console("docs/operations.md", "A lost catalog")
    assert len(steps) >= 6
    work_as_shown(steps, tmp_path)


def test_shared_stores_work_as_shown(
    tmp_path: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS
) -> None:
    real = {
        "postgresql://artfs@db.example/artfs": postgresql.new_schema(),
        "s3://team-bucket/artfs": f"s3://{seaweedfs.bucket}/{seaweedfs.new_prefix()}"
        f"?endpoint={seaweedfs.endpoint_url}",
    }

    def meant(text: str) -> str:
        for shown, url in real.items():
            text = text.replace(shown, url)
        return text

    def quoted(command: str) -> str:
        # What a shell would take apart.
        return re.sub(r"(?<=--store )\S+|(?<=--blobs )\S+", lambda url: f"'{url[0]}'", command)

    steps = console("docs/operations.md", "Shared stores")
    assert len(steps) >= 10
    work_as_shown([(meant(quoted(command)), meant(shown)) for command, shown in steps], tmp_path)
