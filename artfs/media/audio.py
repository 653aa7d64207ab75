"""`artfs.Audio`: a sound."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.errors import InvalidArgument
from artfs.media.media_bytes import LocalMedia, MadeFile, UrlContent, as_text, is_url
from artfs.media.types.media import MediaFileType
from artfs.media.value import Media, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact


class Audio(Media):
    """A sound.

    Args:
        data_or_path: A path, a URL, or samples: a list or a numpy array.
        sample_rate: Samples per second; samples need it.
        caption: Text to show with it.

    Raises:
        FileNotFoundError: for a path where nothing is.
        ValueError: for samples without a rate.
        Unsupported: for samples, if soundfile is not installed.

    Example:
        >>> artifact.add(artfs.Audio("bird.wav", caption="a bird"), "bird")
    """

    artifact_suffix: ClassVar[str] = "audio-file"
    media_directory: ClassVar[str] = "media/audio"
    declared_type: ClassVar[Type] = MediaFileType("audio-file")

    _sample_rate: int | None = None
    _duration_s: float | None = None

    def __init__(
        self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None
    ) -> None:
        data_or_path = as_text(data_or_path)
        self._caption = caption
        self._sample_rate = sample_rate
        if not isinstance(data_or_path, str):
            self._content = MadeFile(_encode(data_or_path, sample_rate), ".wav")
            self._duration_s = len(data_or_path) / float(sample_rate or 1)
        elif is_url(data_or_path):
            self._content = UrlContent(data_or_path)
        else:
            self._content = LocalMedia(data_or_path)

    @classmethod
    def durations(cls, sounds: Sequence[Audio]) -> list[float | None]:
        """How long sounds are, in seconds; None for those that are files."""
        return [sound._duration_s for sound in sounds]  # noqa: SLF001 - its own class

    @classmethod
    def sample_rates(cls, sounds: Sequence[Audio]) -> list[int | None]:
        """The samples per second that sounds were given with, or None."""
        return [sound._sample_rate for sound in sounds]  # noqa: SLF001 - its own class

    @classmethod
    def captions(cls, sounds: Sequence[Audio]) -> list[str] | bool:
        """The captions of sounds, empty where there is none; False where none has one."""
        found = [sound._caption or "" for sound in sounds]  # noqa: SLF001 - its own class
        return found if any(found) else False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Audio):
            return NotImplemented
        return (self._sha256, self._caption) == (other._sha256, other._caption)

    def __hash__(self) -> int:
        return hash(self._sha256)

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding its file to the draft `artifact`."""
        return super().to_json(artifact) | {"caption": self._caption}


def _encode(samples: Any, sample_rate: int | None) -> bytes:
    if sample_rate is None:
        raise InvalidArgument("Audio", "samples need a `sample_rate`")
    buffer = io.BytesIO()
    require("soundfile", "Audio").write(buffer, samples, sample_rate, format="WAV")
    return buffer.getvalue()
