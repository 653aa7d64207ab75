"""Names of files: UTF-8 in every version, whatever encoding this process gives the file system.

Python decodes what the system calls a file by the locale: under ISO 8859-1 the bytes of `é.txt` are
shown as `Ã©.txt`. A version holds what the bytes spell in UTF-8, so that it is the same for all who
read it. Bytes that are no UTF-8 become lone surrogates, which no version accepts.
"""

from __future__ import annotations

import os
import re
import secrets
import sys

_OWN_PREFIX = ".artfs-download-"
_OWN_NAME = re.compile(re.escape(_OWN_PREFIX) + "[0-9a-f]{16}")

_IS_UTF8 = sys.getfilesystemencoding().replace("-", "").lower() == "utf8"


def name_of(local: str) -> str:
    """The name, or path, in UTF-8 that Python shows as `local`."""
    if _IS_UTF8:
        return local
    return os.fsencode(local).decode("utf-8", "surrogateescape")


def local_name(name: str) -> str:
    """What Python must be given for the system to see `name`, or a path, in UTF-8."""
    if _IS_UTF8:
        return name
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def new_own_name() -> str:
    """A name for what artfs has to write beside people's files for a while."""
    return _OWN_PREFIX + secrets.token_hex(8)


def is_own_path(path: str) -> bool:
    """Whether artfs writes beside people's files under the last name of a path.

    What has it is no content of theirs, also where a killed download left it: it is never taken
    in, compared with a version, or pruned.
    """
    name = path.rpartition("/")[2]
    return name.startswith(_OWN_PREFIX) and _OWN_NAME.fullmatch(name) is not None
