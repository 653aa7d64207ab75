"""What commands print: sizes, ages, tables, and names that try to steer the terminal."""

from __future__ import annotations

import time

import pytest

from artfs.cli import output


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1229, "1.2 KiB"),
        (10 * 1024 - 1, "10 KiB"),
        (34 * 1024**2, "34 MiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**3 - 1, "1.0 GiB"),
        (int(1.2 * 1024**3), "1.2 GiB"),
        (5 * 1024**4, "5.0 TiB"),
        (2**70, "1024 EiB"),
    ],
)
def test_a_size_has_two_digits_or_three_and_a_binary_unit(size_bytes: int, text: str) -> None:
    assert output.format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (86_400 * 3, "3 d")],
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert output.format_duration(seconds) == text


def test_an_age_counts_from_now() -> None:
    now_ns = time.time_ns()
    assert output.format_age(now_ns) == "just now"
    assert output.format_age(now_ns - 3 * 3_600 * 10**9 - 10**9) == "3 h ago"
    # Clocks differ: what was made in the future is new.
    assert output.format_age(now_ns + 10**12) == "just now"


def test_columns_are_aligned_and_lines_end_where_their_text_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(
        ("NAME", "SIZE", "ALIASES"),
        [("a", "1 B", ""), ("longer", "12 KiB", "best")],
        right=frozenset({"SIZE"}),
    )
    assert capsys.readouterr().out.splitlines() == [
        "NAME      SIZE  ALIASES",
        "a          1 B",
        "longer  12 KiB  best",
    ]


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("A", "B"), [])
    assert capsys.readouterr().out == "A  B\n"


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("NAME",), [("a\x1b[31mred\nb\udcff",)])
    assert capsys.readouterr().out.splitlines()[1] == r"a\x1b[31mred\nb\udcff"
    assert output.escaped("größe 图") == "größe 图"


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (1797, "1,797 files")])
def test_counted_things_are_singular_or_plural(count: int, text: str) -> None:
    assert output.plural(count, "file") == text


def test_a_time_in_json_is_iso_8601_in_utc() -> None:
    assert output.iso_time(0) == "1970-01-01T00:00:00.000+00:00"
