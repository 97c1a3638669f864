"""Short questions to a Letta server from a command that must start fast: standard library only, few seconds at most.

Deliveries go through letta.py. Here are `test`, `agents`, `upload` and the check that `register` makes.
"""

from __future__ import annotations

import threading
from time import monotonic  # noqa: TID251  a latency shown to people; nothing is decided by it
from typing import TYPE_CHECKING, Any, cast

from promptyoself.domain.agents import validate_agent_id
from promptyoself.domain.errors import AgentNotFound, ConfigError, InvalidInput, TargetRefused, TargetUnreachable
from promptyoself.domain.ports import AgentInfo, TargetStatus
from promptyoself.domain.values import dataclass
from promptyoself.targets.letta_settings import LettaSettings

if TYPE_CHECKING:
    from letta_client import Letta

ANSWER_BYTES_MAX = 64 * 1024 * 1024
AGENTS_PAGE = 100
AGENT_PAGES_MAX = 100
ERROR_CHARS_MAX = 300
_START_HINT = "is the Letta server running, and is LETTA_BASE_URL right?"
_KEY_HINT = "set LETTA_API_KEY (Letta Cloud) or LETTA_SERVER_PASSWORD (self-hosted)"


def check_agent(settings: LettaSettings, agent_id: str, timeout_s: float = 2.0) -> AgentInfo:
    """Return the agent as the server knows it, within `timeout_s` seconds in all, name resolution included.

    Raises InvalidAgentId, AgentNotFound, TargetUnreachable (no answer in time) or TargetRefused (wrong key, other no).
    """
    validate_agent_id(agent_id)
    answer = _get(settings, f"/v1/agents/{_quoted(agent_id)}", timeout_s=timeout_s)
    # 422: an id that this server could never have given; to the caller that is an agent it does not have.
    if answer.status == 422 or (answer.status == 404 and answer.is_lettas_own_404):  # noqa: PLR2004  HTTP's own numbers
        raise AgentNotFound(
            f"agent {agent_id} not found on {settings.base_url}", hint="`promptyoself agents` lists the agents there"
        )
    return _agent_info(_mapping(answer.value(settings), settings))


def ping(settings: LettaSettings, timeout_s: float = 5.0) -> TargetStatus:
    """Return the server's version and how long a request with our key took (milliseconds).

    Health needs no key, so a second request proves that ours is accepted. Each may take `timeout_s` seconds. Raises
    TargetUnreachable or TargetRefused.
    """
    health = _get(settings, "/v1/health/", timeout_s=timeout_s)
    version = health.value(settings) if health.status == 200 else None  # noqa: PLR2004  HTTP's own number
    began = monotonic()
    _get(settings, "/v1/agents/?limit=1", timeout_s=timeout_s).value(settings)
    took_ms = (monotonic() - began) * 1000
    return TargetStatus(
        url=settings.base_url,
        version=_text(version.get("version")) if isinstance(version, dict) else None,
        latency_ms=round(took_ms, 1),
    )


def status_of(settings: LettaSettings, path: str, *, timeout_s: float) -> int:
    """Return the status that a GET is answered with, within `timeout_s` seconds. Raises TargetUnreachable."""
    return _get(settings, path, timeout_s=timeout_s).status


def list_agents(settings: LettaSettings, timeout_s: float = 10.0) -> list[AgentInfo]:
    """List all agents, page by page; each page may take `timeout_s` seconds.

    Raises TargetUnreachable or TargetRefused. Stops after AGENT_PAGES_MAX pages of AGENTS_PAGE.
    """
    agents: dict[str, AgentInfo] = {}
    after = ""
    for _ in range(AGENT_PAGES_MAX):
        answer = _get(settings, f"/v1/agents/?limit={AGENTS_PAGE}{after}", timeout_s=timeout_s)
        page = answer.value(settings)
        if not isinstance(page, list):
            raise _strange(settings)
        found = [_agent_info(_mapping(agent, settings)) for agent in page]
        fresh = [agent for agent in found if agent.id not in agents]
        agents.update((agent.id, agent) for agent in fresh)
        if len(found) < AGENTS_PAGE or not fresh:
            break
        after = f"&after={_quoted(found[-1].id)}"
    return list(agents.values())


def upload_tool(
    settings: LettaSettings, source_code: str, name: str | None = None, description: str | None = None
) -> tuple[str, str]:
    """Create or replace a custom tool by its source and return its id and name. Uses the official client, once.

    Letta names a tool after its function; a `name` that is no function of the source is refused before anything is
    sent. Raises InvalidInput, ConfigError without a key, TargetUnreachable, TargetRefused.
    """
    if not settings.api_key:
        raise ConfigError("LETTA_API_KEY is not set: a tool is uploaded only with a key", hint=_KEY_HINT)
    _check_tool(source_code, name)
    from letta_client import APIConnectionError, APIError, omit

    with get_client(settings) as client:
        try:
            tool = client.tools.upsert(
                source_code=source_code, description=omit if description is None else description
            )
        except APIConnectionError as exc:
            raise _unreachable(settings, type(exc.__cause__ or exc).__name__) from exc
        except APIError as exc:
            status = getattr(exc, "status_code", None)
            raise TargetRefused(
                f"Letta refused the tool (HTTP {status}): {_detail(exc.body)}",
                hint=_KEY_HINT if status in {401, 403} else "type hints and a docstring are what Letta asks for",
            ) from exc
    return tool.id, tool.name or name or tool.id


def get_client(settings: LettaSettings, timeout_s: float = 30.0) -> Letta:
    """Return the official client (about a second to import). It never repeats a request: Letta would store it twice.

    Proxy variables of the environment are ignored, as everywhere in promptyoself. Close it, or use it in `with`.
    """
    import httpx
    from letta_client import Letta, Omit

    # Without a key the SDK would take LETTA_API_KEY from the environment, where a stray .env may have put another's:
    # it gets a stand-in, and the header that would carry it is left out.
    key = settings.api_key.reveal() if settings.api_key else ""
    return Letta(
        base_url=settings.base_url,
        api_key=key,
        default_headers=None if key else cast("dict[str, str]", {"Authorization": Omit()}),
        max_retries=0,
        timeout=timeout_s,
        http_client=httpx.Client(trust_env=False, timeout=timeout_s),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes

    @property
    def is_lettas_own_404(self) -> bool:
        """False for `{"detail":"Not Found"}` or a proxy's page: then the URL is wrong, not the agent."""
        value = _parsed(self.body)
        return isinstance(value, dict) and value.get("detail") not in {None, "Not Found"}

    def value(self, settings: LettaSettings) -> object:
        """Return the parsed body of a 200; raise TargetRefused for all else."""
        if self.status in {401, 403}:
            raise TargetRefused(f"{settings.base_url} refused the key (HTTP {self.status})", hint=_KEY_HINT)
        if self.status != 200:  # noqa: PLR2004  HTTP's own number
            detail = _detail(_parsed(self.body))
            raise TargetRefused(f"{settings.base_url} answered HTTP {self.status}: {detail}", hint=_START_HINT)
        value = _parsed(self.body)
        if value is None:
            raise _strange(settings)
        return value


def _check_tool(source_code: str, name: str | None) -> None:
    import ast

    try:
        tree = ast.parse(source_code)
    except (SyntaxError, ValueError) as exc:
        raise InvalidInput(f"the tool's source is not Python: {exc}") from exc
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not functions:
        raise InvalidInput("the tool's source defines no function", hint="Letta calls the function that it defines")
    if name is not None and name not in functions:
        raise InvalidInput(
            f"the tool's source defines no function {name!r}, only {', '.join(functions)}",
            hint="Letta names a tool after its function: leave out --name, or rename the function",
        )


def _get(settings: LettaSettings, path: str, *, timeout_s: float) -> _Answer:
    """Make one request in a thread, so that neither a slow name server nor a trickling answer outlasts `timeout_s`."""
    outcome: list[_Answer | Exception] = []

    def ask() -> None:
        try:
            outcome.append(_plainly(settings, path, timeout_s) or _with_library(settings, path, timeout_s))
        except (OSError, ValueError) as exc:
            outcome.append(exc)

    thread = threading.Thread(target=ask, name="letta-check", daemon=True)
    thread.start()
    thread.join(timeout_s)
    match outcome:
        case [_Answer() as answer]:
            return answer
        case [Exception() as exc]:
            raise _unreachable(settings, _reason(exc, timeout_s)) from exc
        case _:
            raise _unreachable(settings, f"no answer within {timeout_s:g} s")


def _plainly(settings: LettaSettings, path: str, timeout_s: float) -> _Answer | None:
    """Ask with sockets alone, which starts faster; None for https, and for an answer that takes more to read."""
    from urllib.parse import urlsplit

    from promptyoself.targets.plain_http import get

    parts = urlsplit(settings.base_url)
    if parts.scheme != "http":
        return None
    host, port = parts.hostname or "", parts.port or 80
    found = get(host, port, parts.path + path, settings.headers, timeout_s=timeout_s, bytes_max=ANSWER_BYTES_MAX)
    return None if found is None else _Answer(found.status, found.body)


def _with_library(settings: LettaSettings, path: str, timeout_s: float) -> _Answer:
    from errno import EPROTO
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(settings.base_url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path + path, headers={**settings.headers, "Connection": "close"})
        response = connection.getresponse()
        return _Answer(response.status, response.read(ANSWER_BYTES_MAX))
    except HTTPException as exc:
        raise OSError(EPROTO, type(exc).__name__) from exc
    finally:
        connection.close()


def _unreachable(settings: LettaSettings, reason: str) -> TargetUnreachable:
    return TargetUnreachable(f"Letta cannot be reached at {settings.base_url}: {reason}", hint=_START_HINT)


def _strange(settings: LettaSettings) -> TargetRefused:
    return TargetRefused(f"{settings.base_url} does not answer like a Letta server", hint=_START_HINT)


def _reason(exc: Exception, timeout_s: float) -> str:
    if isinstance(exc, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return type(exc).__name__


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _parsed(body: bytes) -> object:
    import json

    try:
        return json.loads(body)
    except ValueError:
        return None


def _detail(value: object) -> str:
    if isinstance(value, dict) and "detail" in value:
        return str(value["detail"])[:ERROR_CHARS_MAX]
    return "no reason given"


def _mapping(value: object, settings: LettaSettings) -> dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        return value
    raise _strange(settings)


def _agent_info(agent: dict[str, Any]) -> AgentInfo:
    return AgentInfo(
        id=str(agent["id"]), name=_text(agent.get("name")) or "", description=_text(agent.get("description"))
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
