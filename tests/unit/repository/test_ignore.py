"""`.artfsignore` means what `.gitignore` means, whatever is in it."""

from __future__ import annotations

import pytest

from artfs.repository.ignore import ignore_rules


@pytest.mark.parametrize("wrong", [b"[z-a]", b"x[b-a]/", b"!", b"[", b"\\", b"***[!z-a]"])
def test_a_line_that_is_no_pattern_matches_nothing_and_the_others_count(wrong: bytes) -> None:
    is_ignored = ignore_rules(b"*.log\n" + wrong + b"\n*.tmp\n")
    assert is_ignored("a.log", False)
    assert is_ignored("a.tmp", False)
    assert not is_ignored("a.txt", False)


def test_a_line_that_is_no_pattern_is_named(caplog: pytest.LogCaptureFixture) -> None:
    ignore_rules(b"*.log\n[z-a]\n")
    assert "'[z-a]' is no pattern" in caplog.text
    assert "*.log" not in caplog.text


def test_a_byte_order_mark_and_the_ends_of_lines_of_other_systems_are_no_part_of_patterns() -> None:
    is_ignored = ignore_rules(b"\xef\xbb\xbf*.log\r\n*.tmp\r\n")
    assert is_ignored("a.log", False)
    assert is_ignored("a.tmp", False)


@pytest.mark.parametrize("separator", ["\u2028", "\x0b", "\x0c", "\x85", "\x1c"])
def test_what_ends_no_line_for_git_is_a_part_of_a_pattern(separator: str) -> None:
    is_ignored = ignore_rules(f"a{separator}b\n".encode())
    assert is_ignored(f"a{separator}b", False)
    assert not is_ignored("b", False)
