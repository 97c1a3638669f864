"""What a Letta server knows of a prompt: runs, steps and messages, read as evidence.

A message's otid appears only once a step is stored, and a Run has no field for it. But a Run keeps the request's
`assistant_message_tool_kwarg`, which today's agents do not use: the otid goes there as a tag, and a run can be
recognised from its first millisecond.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from promptyoself.domain import limits
from promptyoself.domain.answers import Address, Refused
from promptyoself.domain.values import dataclass
from promptyoself.targets.letta_answers import NO_REDIS, is_unknown_route, of_read
from promptyoself.targets.letta_http import Broken, LettaHttp, Reply, instant, segment

TAG_PREFIX = "promptyoself:"
TAG_FIELD = "assistant_message_tool_kwarg"
CLOCK_SKEW_MAX = timedelta(minutes=2)
"""How far the server's clock may be from ours before its past is looked at too briefly."""
STEPLESS_FOR_MAX = timedelta(minutes=2)
"""A live run stores its first step within this; one without is a leftover."""
RUNS_PAGE = 100
RUN_PAGES_MAX = 5
MESSAGES_PAGE = 100
MESSAGE_PAGES_MAX = 10
RUN_MESSAGES_MAX = 1000
_ACTIVE = frozenset({"created", "running"})
_CONVERSATION_RUN = "send_conversation_message"


class Life(Enum):
    """What a run's newest step says of it."""

    WORKING = "working"
    ENDED = "ended"
    BROKEN = "broken"
    STEPLESS = "stepless"


@dataclass(frozen=True, slots=True)
class Run:
    """A Run as Letta lists it."""

    id: str
    status: str
    created_at: datetime | None
    completed_at: datetime | None
    conversation_id: str | None
    kind: str | None
    otid: str | None
    is_background: bool
    error: object
    stop_reason: str | None

    @property
    def is_active(self) -> bool:
        """True for `created` and `running`: what Letta says, which is no proof of work."""
        return self.status in _ACTIVE

    @property
    def may_stay_created(self) -> bool:
        """True for requests whose run Letta never finishes on paper: plain ones on the conversation routes."""
        return not self.is_background

    @property
    def is_never_started(self) -> bool:
        """True for the leftover of a background request to a server without Redis: nothing was processed."""
        return self.status == "failed" and NO_REDIS in str(self.error).lower()

    def is_in(self, conversation: str | None) -> bool:
        """Return whether it may work in this conversation (None: the agent's own)."""
        if conversation is None:
            return self.conversation_id is None and self.kind != _CONVERSATION_RUN
        return self.conversation_id == conversation or (self.conversation_id is None and self.kind == _CONVERSATION_RUN)


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search: the run or message, if any, and whether the whole span was seen."""

    run: Run | None = None
    run_id: str | None = None
    has_message: bool = False
    is_complete: bool = False


class Evidence:
    """Questions about an agent's runs and messages. Each answers `Refused` when the server did not answer."""

    def __init__(self, http: LettaHttp) -> None:
        self._http = http

    async def run(self, run_id: str) -> Run | Refused | None:
        """Return the run; None when the server has none by this id."""
        reply = await self._http.ask("GET", f"/v1/runs/{segment(run_id)}")
        if isinstance(reply, Reply) and reply.status in {400, 404} and not is_unknown_route(reply):
            return None
        return of_read(reply) or run_of(_mapping(reply))

    async def active_runs(self, agent_id: str) -> tuple[list[Run], datetime | None] | Refused:
        """Return the agent's active runs, newest first, and the server's time. Empty on servers without runs."""
        query = f"agent_id={segment(agent_id)}&statuses=created&statuses=running&limit={RUNS_PAGE}&order=desc"
        reply = await self._http.ask("GET", f"/v1/runs/?{query}")
        if isinstance(reply, Reply) and is_unknown_route(reply):
            return [], reply.at
        refused = of_read(reply)
        if refused is not None or isinstance(reply, Broken):
            return refused or ([], None)
        return [run_of(item) for item in reply.items], reply.at

    async def life(self, run_id: str) -> Life | Refused:
        """Return what the run's newest step says. A step is stored as pending before the LLM is called."""
        reply = await self._http.ask("GET", f"/v1/runs/{segment(run_id)}/steps?limit=1&order=desc")
        if refused := of_read(reply):
            return refused
        steps = reply.items if isinstance(reply, Reply) else []
        if not steps:
            return Life.STEPLESS
        status, stop_reason = steps[0].get("status"), steps[0].get("stop_reason")
        if status == "failed":
            return Life.BROKEN
        # A step that succeeded without a stop reason called a tool: another step follows it.
        return Life.WORKING if status == "pending" or stop_reason is None else Life.ENDED

    async def messages(self, run_id: str) -> list[dict[str, Any]] | Refused:
        """Return the run's stored messages, oldest first."""
        reply = await self._http.ask("GET", f"/v1/runs/{segment(run_id)}/messages?limit={RUN_MESSAGES_MAX}&order=asc")
        if refused := of_read(reply):
            return refused
        return reply.items if isinstance(reply, Reply) else []

    async def find_run(self, agent_id: str, otid: str, *, since: datetime) -> Found | Refused:
        """Look for the run tagged with `otid` among the agent's runs made since then."""
        before = ""
        for _ in range(RUN_PAGES_MAX):
            query = f"agent_id={segment(agent_id)}&limit={RUNS_PAGE}&order=desc{before}"
            reply = await self._http.ask("GET", f"/v1/runs/?{query}")
            if isinstance(reply, Reply) and is_unknown_route(reply):
                return Found()
            refused = of_read(reply)
            if refused is not None or isinstance(reply, Broken):
                return refused or Found()
            runs = [run_of(item) for item in reply.items]
            for run in runs:
                if run.otid == otid and not run.is_never_started:
                    return Found(run=run, run_id=run.id, is_complete=True)
            if len(runs) < RUNS_PAGE or _is_before(runs[-1].created_at, since):
                return Found(is_complete=True)
            before = f"&before={segment(runs[-1].id)}"
        return Found()

    async def find_message(self, agent_id: str, otid: str, *, since: datetime) -> Found | Refused:
        """Look for the message with `otid` in the agent's history, in all its conversations, back to `since`."""
        before = ""
        for _ in range(MESSAGE_PAGES_MAX):
            query = f"limit={MESSAGES_PAGE}&order=desc{before}"
            reply = await self._http.ask("GET", f"/v1/agents/{segment(agent_id)}/messages?{query}")
            refused = of_read(reply)
            if refused is not None or isinstance(reply, Broken):
                return refused or Found()
            page = reply.items
            for message in page:
                if message.get("otid") == otid:
                    run_id = message.get("run_id")
                    return Found(run_id=run_id if isinstance(run_id, str) else None, has_message=True, is_complete=True)
            oldest = _oldest(page)
            if len(page) < MESSAGES_PAGE or oldest is None or _is_before(instant(oldest.get("date")), since):
                return Found(is_complete=True)
            before = f"&before={segment(str(oldest.get('id')))}"
        return Found()

    async def foreign_run(self, runs: list[Run], address: Address, *, now: datetime) -> Run | Refused | None:
        """Return the one of these active runs that is really at work in this conversation, or None.

        Older ones than RUN_TIME_MAX are ignored, and those that no step shows at work: Letta leaves runs `created`
        for ever.
        """
        for run in runs:
            age = now - run.created_at if run.created_at else timedelta(0)
            if age > limits.RUN_TIME_MAX or not run.is_in(address.conversation):
                continue
            match await self.life(run.id):
                case Refused() as refused:
                    return refused
                case Life.WORKING:
                    return run
                case Life.STEPLESS if age < STEPLESS_FOR_MAX:
                    return run
                case _:
                    continue
        return None


def tag_of(otid: str) -> str:
    """Return the tag that a request carries for its run to be recognised by."""
    return TAG_PREFIX + otid


def run_of(item: dict[str, Any]) -> Run:
    """Read a Run as Letta writes it."""
    metadata, config = item.get("metadata"), item.get("request_config")
    metadata = metadata if isinstance(metadata, dict) else {}
    tag = config.get(TAG_FIELD) if isinstance(config, dict) else None
    return Run(
        id=str(item.get("id")),
        status=str(item.get("status")),
        created_at=instant(item.get("created_at")),
        completed_at=instant(item.get("completed_at")),
        conversation_id=_text(item.get("conversation_id")),
        kind=_text(metadata.get("run_type")),
        otid=tag.removeprefix(TAG_PREFIX) if isinstance(tag, str) and tag.startswith(TAG_PREFIX) else None,
        is_background=item.get("background") is True,
        error=metadata.get("error"),
        stop_reason=_text(item.get("stop_reason")),
    )


def reply_excerpt(messages: list[dict[str, Any]]) -> str | None:
    """Return the start of the last thing the agent said (REPLY_EXCERPT_CHARS_MAX characters); None for silence."""
    text = _last_said(messages)
    most = limits.REPLY_EXCERPT_CHARS_MAX
    return text if text is None or len(text) <= most else text[: most - 3] + "..."


def last_line(messages: list[dict[str, Any]]) -> str | None:
    """Return the last line of the last thing the agent said, whole; None for silence, and when it is too long."""
    line = (_last_said(messages) or "").rpartition("\n")[2].strip()
    return line if line and len(line) <= limits.REPLY_LINE_CHARS_MAX else None


def _last_said(messages: list[dict[str, Any]]) -> str | None:
    for message in reversed(messages):
        if message.get("message_type") == "assistant_message":
            content = message.get("content")
            if isinstance(content, list):
                content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            if isinstance(content, str) and content.strip():
                return content.strip()
    return None


def _mapping(reply: Reply | Broken) -> dict[str, Any]:
    return reply.mapping if isinstance(reply, Reply) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_before(at: datetime | None, since: datetime) -> bool:
    return at is not None and at < since - CLOCK_SKEW_MAX


def _oldest(page: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the page's oldest end. Letta 0.16 turns a page of the newest around; other versions may not."""
    if not page:
        return None
    first, last = instant(page[0].get("date")), instant(page[-1].get("date"))
    return page[-1] if first is not None and last is not None and first > last else page[0]
