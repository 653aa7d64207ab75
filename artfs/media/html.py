"""`artfs.Html`: a page or a piece of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from artfs.errors import InvalidArgument
from artfs.media.media_bytes import LocalMedia, MadeFile, MediaBytes, as_text
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media, is_from, require

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

# Bit for bit what W&B puts in: pages get the same name and digest.
_INJECTED = (
    '<base target="_blank">'
    '<link rel="stylesheet" type="text/css" href="https://app.wandb.ai/normalize.css" />'
)

_SUFFIX = ".bokeh.json"


class Html(Media):
    """A page of HTML.

    Args:
        data: The HTML, the path of a file with it, or an open text file.
        inject: Whether to add a style sheet, and let links open outside of the page.

    Raises:
        ValueError: for data of another kind.

    Example:
        >>> artifact.add(artfs.Html("<h1>Report</h1>"), "report")
    """

    artifact_suffix: ClassVar[str] = "html-file"
    media_directory: ClassVar[str] = "media/html"
    declared_type: ClassVar[Type] = MediaFileType("html-file")

    def __init__(self, data: str | os.PathLike[str] | IO[str], inject: bool = True) -> None:
        data = as_text(data)
        is_path = isinstance(data, str) and _is_there(data)
        self._html: str | None = _text_of(data, is_path=is_path)
        content: MediaBytes | None = None
        if inject:
            self._html = _injected(self._html)
        elif is_path:
            content = LocalMedia(str(data))
        # `surrogatepass`: such text cannot be UTF-8, but it can come from JSON.
        self._content = content or MadeFile(self._html.encode("utf-8", "surrogatepass"), ".html")

    @property
    def html(self) -> str:
        """The HTML. Blocks: reads the file, where it is in an artifact."""
        if self._html is None:
            with self.open() as file:
                self._html = file.read().decode("utf-8", "surrogatepass")
        return self._html

    def _restore(self, value: dict[str, Any], artifact: Artifact) -> None:
        super()._restore(value, artifact)
        self._html = None


def _is_there(text: str) -> bool:
    try:
        return os.path.exists(text)  # noqa: PTH110 - most HTML is no valid Path
    except ValueError:  # NUL
        return False


def _text_of(data: Any, *, is_path: bool) -> str:
    if is_path:
        return Path(data).read_text("utf-8")
    if isinstance(data, str):
        return data
    if hasattr(data, "read"):
        if hasattr(data, "seek"):
            data.seek(0)
        text = data.read()
        if isinstance(text, str):
            return text
        raise TypeError("Html takes files that are open for text, not for bytes")
    raise InvalidArgument("data must be a string or an io object")


def _injected(text: str) -> str:
    if "<head>" in text:
        text = text.replace("<head>", f"<head>{_INJECTED}", 1)
    elif "<html>" in text:
        text = text.replace("<html>", f"<html><head>{_INJECTED}</head>", 1)
    else:
        text = _INJECTED + text
    return text.strip()


class Bokeh(Media):
    """A plot of bokeh.

    Args:
        data_or_path: A bokeh model, such as a figure, or the path of a `.bokeh.json` file.

    Raises:
        FileNotFoundError: for a path where nothing is.
        TypeError: for anything else.
        Unsupported: for a model, if bokeh is not installed.

    Example:
        >>> artifact.add(artfs.data_types.Bokeh("plot.bokeh.json"), "plot")
    """

    artifact_suffix: ClassVar[str] = "bokeh-file"
    media_directory: ClassVar[str] = "media/bokeh"
    declared_type: ClassVar[Type] = MediaFileType("bokeh-file")

    def __init__(self, data_or_path: Any) -> None:
        data_or_path = as_text(data_or_path)
        if isinstance(data_or_path, str):
            if not data_or_path.endswith(_SUFFIX):
                raise InvalidArgument(f"file {data_or_path!r}", f"must end in {_SUFFIX}")
            self._content = LocalMedia(data_or_path)
        elif is_from(data_or_path, "bokeh"):
            document = require("bokeh.document", "Bokeh").Document()
            document.add_root(data_or_path)
            # Its own encoder, and arrays within the text instead of beside it.
            encoder = require("bokeh.core.json_encoder", "Bokeh")
            text = encoder.serialize_json(document.to_json(deferred=False))
            self._content = MadeFile(text.encode(), _SUFFIX)
        else:
            raise TypeError("Bokeh accepts a path or a bokeh model")

    @property
    def b_obj(self) -> Any:
        """The bokeh document. Blocks: reads the file, where it is in an artifact."""
        with self.open() as file:
            return require("bokeh.document", "Bokeh").Document.from_json(json.load(file))
