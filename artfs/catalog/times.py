"""What time it is for a catalog: of one that is shared, all hosts have the time of its server."""

from __future__ import annotations

import time

from sqlalchemy import Connection, text

_SERVER_TIME = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000")


def now_ns(connection: Connection) -> int:
    """Nanoseconds since the Unix epoch, by the server's clock; by that of this host without one."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(_SERVER_TIME).scalar_one())
    return time.time_ns()
