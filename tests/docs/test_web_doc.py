"""docs/web.md: what it says of searching is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from artfs.repository.querylanguage import parse_query
from tests.cli.conftest import Cli

TEXT = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")


def test_its_words_can_be_read() -> None:
    table = TEXT.partition("## Searching")[2].partition("\n\n|")[2].partition("\n\n")[0]
    words = [each for row in table.splitlines() for each in re.findall(r"`([^`]+)`", row)]
    asked = [each for each in words if len(each) > 3 and not each.endswith(":")]
    assert len(asked) > 10
    for each in asked:
        assert parse_query(each), each


def test_its_commands_run(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("init")
    (block,) = re.findall(r"```console\n\$ artfs (.*?)\n```", TEXT, re.DOTALL)
    assert cli.ok(*shlex.split(block)).out.startswith("VERSION")
