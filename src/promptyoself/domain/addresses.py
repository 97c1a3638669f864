"""Which addresses of the network a caller's URL may lead to: public ones, and those that an operator has allowed.

A scheduler that posts to any URL it is given is a way into the network it stands in (server-side request forgery).
So a URL is judged twice: its text when it comes in, and every address its name stands for when it is used. Sources:
the IANA registries of special-purpose IPv4 and IPv6 addresses, RFC 6890; how hosts are read: WHATWG URL, "ends in a
number".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError, InvalidInput
from promptyoself.domain.values import dataclass

Ip = IPv4Address | IPv6Address
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HOST_CHARS_MAX: Final = 253
_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65535
_REFUSED_PORTS: Final = frozenset(
    int(port)
    for line in (
        # The "bad ports" of the WHATWG's Fetch, which no browser sends to either.
        "1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119",
        "123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989",
        "990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080",
        # Stores that read commands line by line.
        "6379 11211",
    )
    for port in line.split()
)
"""Where services listen that might take the lines of a request for commands of their own."""
_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?]+)(?P<rest>.*)", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]+)(:(?P<port>[0-9]{1,5}))?")
_PUBLIC_ONLY: Final = "callbacks go to public addresses; an operator may allow others (PROMPTYOSELF_CALLBACK_ALLOW)"
_HINT: Final = "for example https://example.com/hook"

_REFUSED_V4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocols
        "192.0.2.0/24",  # documentation, here and below
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "168.63.129.16/32",  # Azure's own, to every machine
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that IANA has given out as global unicast; whatever lies outside is refused."""
_REFUSED_V6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: see below for what it holds; nobody needs it
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackUrl:
    """A caller's URL, taken apart: what is connected to, and under which name."""

    scheme: str
    host: str
    """In small letters, ASCII, without brackets and without a dot at its end."""
    port: int
    rest: str
    """Path and query, as they were given; at least a slash."""

    @property
    def url(self) -> str:
        """The URL put together again from what was understood of it, so that no other program reads it differently."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.rest}"

    @property
    def literal(self) -> Ip | None:
        """The host as an address, when it is one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an operator lets callers reach besides the public network: hosts by name, and blocks of addresses."""

    hosts: frozenset[str] = frozenset()
    blocks: tuple[IPv4Network | IPv6Network, ...] = ()

    def covers(self, host: str, address: Ip) -> bool:
        """Return whether this host, or this address of it, is allowed."""
        return host in self.hosts or any(block.version == address.version and address in block for block in self.blocks)


NOTHING: Final = Allowed()


def read_allowed(text: str) -> Allowed:
    """Read hosts and blocks (CIDR), separated by commas: `hooks.lan, 10.1.0.0/16`. Raises ConfigError."""
    hosts: set[str] = set()
    blocks: list[IPv4Network | IPv6Network] = []
    for word in filter(None, (one.strip().lower() for one in text.split(","))):
        try:
            blocks.append(ip_network(word.strip("[]")))
            continue
        except ValueError:
            if "/" in word or not _is_name(word.rstrip(".")):
                raise ConfigError(
                    f"PROMPTYOSELF_CALLBACK_ALLOW holds {word[:60]!r}, neither a host nor a block of addresses",
                    hint="such as hooks.lan, 10.1.0.0/16; a block's address has no bits beyond its length",
                ) from None
        hosts.add(word.rstrip("."))
    return Allowed(frozenset(hosts), tuple(blocks))


def read_url(url: str, allowed: Allowed = NOTHING) -> CallbackUrl:
    """Return a caller's URL taken apart. Raises InvalidInput unless its text is one that may be posted to.

    A literal address is judged here; what a name stands for is judged when it is used (`refusal`). The URL is never
    quoted in full: its path and query may be somebody's secret.
    """
    scheme, authority, rest = _split(url)
    if "@" in authority:
        raise _bad("holds credentials", "let the path or query name a secret, or check the idempotency key")
    found = _AUTHORITY.fullmatch(authority)
    port = int(found["port"] or _PORTS[scheme]) if found else 0
    if found is None or not 0 < port <= _PORT_MAX:
        raise _bad("cannot be read: its host or port is malformed")
    if port in _REFUSED_PORTS:
        raise _bad(f"has port {port}, where another protocol than HTTP is spoken")
    host = _host(found["host"])
    read = CallbackUrl(scheme=scheme, host=host, port=port, rest=rest if rest.startswith("/") else f"/{rest}")
    literal = read.literal
    if literal is not None and (why := refusal(literal)) and not allowed.covers(host, literal):
        raise _bad(f"leads to {literal}, {why}", _PUBLIC_ONLY)
    if host.rpartition(".")[2] == "localhost" and host not in allowed.hosts:
        raise _bad("leads to this machine itself", _PUBLIC_ONLY)
    return read


def _split(url: str) -> tuple[str, str, str]:
    """Take a URL apart that every program takes apart in the same way; others are refused."""
    if len(url) > limits.CALLBACK_URL_CHARS_MAX:
        raise _bad(f"is longer than {limits.CALLBACK_URL_CHARS_MAX} characters")
    if not url.isascii():
        raise _bad("holds characters beyond ASCII", "write the host in its xn-- form, and the rest with %-escapes")
    if any(char <= " " or char in '\\"<>^`{|}\x7f' for char in url):
        raise _bad("holds a space, a backslash or another character that a URL cannot hold", "escape it with %")
    if "#" in url:
        raise _bad("has a fragment (#), which is never sent")
    found = _URL.fullmatch(url)
    if found is None:
        raise _bad("does not begin with http:// or https:// and a host")
    return found["scheme"].lower(), found["authority"], found["rest"]


def refusal(address: Ip) -> str | None:
    """Return why an address is not of the public network, for a sentence; None when it is."""
    if isinstance(address, IPv4Address):
        return "an address that is not public" if any(address in block for block in _REFUSED_V4) else None
    inner = _embedded(address)
    if inner is not None:
        return refusal(inner) or "an IPv4 address in an IPv6 one, which is not posted to"
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return "an address that is not public"
    return "an address that is not public" if any(address in block for block in _REFUSED_V6) else None


def first_refusal(host: str, addresses: Sequence[Ip], allowed: Allowed) -> str | None:
    """Return why a host with these addresses may not be posted to: one bad address refuses the name as a whole."""
    if not addresses:
        return "its name stands for no address"
    for address in addresses:
        why = refusal(address)
        if why is not None and not allowed.covers(host, address):
            return f"its name stands for {address}, {why}"
    return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 one carries: mapped, compatible, NAT64, 6to4 or Teredo."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    number = int(address)
    if address in _NAT64 or (number >> 32 == 0 and number > 1):
        return IPv4Address(number & 0xFFFF_FFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)


def _host(text: str) -> str:
    host = text.lower()
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise _bad("has brackets around what is no IPv6 address") from None
    host = host.removesuffix(".")
    last = host.rpartition(".")[2]
    if _NUMBER.fullmatch(last):
        # 127.1, 0x7f.0.0.1, 2130706433, 0177.0.0.1: programs read these differently, and some as this machine.
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise _bad("has a host that ends in a number and is no plain IPv4 address") from None
    if not _is_name(host):
        raise _bad("has no host, or one that no name can be")
    return host


def _is_name(host: str) -> bool:
    return len(host) <= _HOST_CHARS_MAX and all(_LABEL.fullmatch(label) for label in host.split("."))


def _bad(what: str, hint: str = _HINT) -> InvalidInput:
    return InvalidInput(f"the callback_url {what}", hint=hint)
