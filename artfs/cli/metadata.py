"""The value of `--metadata`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from artfs.errors import InvalidArgument
from artfs.model import Metadata


def read_metadata(text: str | None) -> Metadata:
    """The object that JSON, `@FILE` or `@-` says; empty for None. Raises: InvalidArgument."""
    if text is None:
        return {}
    if text.startswith("@"):
        try:
            path = text[1:]
            text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise InvalidArgument(f"--metadata {text}", reason) from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("--metadata", f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InvalidArgument("--metadata", "is not a JSON object", hint='write {"key": value}')
    return value
