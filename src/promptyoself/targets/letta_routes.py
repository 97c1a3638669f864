"""Which route a prompt takes on this server, and what the request looks like."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, cast

from promptyoself.domain.answers import Message, Refused
from promptyoself.domain.content import messages_of
from promptyoself.domain.ports import Clock
from promptyoself.targets.letta_answers import is_unknown_route, is_without_redis, of_broken, of_read
from promptyoself.targets.letta_evidence import TAG_FIELD, tag_of
from promptyoself.targets.letta_http import Broken, LettaHttp, segment
from promptyoself.targets.letta_settings import LettaMode, LettaSettings

Route = Literal["background", "async", "blocking"]
ROUTE_KNOWN_FOR_S = 600.0
_NO_RUN = "run-00000000-0000-4000-8000-000000000000"


class Routes:
    """Knows the best route of one server: asked for once, and again after ten minutes or a contradicting answer."""

    def __init__(self, http: LettaHttp, settings: LettaSettings, clock: Clock) -> None:
        self._http = http
        self._mode: LettaMode = settings.mode
        self._clock = clock
        self._known: Route | None = None
        self._known_until_s = 0.0
        self._asking = asyncio.Lock()

    @property
    def is_chosen(self) -> bool:
        """True when the settings name the route, so that no other may be taken."""
        return self._mode != "auto"

    async def best(self) -> Route | Refused:
        """Return the best route, or why the server cannot be asked."""
        if self._mode != "auto":
            return self._mode
        async with self._asking:
            if self._known is None or self._clock.monotonic() >= self._known_until_s:
                found = await self._ask()
                if isinstance(found, Refused):
                    return found
                self.learn(found)
            return cast("Route", self._known)

    def learn(self, route: Route) -> None:
        """Take over what an answer has proven."""
        self._known = route
        self._known_until_s = self._clock.monotonic() + ROUTE_KNOWN_FOR_S

    def forget(self) -> None:
        """Ask again before the next prompt: the server may have been started anew."""
        self._known = None

    async def _ask(self) -> Route | Refused:
        """Ask for the stream of a run that cannot exist: Letta looks for its Redis before it looks for the run."""
        reply = await self._http.ask("POST", "/v1/conversations/default/stream", body={"run_id": _NO_RUN})
        if isinstance(reply, Broken):
            refused = of_broken(reply)
            return (
                refused
                if isinstance(refused, Refused)
                else Refused(code="unreachable", detail=f"Letta does not answer: {reply.detail}", is_target_wide=True)
            )
        if is_without_redis(reply) or is_unknown_route(reply):
            return "async"
        if reply.status in {400, 404, 410, 422}:
            return "background" if "run" in str(reply.mapping.get("detail")).lower() else "async"
        return of_read(reply) or "async"


def body_of(message: Message, *, streams: bool | None) -> dict[str, object]:
    """Return the request: envelope (system) before prompt (user) or messages, each with its otid, and its run's tag.

    `streams` True for background streaming, False for a plain answer from the conversation route, None where the route
    has no such choice.
    """
    messages = _with_otids(messages_of(message.prompt, message.content), message.otid)
    if message.envelope is not None:
        otid = f"{message.otid}.e" if any(one["otid"] == message.otid for one in messages) else message.otid
        messages.insert(0, {"role": "system", "content": message.envelope, "otid": otid})
    body: dict[str, object] = {"messages": messages, TAG_FIELD: tag_of(message.otid)}
    if message.content is not None:
        # Two options stay here. Letta would post a callback to any address, from within its own network; and kinds of
        # messages that it is told to leave out, it leaves out of what it shows of the run ever after.
        max_steps = message.content.members.get("max_steps")
        body |= {} if max_steps is None else {"max_steps": max_steps}
    if streams is not None:
        body["streaming"] = streams
        if streams:
            body["background"] = True
    return body


def _with_otids(messages: list[dict[str, Any]], otid: str) -> list[dict[str, Any]]:
    """Give each message an otid of its own; the one that proves the delivery has the delivery's.

    That is the last of the user, else of the system: Letta gives messages of the assistant otids of its own (with those
    alone the envelope is the proof). The otids of a caller would be sent again at each fire.
    """
    by_role = {one["role"]: number for number, one in enumerate(messages)}  # the last of each
    proof = by_role.get("user", by_role.get("system", -1))
    return [one | {"otid": otid if n == proof else f"{otid}.{n + 1}"} for n, one in enumerate(messages)]


def agent_path(agent_id: str, rest: str) -> str:
    """Return a path under the agent."""
    return f"/v1/agents/{segment(agent_id)}/{rest}"


def conversation_path(conversation: str) -> str:
    """Return the path that takes prompts for a conversation; an agent's id stands for its own thread."""
    return f"/v1/conversations/{segment(conversation)}/messages"
