"""What `artfs serve` and `artfs web` are told alike: where to listen, and what to log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from artfs.cli.output import print_note
from artfs.errors import Unsupported

if TYPE_CHECKING:
    from artfs.server.running import ServeOptions

Command = Callable[..., None]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    listen: str
    public_url: str | None
    read_only: bool
    tls_cert: Path | None
    tls_key: Path | None
    access_log: bool

    def checked(self, command: str) -> ServeOptions:
        """What a server takes. Raises: InvalidArgument, Unsupported without the extra `server`."""
        try:
            import artfs.web.serving  # noqa: F401, PLC0415 - it takes long, and needs the most
            from artfs.server.running import made_options  # noqa: PLC0415 - as above
        except ImportError as error:
            raise Unsupported(
                command, f"needs {error.name}", hint="pip install 'artfs[server]'"
            ) from None
        return made_options(**msgspec.structs.asdict(self))


def listening_options(
    *, listen: str, found_by: str, read_only: str
) -> Callable[[Command], Command]:
    """The options, which reach the command as `asked`; their help says who comes, and for what."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def called(**values: Any) -> None:
            asked = Asked(**{name: values.pop(name) for name in Asked.__struct_fields__})
            command(asked=asked, **values)

        file = click.Path(path_type=Path)
        for option in reversed(
            (
                click.option(
                    "--listen",
                    metavar="HOST:PORT",
                    default=listen,
                    show_default=True,
                    help="Where to listen; port 0 is any that is free.",
                ),
                click.option("--public-url", metavar="URL", help=found_by),
                click.option("--read-only", is_flag=True, help=read_only),
                click.option("--tls-cert", metavar="FILE", type=file, help="For https."),
                click.option("--tls-key", metavar="FILE", type=file, help="For https."),
                click.option(
                    "--access-log", is_flag=True, help="Log each request to standard error."
                ),
            )
        ):
            called = option(called)
        return called

    return decorate


def begin_to_log(options: ServeOptions, *, readable: str) -> None:
    """Log to standard error; warn where what is `readable` on the way lets others in."""
    from artfs.system.processes import log_to_stderr  # noqa: PLC0415 - takes long to import

    if not options.is_loopback and options.tls_cert is None:
        print_note(f"artfs: without TLS {readable} can be read on the way: say --tls-cert and")
        print_note("artfs: --tls-key, or let a proxy speak https")
    log_to_stderr(logging.WARNING)
    if options.access_log:
        logging.getLogger("artfs.server.access").setLevel(logging.INFO)
