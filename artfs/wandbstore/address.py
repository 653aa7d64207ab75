"""Addresses of W&B servers: `wandb://HOST/ENTITY`, and of files there.

`wandb` is https, but for a server on this machine, which is asked by http; `wandb+http` and
`wandb+https` say it. The address of a file is `wandb://HOST/ENTITY/PROJECT/NAME:vN/PATH`, the path
percent-encoded.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, unquote, urlsplit

import msgspec

from artfs.errors import InvalidArgument, InvalidName
from artfs.manifest.entries import SERVER_SCHEMES
from artfs.model import check_name, split_entry_path
from artfs.targets import parse_artifact_path

_STORE_HINT = "write wandb://HOST/ENTITY"
_FILE_HINT = "write wandb://HOST/ENTITY/PROJECT/NAME:VERSION[/PATH]"
_API_HOSTS = dict.fromkeys(("wandb.ai", "www.wandb.ai", "app.wandb.ai"), "api.wandb.ai")
"""Where people look is not where programs ask."""
_SAFE = "/!$'()*+,;=~"


class ServerAddress(msgspec.Struct, frozen=True):
    """Where a server is."""

    scheme: str
    host: str
    """With its port, where one was named."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def base_url(self) -> str:
        """The URL that its API is below of."""
        host = _API_HOSTS.get(self.host, self.host)
        if self.scheme == "wandb":
            return f"{'http' if _is_loopback(host) else 'https'}://{host}"
        return f"{self.scheme.partition('+')[2]}://{host}"


class FileAddress(msgspec.Struct, frozen=True):
    """What a reference to a server names: a version, or what is at a path in it."""

    server: ServerAddress
    entity: str
    project: str
    name: str
    selector: str
    path: str = ""

    def __str__(self) -> str:
        version = f"{self.server}/{self.entity}/{self.project}/{self.name}:{self.selector}"
        return f"{version}/{quote(self.path, safe=_SAFE)}" if self.path else version


def is_server_url(text: str) -> bool:
    """Whether a store, or the target of a mount, is on a W&B server."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and f"{scheme.lower()}://" in SERVER_SCHEMES


def server_schemes() -> list[str]:
    """The schemes of such addresses."""
    return [each.partition(":")[0] for each in SERVER_SCHEMES]


def parse_store(text: str) -> tuple[ServerAddress, str]:
    """The server and the entity that a store's address names. Raises: InvalidArgument."""
    server, parts = _split(text, _STORE_HINT)
    if len(parts) != 1:
        what = "names no entity" if not parts else "is more than a server and an entity"
        raise InvalidArgument(text, what, hint=_STORE_HINT)
    return server, check_name(parts[0], kind="entity")


def split_target(text: str) -> tuple[str, str | None]:
    """The store, and the target in it, of `wandb://HOST/ENTITY[/PROJECT[/NAME[:VERSION]]]`.

    The version may stand behind a slash, as mounts show it.
    Raises: InvalidArgument.
    """
    server, parts = _split(text, "write wandb://HOST/ENTITY[/PROJECT[/NAME[:VERSION]]]")
    if not 1 <= len(parts) <= 4:
        raise InvalidArgument(
            text,
            "is not a target",
            hint="write wandb://HOST/ENTITY[/PROJECT[/NAME[:VERSION]]]",
        )
    return f"{server}/{check_name(parts[0], kind='entity')}", "/".join(parts[1:]) or None


def parse_file(text: str) -> FileAddress:
    """What a reference names. Raises: InvalidArgument, InvalidName."""
    server, parts = _split(text, _FILE_HINT)
    if len(parts) < 3 or ":" not in parts[2]:
        raise InvalidArgument(text, "names no version", hint=_FILE_HINT)
    parsed = parse_artifact_path("/".join(parts[:3]))
    path = "/".join(parts[3:])
    if path:
        split_entry_path(path)
    assert parsed.entity
    assert parsed.project
    assert parsed.selector
    return FileAddress(server, parsed.entity, parsed.project, parsed.name, parsed.selector, path)


def _split(text: str, hint: str) -> tuple[ServerAddress, list[str]]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(repr(text)[:100], f"is no URL ({error})", hint=hint) from None
    host = (parts.hostname or "").lower()
    if "@" in parts.netloc:
        raise InvalidArgument(
            text,
            "an API key does not belong into an address",
            hint="set WANDB_API_KEY, or leave it in ~/.netrc",
        )
    if not host or not host.isascii() or not host.isprintable() or parts.query or parts.fragment:
        raise InvalidArgument(text, "is not the address of a W&B server", hint=hint)
    if ":" in host:
        host = f"[{host}]"
    server = ServerAddress(parts.scheme.lower(), host if port is None else f"{host}:{port}")
    path = parts.path.strip("/")
    try:
        found = [unquote(part, errors="strict") for part in path.split("/")] if path else []
    except UnicodeDecodeError:
        raise InvalidName(repr(text)[:100], "is not UTF-8") from None
    return server, found


def _is_loopback(host: str) -> bool:
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
