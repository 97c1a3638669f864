"""A world with two agents, of whom one has everything there is, each text of it with a canary in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from promptyoself.application import access, claims, schedules
from promptyoself.application.access import TokenRequest
from promptyoself.application.requests import ScheduleRequest
from promptyoself.application.schedules import Caller
from promptyoself.domain.access import TokenKind
from promptyoself.domain.models import (
    AttemptOutcome,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Executor,
    InboxMessage,
    NewDelivery,
    Schedule,
)
from promptyoself.domain.ports import AgentInfo, Tx
from tests.interfaces.world import NOW, FakeServices

ME, OTHER = "agent-me", "agent-other"
CANARY = "canary"
"""In every text of OTHER's, and in no word that anybody else uses."""
UNKNOWN_ID = 987_654
_MINUTE = timedelta(minutes=1)


class Belongings(NamedTuple):
    """What an agent has: ids of schedules, of deliveries, of messages; keys."""

    schedules: list[int]
    deliveries: list[int]
    messages: list[int]
    keys: list[str]

    @property
    def ids(self) -> list[int]:
        """Every number that stands for anything of the agent's."""
        return sorted({*self.schedules, *self.deliveries, *self.messages})


class Neighbours(NamedTuple):
    """Both agents' belongings, and their tokens."""

    mine: Belongings
    others: Belongings
    my_token: str
    others_token: str
    operators_token: str


def populate(services: FakeServices) -> Neighbours:
    """Give ME little and OTHER everything."""
    services.letta = AgentInfo(id=OTHER, name=f"{CANARY} the agent", description=f"{CANARY} of letta")
    with services.store.transaction() as tx:
        mine = _schedule(services, tx, ME, "mine")
        others = [
            _schedule(services, tx, OTHER, CANARY, key="their key", name=f"{CANARY} name"),
            _schedule(services, tx, OTHER, CANARY, caller=Caller()),
            _schedule(services, tx, OTHER, CANARY),
            _schedule(services, tx, OTHER, CANARY),
        ]
        schedules.pause(tx, others[1].id, caller=Caller(), reason=f"{CANARY} reason", until=None, now=NOW)
        schedules.cancel(tx, others[2].id, caller=Caller(), now=NOW)
        given_away = _schedule(services, tx, ME, f"{CANARY} now")
        my_deliveries = [_delivery(tx, mine, number, "mine") for number in range(4)]
        others_deliveries = [_delivery(tx, others[0], number, CANARY) for number in range(4)]
        others_deliveries += [_delivery(tx, one, 0, CANARY) for one in others[1:]]
        # What is another's now, or was: given away after it had been delivered.
        _delivery(tx, given_away, 0, "mine")
        taken_over = _schedule(services, tx, OTHER, "handed over", caller=Caller())
        others_deliveries += [_delivery(tx, taken_over, number, CANARY) for number in (0, 1)]
        _give(services, tx, given_away, OTHER)
        _give(services, tx, taken_over, ME)
        my_messages = [_message(tx, ME, mine, my_deliveries[0], 0, "mine")]
        others_messages = [_message(tx, OTHER, others[0], others_deliveries[0], number, CANARY) for number in (1, 2)]
        claims.claim_once(tx, "shared words", caller=Caller(owner=OTHER, door=CANARY), agent_id=None, now=NOW)
        tokens = [
            _token(services, tx, TokenKind.AGENT, ME, "laptop"),
            _token(services, tx, TokenKind.AGENT, OTHER, f"{CANARY} token"),
            _token(services, tx, TokenKind.OPERATOR, None, f"{CANARY} desk"),
        ]
        tx.heartbeat(
            Executor(id=f"{CANARY}:1", host=CANARY, pid=1, version="1", mode="serve", started_at=NOW, heartbeat_at=NOW)
        )
    return Neighbours(
        Belongings([mine.id, taken_over.id], [one.id for one in my_deliveries], my_messages, ["shared words"]),
        Belongings(
            [*(one.id for one in others), given_away.id],
            [one.id for one in others_deliveries],
            others_messages,
            ["shared words", "their key"],
        ),
        *tokens,
    )


def state_of_others(services: FakeServices) -> list[tuple[Any, ...]]:
    """Return every row that is not ME's: what no call of ME's may change."""
    with services.store.reading() as tx:
        return [tuple(row) for statement in _OTHERS_ROWS for row in _rows(tx, statement)]


_OTHERS_ROWS = (
    "SELECT * FROM schedules WHERE agent_id <> :me",
    "SELECT * FROM deliveries WHERE lane <> 'inbox ' || :me",
    "SELECT attempts.* FROM attempts JOIN deliveries ON deliveries.id = delivery_id WHERE lane <> 'inbox ' || :me",
    "SELECT * FROM lanes WHERE lane <> 'inbox ' || :me",
    "SELECT * FROM inbox WHERE agent_id <> :me",
    "SELECT * FROM claims WHERE owner <> :me",
    # A look at a token notes that it was used.
    "SELECT id, digest, kind, agent_id, name, created_by, expires_at, revoked_at FROM tokens",
    "SELECT * FROM stop_switch",
    "SELECT * FROM executors",
    "SELECT * FROM target_health",
    "SELECT * FROM facts WHERE schedule_id IS NULL OR schedule_id IN (SELECT id FROM schedules WHERE agent_id <> :me)",
)


def _rows(tx: Any, statement: str) -> Iterable[Sequence[Any]]:  # noqa: ANN401  a transaction's own connection
    found: Iterable[Sequence[Any]] = tx._execute(statement, {"me": ME})
    return found


def _schedule(
    services: FakeServices,
    tx: Tx,
    agent_id: str,
    word: str,
    *,
    caller: Caller | None = None,
    **more: Any,  # noqa: ANN401  of a ScheduleRequest
) -> Schedule:
    request = ScheduleRequest(agent_id=agent_id, prompt=f"{word} prompt", every="1h", target="inbox", **more)
    return schedules.register(
        tx,
        request,
        caller=caller or Caller(owner=agent_id, door=f"{word} door"),
        defaults=services.defaults,
        uid=services.new_uid(),
        now=NOW,
    ).schedule


def _give(services: FakeServices, tx: Tx, schedule: Schedule, agent_id: str) -> None:
    request = ScheduleRequest(agent_id=agent_id)
    schedules.update(tx, schedule.id, request, caller=Caller(), defaults=services.defaults, now=NOW)


_ENDS = (DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.SKIPPED, DeliveryState.CANCELLED)


def _delivery(tx: Tx, schedule: Schedule, number: int, word: str) -> Delivery:
    fire_at = NOW - (number + 1) * _MINUTE
    made = tx.add_delivery(
        NewDelivery(
            schedule_id=schedule.id,
            revision=schedule.revision,
            kind=DeliveryKind.SCHEDULED,
            target="inbox",
            lane=schedule.lane,
            key=f"{schedule.uid}-{number}",
            fire_at=fire_at,
            planned_at=fire_at,
            fire_number=number,
            created_at=fire_at,
        ),
        retry_until=NOW + timedelta(days=1),
    )
    assert made is not None
    attempt = tx.add_attempt(made.id, executor_id=f"{word}:1", otid=f"{made.key}#0", started_at=fire_at)
    tx.finish_attempt(attempt.id, outcome=AttemptOutcome.FAILED, finished_at=NOW, detail=f"{word} detail")
    ended = replace(made, state=_ENDS[number], reason=f"{word} reason", reply_excerpt=f"{word} reply", finished_at=NOW)
    assert tx.save_delivery(ended, was=made)
    return ended


def _message(tx: Tx, agent_id: str, schedule: Schedule, delivery: Delivery, number: int, word: str) -> int:
    return tx.add_message(
        InboxMessage(
            id=0,
            agent_id=agent_id,
            otid=f"otid-{number}",
            delivery_id=delivery.id,
            schedule_id=schedule.id,
            envelope=f"{word} envelope",
            prompt=f"{word} message",
            received_at=NOW,
            acked_at=None,
        )
    ).id


def _token(services: FakeServices, tx: Tx, kind: TokenKind, agent_id: str | None, name: str) -> str:
    request = TokenRequest(kind=kind, agent_id=agent_id, name=name)
    issued = access.create(tx, request, secret=services.new_secret(), caller=Caller(), now=NOW)
    return issued.text.reveal()
