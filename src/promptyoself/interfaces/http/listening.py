"""Where the doors are: checked, and the socket opened, before anything else begins."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from promptyoself.domain.errors import ConfigError
from promptyoself.interfaces.failures import is_loopback
from promptyoself.interfaces.http.reach import Reach

HOST_DEFAULT: Final = "127.0.0.1"
PORT_DEFAULT: Final = 8289
PORT_MAX: Final = 65535
_BACKLOG: Final = 512
"""Connections that the system holds for us until they are accepted."""


class Listening(NamedTuple):
    """An open socket, and how it is reached."""

    socket: socket.socket
    host: str
    """As it was asked for: a name or an address."""
    port: int
    tls: tuple[Path, Path | None] | None
    """The files of certificate and key, checked; None: plain HTTP."""
    reach: Reach
    """By which names it may be called."""

    @property
    def url(self) -> str:
        """How a person or a program on this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  said, not bound
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{shown}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what speaks TLS with that certificate; None: plain HTTP."""
        if self.tls is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.tls, password=_no_password)
        return context


def listen(
    *,
    host: str = HOST_DEFAULT,
    port: int = PORT_DEFAULT,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    may_be_plain: bool = False,
    allowed_hosts: tuple[str, ...] = (),
) -> Listening:
    """Open the socket. Port 0 takes any free port. `may_be_plain`: beyond this machine, HTTP without TLS will do.

    Raises ConfigError for a certificate that cannot be used, an address beyond this machine without TLS, a port in use.
    """
    tls = _tls(tls_cert, tls_key)
    if not 0 <= port <= PORT_MAX:
        raise ConfigError(f"--port {port} is no port", hint=f"it is a number from 1 to {PORT_MAX}, or 0 for a free one")
    family, address = _address(host, port)
    if tls is None and not may_be_plain and not is_loopback(address):
        raise ConfigError(
            f"--host {host} can be reached from other machines, and without TLS everybody on the way reads tokens and "
            "prompts",
            hint="give --tls-cert and --tls-key, leave --host out to stay on this machine, or say --allow-plain-http "
            "when something in front of it speaks TLS",
        )
    opened = _open(family, address, host, port)
    reach = Reach(host, tuple(name.lower() for name in allowed_hosts))
    return Listening(opened, host, opened.getsockname()[1], tls, reach)


def _address(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise ConfigError(f"--host {host!r} is no address of this machine", hint="such as 127.0.0.1 or ::1") from exc
    # Where a name has several addresses, as localhost has: the older family, which every client can reach.
    family, _, _, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, str(place[0])


def _open(family: socket.AddressFamily, address: str, host: str, port: int) -> socket.socket:
    # Said to be TCP's, or asyncio sets no TCP_NODELAY: headers and body go out apart, and the body would wait 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # a port that was just left may be taken again; one in use may not
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.listen(_BACKLOG)
    except OSError as exc:
        opened.close()
        raise _refused(exc, host, port) from exc
    opened.settimeout(0)
    return opened


def _refused(exc: OSError, host: str, port: int) -> ConfigError:
    match exc.errno:
        case errno.EADDRINUSE:
            return ConfigError(
                f"port {port} of {host} is in use: another promptyoself serve, or another program, listens there",
                hint="end it, or choose another port with --port; two may share one database",
            )
        case errno.EACCES | errno.EPERM:
            return ConfigError(
                f"port {port} of {host} may not be used by this user", hint="choose a --port above 1023, such as 8289"
            )
        case errno.EADDRNOTAVAIL:
            return ConfigError(f"{host} is no address of this machine", hint="such as 127.0.0.1, or 0.0.0.0 for all")
        case _:
            return ConfigError(f"cannot listen at {host} port {port}: {exc.strerror}", hint="choose another --port")


def _tls(cert: str | None, key: str | None) -> tuple[Path, Path | None] | None:
    if cert is None:
        if key is not None:
            raise ConfigError("--tls-key is given without --tls-cert", hint="give the certificate's file as well")
        return None
    files = Path(cert), Path(key) if key is not None else None
    for option, file in zip(("--tls-cert", "--tls-key"), files, strict=True):
        if file is not None:
            _check_readable(option, file)
    try:
        # An encrypted key would have OpenSSL ask at the terminal, where a service has none.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files[0], files[1], password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as exc:
        reason = getattr(exc, "reason", None) or "it cannot be read"
        raise ConfigError(
            f"--tls-cert {cert} and --tls-key {key or cert} do not make a certificate with its key: {reason}",
            hint="both are PEM files; the key belongs to the certificate and is not encrypted",
        ) from exc
    return files


def _check_readable(option: str, file: Path) -> None:
    try:
        with file.open("rb"):
            return
    except OSError as exc:
        raise ConfigError(f"{option} {file} cannot be read: {exc.strerror}", hint="name a readable PEM file") from exc


def _no_password() -> str:
    raise ValueError("the key is encrypted")
