"""Our own service, as `letta attach` meets it: is it there, and what does it offer to agents? Standard library only."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, TargetRefused, TargetUnreachable
from promptyoself.domain.ports_attach import AgentTool
from promptyoself.domain.secret import Secret

_OK: Final = 200
_BYTES_MAX: Final = 4 * 1024 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_URL_HINT: Final = "--url is the address at which Letta reaches this service, such as http://127.0.0.1:8289"
_START_HINT: Final = "start it with `promptyoself serve`, and give its address with --url if it is not the usual one"


class OwnService:
    """ServiceDesk over HTTP. Each answer may take ATTACH_ASK_FOR; no proxy, no redirect."""

    def find(self, url: str) -> str:
        """Return `url`, or loopback at its port where that name means something to Letta's machine alone."""
        parts = _parts(url)
        found = _base(parts)
        if self._is_at(found):
            return found
        here = f"http://127.0.0.1:{parts.port or 80}"
        if parts.hostname not in _LOOPBACK and self._is_at(here):
            return here
        raise TargetUnreachable(f"no promptyoself service answers at {found}", hint=_START_HINT)

    def tools(self, url: str, token: Secret) -> list[AgentTool]:
        """Ask the MCP door, as an agent would."""
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        headers = {
            "Authorization": f"Bearer {token.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        status, payload = _exchange("POST", f"{url}/mcp", json.dumps(call).encode(), headers)
        try:
            lines = [line[5:] for line in payload.splitlines() if line.startswith(b"data:")]
            answer = json.loads(lines[-1] if lines else payload)
            if status != _OK:
                raise TargetRefused(f"the service at {url} refused to list its tools: {answer['error']}")
            listed = answer["result"]["tools"]
            return [
                AgentTool(name=one["name"], description=one["description"], parameters=one["inputSchema"])
                for one in listed[: limits.ATTACH_TOOLS_MAX]
            ]
        except (IndexError, KeyError, TypeError, ValueError) as exc:
            raise TargetRefused(
                f"the service at {url} did not list its tools (HTTP {status})",
                hint="is it a promptyoself of this version? restart `promptyoself serve` after an upgrade",
            ) from exc

    def _is_at(self, url: str) -> bool:
        try:
            status, payload = _exchange("GET", f"{url}/healthz", None, {"Accept": "application/json"})
            answer = json.loads(payload)
        except (TargetUnreachable, ValueError):
            return False
        return status == _OK and isinstance(answer, dict) and answer.get("status") == "ok"


def _exchange(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    parts = urlsplit(url)
    kind: Any = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=limits.ATTACH_ASK_FOR.total_seconds())
    try:
        connection.request(method, parts.path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(_BYTES_MAX)
    except (HTTPException, OSError, UnicodeError) as exc:
        raise TargetUnreachable(f"no answer at {url}: {type(exc).__name__}", hint=_START_HINT) from exc
    finally:
        connection.close()


def _parts(url: str) -> SplitResult:
    """Return the parts of a service's address. A bad one is not quoted: it may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidInput("--url cannot be read: its host or port is malformed", hint=_URL_HINT) from None
    is_odd = parts.username is not None or parts.query or parts.fragment or not url.isprintable() or " " in url
    if is_odd or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput(
            "--url has to be http:// or https:// with a host, and without credentials, ? or #", hint=_URL_HINT
        )
    return parts


def _base(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
