"""`artfs.data_types.Bokeh`: a plot of bokeh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.errors import InvalidArgument
from artfs.media.content import LocalFile, MadeFile, as_text
from artfs.media.extras import is_from, require
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media

if TYPE_CHECKING:
    from artfs.media.types.base import Type

_SUFFIX = ".bokeh.json"


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
            self._content = LocalFile(data_or_path)
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
