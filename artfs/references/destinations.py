"""Where requests may go: not to addresses that only this machine can ask, and its keys with them.

Link-local addresses belong to whoever set this machine up: at some of them clouds hand out the
credentials of the machine to anybody who asks. A version chooses what it refers to, and a server
where it redirects to, so both are kept from there. What counts is the address that a connection
has, not one that was looked up before; names and addresses that are known are refused even
before, also where a proxy would make the connection.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import requests
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from artfs.errors import PermissionDenied
from artfs.settings import LINK_LOCAL_VARIABLE, allows_link_local
from artfs.system.heads import HeadInTime

if TYPE_CHECKING:
    from ipaddress import IPv4Address

_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "metadata.azure.internal",
    }
)
# Beside link-local ones: where AWS, Google, Alibaba, Oracle and Azure tell machines about them.
_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def check_host(host: str) -> None:
    """Raises: PermissionDenied for a name or address that is known to be none to be asked.

    No name is looked up; but an address is known in each of its notations.
    """
    name = host.strip("[]").rstrip(".").lower()
    try:
        found = socket.getaddrinfo(name, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        found = []
    is_refused = name in _NAMES or any(_is_refused(str(each[4][0])) for each in found)
    if is_refused and not allows_link_local():
        raise _refusal(host)


class DirectAdapter(requests.adapters.HTTPAdapter):
    """Checks the address of each connection that is not made by a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See HTTPAdapter."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class _Connection(HTTPConnection):
    response_class = HeadInTime

    def connect(self) -> None:
        super().connect()
        _check_peer(self)


class _SecureConnection(HTTPSConnection):
    response_class = HeadInTime

    def connect(self) -> None:
        super().connect()
        _check_peer(self)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _check_peer(connection: HTTPConnection) -> None:
    """Before anything is sent."""
    address = str(connection.sock.getpeername()[0])
    if _is_refused(address) and not allows_link_local():
        connection.close()
        raise _refusal(f"{connection.host} ({address})")


def _is_refused(text: str) -> bool:
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ip_address(int(address) & 0xFFFFFFFF)  # type: ignore[assignment]
        address = inner or address
    return any(address in network for network in _NETWORKS)


def _refusal(host: str) -> PermissionDenied:
    return PermissionDenied(
        host,
        "a link-local address, or one that hands out credentials of this machine: not asked",
        hint=f"{LINK_LOCAL_VARIABLE}=on allows it",
    )
