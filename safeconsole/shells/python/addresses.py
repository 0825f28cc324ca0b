"""Whether an address leads to one of the cluster's nodes, by whatever name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

_DEFAULT_PORT = 3306
_LOOPBACK = "this computer"


def leads_to(address: object, nodes: Iterable[str]) -> bool:
    """
    Whether a socket's address is a node's, by name or by any address that the name has.

    Args:
        address: as `socket.connect` takes it: (host, port, …), or a path.
        nodes: "host:port", or a socket's path.
    """
    if isinstance(address, str | bytes):
        path = os.fsdecode(address)
        return any(path == node or os.path.realpath(path) == os.path.realpath(node) for node in nodes if "/" in node)
    if not isinstance(address, tuple) or len(address) < 2:
        return False
    host, port = str(address[0]), address[1]
    for node in nodes:
        name, wanted = _host_and_port(node)
        if wanted == port and (host == name or _numbers(host) & _numbers(name)):
            return True
    return False


def is_file_of(database: object, nodes: Iterable[str]) -> bool:
    """
    Whether what `sqlite3.connect` is given is a node's file.

    Args:
        database: a path, or a URI that begins with "file:".
        nodes: as in `leads_to`; those of the embedded engine are files.
    """
    if not isinstance(database, str | bytes | os.PathLike):
        return False
    path = os.fsdecode(database)
    if path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0].removeprefix("//")
    return any(os.path.realpath(path) == os.path.realpath(node) for node in nodes if "/" in node)


def address_text(address: object) -> str:
    """Return a socket's address as a person reads it."""
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)


def _host_and_port(node: str) -> tuple[str, int]:
    host, colon, port = node.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdecimal() else (node.strip("[]"), _DEFAULT_PORT)


def _numbers(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return {host}
    return {_number(str(each[4][0])) for each in found}


def _number(text: str) -> str:
    """Return one spelling for all the addresses of one interface that a socket reaches it by."""
    try:
        number = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    # Linux connects "any address" to this computer, and 127.0.0.2 as well as 127.0.0.1.
    return _LOOPBACK if number.is_loopback or number.is_unspecified else str(number)
