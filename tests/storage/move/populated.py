"""A database that holds something of everything, and what it holds as its port tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from promptyoself.domain.access import Claim, NewToken, TokenKind
from promptyoself.domain.callbacks import NewCallback
from promptyoself.domain.holidays import Holidays, Span
from promptyoself.domain.models import (
    AttemptOutcome,
    DeliveryState,
    Policy,
    Schedule,
    ScheduleState,
    StopSwitch,
    TargetHealth,
    ZoneRecord,
)
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter, Store, Tx
from promptyoself.domain.ports_requests import AnsweredRequest
from tests.factories import AGENT, MINUTE, NOW, a_fact, a_message, a_new_delivery, a_new_schedule

HOUR: Final = 60 * MINUTE
SCHEDULES: Final = 12
ODD_TEXT: Final = "naïve 🌙 'quoted' \"twice\" \\ back\tslash\nnewline %s :name {brace} " + "long " * 300


def populate(store: Store) -> None:
    """Store something in every table, with rows deleted at the end of some: their ids must not come again."""
    with store.transaction() as tx:
        schedules = [_a_schedule(tx, number) for number in range(SCHEDULES)]
        for number, schedule in enumerate(schedules):
            tx.add_fact(a_fact(schedule_id=schedule.id, detail={"text": ODD_TEXT, "number": number}))
            _deliver(tx, schedule, number)
        tx.save_schedule(replace(schedules[1], state=ScheduleState.PAUSED, paused_until=NOW + HOUR, next_fire_at=None))
        tx.save_schedule(replace(schedules[2], state=ScheduleState.CANCELLED, next_fire_at=None))
        tx.add_message(a_message(prompt=ODD_TEXT))
        tx.add_message(a_message(otid="key-2#0", acked_at=NOW))
        tx.add_callback(
            NewCallback(
                delivery_id=1, schedule_id=1, target="letta", url="https://a.example/", payload="{}", created_at=NOW
            )
        )
        for number in range(3):
            tx.add_token(
                NewToken(
                    digest=f"{number:064x}",
                    kind=TokenKind.AGENT if number else TokenKind.OPERATOR,
                    agent_id=AGENT if number else None,
                    name="laptop",
                    created_by="operator",
                    created_at=NOW,
                    expires_at=NOW + HOUR if number == 1 else None,
                )
            )
        tx.revoke_token(3, now=NOW)
        for owner in ("operator", AGENT):
            tx.remember_request(
                AnsweredRequest(owner=owner, key=ODD_TEXT[:40], fingerprint="f", result="{}", answered_at=NOW)
            )
            tx.put_claim(Claim(owner=owner, key="k", claimed_at=NOW, expires_at=NOW + HOUR, delivery_id=None))
        tx.save_target_health(TargetHealth(target="letta", is_open=True, reason="down", since=NOW))
        tx.set_stop_switch(StopSwitch(reason="holiday", since=NOW, until=NOW + HOUR))
        tx.set_zone_record(ZoneRecord(version="2026a", since=NOW))
    with store.transaction() as tx:
        # The newest fact goes: its id was given out all the same.
        tx.add_fact(a_fact(schedule_id=None, at=NOW - 1000 * HOUR, detail={}))
        assert tx.prune(before=NOW - 999 * HOUR, limit=100) == 1


def _a_schedule(tx: Tx, number: int) -> Schedule:
    eve = Span(NOW, NOW + HOUR, "Eve")
    skip_on = Holidays.make("feasts", walls=[], instants=[eve], last_day=NOW.date()) if number == 3 else None
    return tx.add_schedule(
        a_new_schedule(
            f"{number:032x}",
            agent_id=AGENT if number % 2 else f"agent-{number}",
            prompt=f"{number} {ODD_TEXT}",
            target="letta",
            key=f"key-{number}" if number % 3 else None,
            name=None if number % 4 else "Zoë",
            policy=Policy(skip_on=skip_on),
            next_fire_at=NOW + number * MINUTE,
        )
    )


def _deliver(tx: Tx, schedule: Schedule, number: int) -> None:
    """Give the schedule a delivery in one of the states, the lane of those in flight held."""
    new = a_new_delivery(schedule, planned_at=NOW, fire_at=NOW - number * MINUTE)
    delivery = tx.add_delivery(new, retry_until=NOW + HOUR)
    assert delivery is not None
    state = list(DeliveryState)[number % len(DeliveryState)]
    if state is DeliveryState.PENDING:
        return
    is_in_flight = state in (DeliveryState.LEASED, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN)
    tx.lease_lane(delivery.lane, token="t", executor_id="one", now=NOW, until=NOW + timedelta(seconds=30))
    attempt = tx.add_attempt(delivery.id, executor_id="one", otid=f"{delivery.key}#0", started_at=NOW)
    tx.finish_attempt(
        attempt.id,
        outcome=AttemptOutcome.OPEN if state is DeliveryState.LEASED else AttemptOutcome.ACCEPTED,
        finished_at=None,
        run_id="run-1",
        detail=ODD_TEXT,
    )
    changed = replace(
        delivery,
        state=state,
        lease_token="t" if is_in_flight else None,
        attempts=1,
        run_id="run-1",
        sent_at=NOW,
        finished_at=None if is_in_flight else NOW,
    )
    assert tx.save_delivery(changed, was=delivery)
    if not is_in_flight:
        tx.release_lane(delivery.lane, token="t")


def told(store: Store) -> dict[str, Any]:
    """Return all that the port tells of a database, but for its executors and leases."""
    with store.reading() as tx:
        schedules = tx.schedules(ScheduleFilter())
        deliveries = tx.deliveries(DeliveryFilter())
        asked: dict[str, Callable[[], object]] = {
            "uid": tx.store_uid,
            "reply_secret": tx.reply_secret,
            "counts": tx.counts,
            "facts": lambda: tx.facts(limit=1000),
            "newest_fact": tx.newest_fact_id,
            "attempts": lambda: [tx.attempts(one.id) for one in deliveries],
            "inbox": lambda: tx.messages(AGENT, include_acked=True),
            "tokens": tx.tokens,
            "claims": lambda: [tx.claim(owner, "k") for owner in ("operator", AGENT)],
            "requests": lambda: [tx.answered_request(owner, ODD_TEXT[:40]) for owner in ("operator", AGENT)],
            "health": tx.target_health,
            "switch": tx.stop_switch,
            "zones": tx.zone_record,
            "next_callback_at": tx.next_callback_at,
        }
        found: dict[str, Any] = {name: ask() for name, ask in asked.items()}
    return found | {"schedules": schedules, "deliveries": deliveries}
