"""The Letta target: hands prompts to agents of one Letta server over aiohttp, and learns what became of them.

A prompt takes the best route that the server has: background streaming (locks, knows repeated otids), else async, else
blocking. docs/letta.md tells which when, and what each answer proves.
"""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain import limits
from promptyoself.domain.agents import CONVERSATION_NEW, validate_agent_id, validate_conversation
from promptyoself.domain.answers import (
    Accepted,
    Address,
    Busy,
    Done,
    Failed,
    Final,
    FollowResult,
    Message,
    Refused,
    SendResult,
    Sent,
    SettleResult,
    Unclear,
    Undecided,
)
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.ports import Clock
from promptyoself.targets.letta_answers import is_unknown_route, is_without_redis, of_broken, of_read, of_refusal
from promptyoself.targets.letta_evidence import Evidence, Run, last_line, reply_excerpt, run_of
from promptyoself.targets.letta_http import Broken, LettaHttp, Reply, instant, segment
from promptyoself.targets.letta_routes import Route, Routes, agent_path, body_of, conversation_path
from promptyoself.targets.letta_runs import LettaPace, Loss, RunPoller
from promptyoself.targets.letta_settings import LettaSettings
from promptyoself.targets.letta_verdicts import Remembered, Verdicts

REPLAY_AGE_MIN = timedelta(seconds=5)
"""A first event older than this belongs to an earlier request under the same otid."""
_OK = 200
_BAD_STOPS = frozenset({"error", "llm_api_error", "invalid_llm_response", "invalid_tool_call"})


class LettaTarget:
    """Target for one Letta server. Make it, use it and close it in one event loop."""

    def __init__(self, settings: LettaSettings, clock: Clock, pace: LettaPace | None = None) -> None:
        pace = pace or LettaPace()
        self._settings = settings
        self._clock = clock
        self._http = LettaHttp(settings)
        self._evidence = Evidence(self._http)
        self._routes = Routes(self._http, settings, clock)
        self._poller = RunPoller(self._http, self._evidence, clock, pace)
        self._verdicts = Verdicts(self._evidence, clock, pace)
        self._ended = Remembered()
        self._doubtful = Remembered()

    @property
    def name(self) -> str:
        """`letta`."""
        return "letta"

    async def send(self, message: Message) -> SendResult:
        """Hand the prompt over, once. Answers when Letta has it; on the blocking route when the agent has finished."""
        try:
            _validate(message.address)
        except InvalidInput as exc:
            return Final(code="invalid_request", detail=exc.message)
        result = await self._earlier(message) or await self._send(message)
        match result:
            case Unclear() | Refused(status=502 | 503):
                self._doubtful.add(message.otid, self._clock.monotonic())
            case _:
                self._doubtful.discard(message.otid)
        return result

    async def follow(self, sent: Sent) -> FollowResult:
        """Wait until the run has ended, through outages too; the caller bounds the wait."""
        if sent.run_id is None:
            return Unclear(code="no_run", detail="Letta named no run that could be followed")
        outcome = await self._poller.wait(sent.run_id)
        if isinstance(outcome, Loss):
            self._verdicts.lost.add(sent.run_id, self._clock.monotonic())
            return Unclear(code="run_lost", detail=_LOSSES[outcome], run_id=sent.run_id)
        self._ended.add(sent.run_id, self._clock.monotonic())
        self._verdicts.note_tag(outcome, sent.otid)
        match await self._verdicts.of_run(outcome, sent.otid):
            case (Done() | Failed()) as verdict:
                return verdict
            case verdict:
                detail = verdict.detail if isinstance(verdict, Undecided) else "the run's end is not clear yet"
                return Unclear(code="run_unclear", detail=detail, run_id=sent.run_id)

    async def settle(self, sent: Sent) -> SettleResult:
        """Ask once what became of an attempt."""
        return await self._verdicts.settle(sent)

    async def cancel_run(self, sent: Sent) -> None:
        """Ask Letta to end our run; best effort. A live one may still store the step it is in."""
        run_id = sent.run_id
        if run_id is None:
            found = await self._evidence.find_run(sent.address.agent_id, sent.otid, since=sent.since)
            run_id = None if isinstance(found, Refused) else found.run_id
        if run_id is not None:
            self._verdicts.lost.add(run_id, self._clock.monotonic())
            await self._http.ask(
                "POST", agent_path(sent.address.agent_id, "messages/cancel"), body={"run_ids": [run_id]}
            )

    async def probe(self) -> Refused | None:
        """Ask for one agent, with our key: None when Letta answers."""
        return of_read(await self._http.ask("GET", "/v1/agents/?limit=1"))

    async def result_of(self, run_id: str, types: list[str] | None) -> dict[str, object] | None:
        """Return a run's result as Letta posts it to a callback, None when it cannot be had.

        `types` are the kinds of messages that are wanted; None: all.
        """
        run, messages = await self._evidence.run(run_id), await self._evidence.messages(run_id)
        usage = await self._http.ask("GET", f"/v1/runs/{segment(run_id)}/usage")
        if not isinstance(run, Run) or isinstance(messages, Refused):
            return None
        return {
            "messages": [one for one in messages if types is None or one.get("message_type") in types],
            "stop_reason": {"message_type": "stop_reason", "stop_reason": run.stop_reason or "end_turn"},
            "usage": usage.mapping if isinstance(usage, Reply) and usage.status == _OK else None,
        }

    async def close(self) -> None:
        """Stop following and close connections."""
        await self._poller.close()
        await self._http.close()

    # -- sending --------------------------------------------------------------------------------------------

    async def _earlier(self, message: Message) -> SendResult | None:
        """Return what became of an earlier request of ours under this otid that ended in doubt, if that shows."""
        if message.otid not in self._doubtful:
            return None
        since = self._clock.now() - limits.RETRY_FOR_DEFAULT
        match await self._verdicts.settle(Sent(address=message.address, otid=message.otid, run_id=None, since=since)):
            case (Accepted() | Done() | Failed()) as verdict:
                return verdict
            case _:
                return None

    async def _send(self, message: Message) -> SendResult:
        route = await self._routes.best()
        if isinstance(route, Refused):
            return self._noted(route)
        conversation = message.address.conversation
        if conversation == CONVERSATION_NEW:
            made = await self._new_conversation(message)
            if not isinstance(made, str):
                return made
            conversation = made
        busy = await self._look_first(message, conversation)
        if isinstance(busy, str):
            route = self._unreplayed(route)
        elif busy is not None:
            return busy
        return await self._by(route, message, conversation)

    async def _look_first(self, message: Message, conversation: str | None) -> SendResult | str | None:
        """Return our own run under this otid, or `Busy` for a foreign one; a run's id when our own is dead.

        No route of Letta sees all others' runs: even the locking one overlooks what came by the async route.
        """
        address = Address(agent_id=message.address.agent_id, conversation=conversation)
        listed = await self._evidence.active_runs(address.agent_id)
        if isinstance(listed, Refused):
            return self._noted(listed)
        runs, server_now = listed
        now = server_now or self._clock.now()
        for run in runs:
            if run.otid == message.otid:
                is_old = run.created_at is not None and now - run.created_at > limits.RUN_TIME_MAX
                if run.id not in self._verdicts.lost and not is_old:
                    return Accepted(run_id=run.id)
                await self.cancel_run(Sent(address=address, otid=message.otid, run_id=run.id, since=now))
                return run.id
        foreign = await self._evidence.foreign_run(
            [run for run in runs if run.id not in self._ended and run.id not in self._verdicts.lost], address, now=now
        )
        if isinstance(foreign, Run):
            return Busy(detail="the agent works on something else", run_id=foreign.id)
        return foreign

    async def _by(self, route: Route, message: Message, conversation: str | None) -> SendResult:
        match route:
            case "background":
                return await self._send_background(message, conversation)
            case "async" if conversation is None:
                return await self._send_async(message)
            case _:
                return await self._send_blocking(message, conversation)

    async def _send_background(self, message: Message, conversation: str | None) -> SendResult:
        path = conversation_path(conversation or message.address.agent_id)
        reply = await self._http.send_for_event(
            path,
            body_of(message, streams=True),
            timeout_s=self._settings.accept_timeout_s,
            may_go=message.may_go,
        )
        if isinstance(reply, Broken):
            return self._broken(reply)
        if (is_without_redis(reply) or is_unknown_route(reply)) and not self._routes.is_chosen:
            self._routes.learn("async")
            return await self._by("async", message, conversation)
        if reply.status != _OK:
            return of_refusal(reply, is_working=False)
        run_id = reply.mapping.get("run_id")
        if not isinstance(run_id, str):
            return Unclear(code="strange_answer", detail="Letta answered without naming the run")
        if not _is_replay(reply):
            return Accepted(run_id=run_id)
        return await self._replayed(run_id, message, conversation)

    async def _replayed(self, run_id: str, message: Message, conversation: str | None) -> SendResult:
        """Letta knew the otid and did nothing new. It would replay a dead run for ever: then another route is taken."""
        run = await self._evidence.run(run_id)
        if isinstance(run, Refused):
            return Accepted(run_id=run_id)
        if run is not None:
            verdict = await self._verdicts.of_run(run, message.otid)
            if isinstance(verdict, Accepted | Done | Failed):
                return verdict
        return await self._by(self._unreplayed("background"), message, conversation)

    def _unreplayed(self, route: Route) -> Route:
        """Return a route without memory of otids: the background route would replay the dead run."""
        return "async" if route == "background" else route

    async def _send_async(self, message: Message) -> SendResult:
        path = agent_path(message.address.agent_id, "messages/async")
        reply = await self._http.send(
            path, body_of(message, streams=None), timeout_s=self._settings.accept_timeout_s, may_go=message.may_go
        )
        if isinstance(reply, Broken):
            return self._broken(reply)
        if is_unknown_route(reply) and not self._routes.is_chosen:
            self._routes.learn("blocking")
            return await self._send_blocking(message, None)
        if reply.status != _OK:
            return of_refusal(reply, is_working=False)
        run = run_of(reply.mapping)
        if not isinstance(reply.mapping.get("id"), str):
            return Unclear(code="strange_answer", detail="Letta answered without naming the run")
        self._verdicts.note_tag(run, message.otid)
        return Accepted(run_id=run.id)

    async def _send_blocking(self, message: Message, conversation: str | None) -> SendResult:
        if conversation is None:
            path, body = agent_path(message.address.agent_id, "messages"), body_of(message, streams=None)
        else:
            path, body = conversation_path(conversation), body_of(message, streams=False)
        reply = await self._http.send(path, body, timeout_s=limits.RUN_TIME_MAX.total_seconds(), may_go=message.may_go)
        if isinstance(reply, Broken):
            return self._broken(reply)
        if reply.status != _OK:
            return of_refusal(reply, is_working=True)
        return _of_finished(reply)

    async def _new_conversation(self, message: Message) -> str | SendResult:
        """Make the delivery's conversation, or find it: its summary holds the otid, so a lost answer makes no other."""
        agent_id, summary = message.address.agent_id, f"promptyoself {message.otid}"
        query = f"agent_id={segment(agent_id)}"
        found = await self._http.ask("GET", f"/v1/conversations/?{query}&limit=1&summary_search={segment(summary)}")
        if isinstance(found, Reply) and found.items and found.items[0].get("summary") == summary:
            return str(found.items[0].get("id"))
        made = await self._http.ask("POST", f"/v1/conversations/?{query}", body={"summary": summary})
        if isinstance(made, Broken):
            return self._noted(
                Refused(code="unreachable", detail=f"no conversation could be made: {made.detail}", is_target_wide=True)
            )
        if made.status == _OK and isinstance(made.mapping.get("id"), str):
            return str(made.mapping["id"])
        result = of_refusal(made, is_working=False)
        if isinstance(result, Unclear):  # nothing was sent to the agent yet
            return Refused(code="no_conversation", detail=result.detail, status=made.status)
        return result

    def _broken(self, broken: Broken) -> Refused | Unclear:
        self._routes.forget()
        return of_broken(broken)

    def _noted(self, refused: Refused) -> Refused:
        if refused.code == "unreachable":
            self._routes.forget()
        return refused


_LOSSES = {
    Loss.VANISHED: "Letta does not know the run any more",
    Loss.STALLED: "Letta was down during the run, which has shown nothing since",
}


def _validate(address: Address) -> None:
    validate_agent_id(address.agent_id)
    if address.conversation is not None:
        validate_conversation(address.conversation)


def _is_replay(reply: Reply) -> bool:
    made_at = instant(reply.mapping.get("date"))
    return made_at is not None and reply.at is not None and reply.at - made_at > REPLAY_AGE_MIN


def _of_finished(reply: Reply) -> Done | Failed:
    messages = reply.mapping.get("messages")
    messages = [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
    run_ids = [item["run_id"] for item in messages if isinstance(item.get("run_id"), str)]
    run_id = run_ids[-1] if run_ids else None
    stop = reply.mapping.get("stop_reason")
    reason = stop.get("stop_reason") if isinstance(stop, dict) else None
    if reason in _BAD_STOPS:
        return Failed(code=str(reason), detail=f"the agent's run ended with {reason}", status=_OK, run_id=run_id)
    return Done(run_id=run_id, reply_excerpt=reply_excerpt(messages), last_line=last_line(messages))
