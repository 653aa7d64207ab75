"""What notebooks show of artifacts, versions and tables; nothing that was stored is markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import artfs
from tests.support.workplace import run, workplace

__all__ = ["run", "workplace"]

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b]0;x\x07"
OURS = {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "pre", "p"}


class Shown(HTMLParser):
    """What a browser makes of it: the text, once no tag or attribute is anything but ours."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.text = ""
        self.feed(value._repr_html_())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in OURS
        assert {name for name, _ in attrs} <= {"style"}

    def handle_data(self, data: str) -> None:
        assert data.replace("\n", "").isprintable()
        self.text += f"{data} "


def test_an_artifact_shows_what_it_is(run: artfs.Run, workplace: Path) -> None:
    draft = artfs.Artifact("flowers", type="dataset", description=EVIL, metadata={"k": {EVIL: 1}})
    draft.add_bytes(b"12345", "x")
    words = Shown(draft).text.split()
    assert words[:9] == ["flowers", "(not", "logged", "yet)", "type", "dataset", "size", "5", "B,"]
    logged = run.log_artifact(draft, aliases=["best", "<b>"])
    shown = Shown(logged).text
    for told in ("demo/flowers:v0", "<b>, best", "5 B", "artfs://demo/flowers:v0", "<script>"):
        assert told in shown
    assert "\\u202e" in shown


def test_its_versions_are_a_table(run: artfs.Run, workplace: Path) -> None:
    for number in range(3):
        draft = artfs.Artifact("flowers", type="dataset")
        draft.add_bytes(b"x" * number, "x")
        run.log_artifact(draft, aliases=[f"<i>{number}"])
    versions = artfs.Api().artifact_versions("dataset", "demo/flowers")
    text = Shown(versions).text
    assert text.index("v2") < text.index("v1") < text.index("v0")
    assert "<i>2" in text
    assert (
        "demo/flowers (dataset)"
        in Shown(artfs.Api().artifact_collection("dataset", "flowers")).text
    )


def test_a_table_shows_its_first_rows(workplace: Path) -> None:
    table = artfs.Table(columns=[EVIL, "n"], data=[[EVIL * 9, number] for number in range(50)])
    table.add_column("html", [artfs.Html(EVIL)] * 50)
    shown = Shown(table)
    assert "50 rows, 3 columns" in shown.text
    assert shown.text.count("<script>") >= 11
    assert " 9 " in shown.text
    assert " 10 " not in shown.text
