"""`UPath("artfs://…")` of universal-pathlib, which finds this by its entry point."""

from __future__ import annotations

from collections.abc import Sequence

from fsspec.registry import register_implementation
from upath import UPath

from artfs.filesystem.filesystem import ArtfsFileSystem
from artfs.settings import URL_SCHEME

# How paths are split is asked of classes that fsspec has loaded already.
register_implementation(URL_SCHEME, ArtfsFileSystem, clobber=True)


class ArtfsPath(UPath):
    """A path in a store."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """The address without its scheme; that of the store is empty."""
        found = super().path
        return "" if found == "." else found

    @property
    def parts(self) -> Sequence[str]:
        """Project, name and version, and what is below."""
        found = super().parts
        return found[1:] if found[:1] == ("/",) else found
