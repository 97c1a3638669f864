"""Where the Letta server is and how it is spoken to: validated once, never printed with its key."""

from __future__ import annotations

import re
from typing import Literal, get_args
from urllib.parse import urlsplit

from promptyoself.domain.errors import ConfigError
from promptyoself.domain.secret import Secret
from promptyoself.domain.values import dataclass

LettaMode = Literal["auto", "background", "async", "blocking"]
LETTA_URL_DEFAULT = "http://localhost:8283"

_HINT = "set LETTA_BASE_URL to something like http://localhost:8283"
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LettaSettings:
    """One Letta server. Raises ConfigError for a URL, mode or timeout that cannot be used; its text holds no secret.

    `base_url` is http or https, with a path prefix if need be, without credentials, query or fragment; trailing
    slashes are dropped. `mode` is `auto` (ask the server) or the one way of sending to use; docs/letta.md says which is
    best when. Timeouts are seconds.
    """

    base_url: str = LETTA_URL_DEFAULT
    api_key: Secret | None = None
    """Letta Cloud's key or a self-hosted server's password; sent as a bearer token."""
    mode: LettaMode = "auto"
    connect_timeout_s: float = 5.0
    accept_timeout_s: float = 30.0
    """How long a server may take to accept a prompt (not to answer it)."""
    read_timeout_s: float = 10.0
    """How long one question (a run, a page of messages) may take."""

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        if self.mode not in get_args(LettaMode):
            raise ConfigError(f"letta mode is one of {', '.join(get_args(LettaMode))}, not {self.mode!r}")
        if self.api_key is not None and _UNPRINTABLE.search(self.api_key.reveal()):
            raise ConfigError("the Letta key holds a space or a control character", hint="set LETTA_API_KEY again")
        for name in ("connect_timeout_s", "accept_timeout_s", "read_timeout_s"):
            if not 0 < getattr(self, name) <= 3600:  # noqa: PLR2004  an hour
                raise ConfigError(f"{name} is more than 0 and at most 3600 seconds, not {getattr(self, name)!r}")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request, the key in clear among them: for the wire only."""
        headers = {"Accept": "application/json", "User-Agent": "promptyoself"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key.reveal()}"
        return headers


def _check_url(url: str) -> None:
    """Raise ConfigError unless `url` can be a server's address. A bad one is not quoted: it may hold a password."""
    if _UNPRINTABLE.search(url):
        raise ConfigError("the Letta URL holds a space or a control character", hint=_HINT)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigError("the Letta URL cannot be read: its host or port is malformed", hint=_HINT) from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ConfigError("the Letta URL holds credentials", hint="put the key or password into LETTA_API_KEY")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("the Letta URL has to begin with http:// or https:// and name a host", hint=_HINT)
    if parts.query or parts.fragment:
        raise ConfigError("the Letta URL may have neither a query (?) nor a fragment (#)", hint=_HINT)
