"""`.artfsignore`: which files beside it are left out of versions. The syntax is `.gitignore`'s.

Only the file at the root counts, and it says what is left out of a version, not what is hidden.
"""

from __future__ import annotations

import logging
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence

from artfs.system.paths import is_own_path

logger = logging.getLogger(__name__)

IGNORE_FILE = ".artfsignore"
MAX_IGNORE_BYTES = 1024 * 1024

IsIgnored = Callable[[str, bool], bool]
"""Given a path below the root, and whether it is a directory."""


def own_names_ignored(path: str, _is_directory: bool) -> bool:
    """The rules where there is no ignore file: what artfs writes for a while is left out."""
    return is_own_path(path)


def ignore_rules(content: bytes) -> IsIgnored:
    """The rules of an ignore file. Lines that are no patterns match nothing, as they do for git."""
    text = content.removeprefix(BOM_UTF8).decode(errors="replace")
    # Lines end where they do for git; `splitlines` knows more ends, which may be parts of names.
    matches = matches_patterns([line.removesuffix("\r") for line in text.split("\n")])
    return lambda path, is_directory: (
        own_names_ignored(path, is_directory) or matches(path, is_directory)
    )


def matches_patterns(patterns: Sequence[str]) -> IsIgnored:
    """Whether a path is matched by patterns in the syntax of `.gitignore`."""
    # Most commands have none, and regular expressions take long to import.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    try:
        spec = GitIgnoreSpec.from_lines(patterns)
    except (re.error, ValueError):
        spec = GitIgnoreSpec.from_lines(filter(_is_pattern, patterns))
    return lambda path, is_directory: spec.match_file(f"{path}/" if is_directory else path)


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - see above

    try:
        GitIgnoreSpec.from_lines([line])
    except (re.error, ValueError):
        logger.warning("%s: %r is no pattern: it matches nothing", IGNORE_FILE, line)
        return False
    return True
