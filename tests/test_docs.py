"""The documentation says what the code does: exit codes, links, and commands with their output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import artfs.errors
from artfs.cli.app import BROKEN_PIPE_EXIT_CODE, COMMANDS, USAGE_EXIT_CODE
from artfs.cli.main import INTERRUPTED_EXIT_CODE
from artfs.daemon.options import parse_options
from artfs.errors import ArtfsError

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
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_pages_mention_exist(page: Path) -> None:
    # What design.md plans is not there yet.
    if page.name == "design.md" or "adr" in page.parts:
        return
    for name in re.findall(r"`artfs ([a-z]+)", page.read_text("utf-8")):
        assert name in COMMANDS, f"{page.name} mentions artfs {name}"
