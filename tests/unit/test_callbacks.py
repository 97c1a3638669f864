"""What is posted when a delivery has ended, and what follows from the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from promptyoself.domain import limits
from promptyoself.domain.callbacks import (
    Callback,
    CallbackState,
    NotPosted,
    Posted,
    PostResult,
    after_post,
    body_of,
    callback_for,
    wanted_types,
)
from promptyoself.domain.content import read_content
from promptyoself.domain.models import DeliveryState
from tests.factories import AGENT, NOW, a_definition, a_delivery, a_schedule

URL = "https://example.com/hook?secret=1"
TYPES = ["assistant_message"]
SCHEDULE = a_schedule(
    definition=a_definition(content=read_content({"callback_url": URL, "include_return_message_types": TYPES}))
)
ENDED = a_delivery(SCHEDULE, state=DeliveryState.DELIVERED, run_id="run-1", reply_excerpt="yes", finished_at=NOW)


def a_callback(attempts: int = 1) -> Callback:
    new = callback_for(SCHEDULE, ENDED, now=NOW)
    assert new is not None
    return Callback(
        id=4, delivery_id=1, schedule_id=1, target=new.target, url=new.url, payload=new.payload, attempts=attempts
    )


def test_it_says_what_letta_s_server_says_and_what_we_know() -> None:
    new = callback_for(SCHEDULE, ENDED, now=NOW)
    assert new is not None
    assert new.url == URL
    payload = json.loads(new.payload)
    assert {name: payload[name] for name in ("run_id", "status", "completed_at")} == {
        "run_id": "run-1", "status": "completed", "completed_at": "2026-03-02T09:00:00+00:00",
    }  # fmt: skip
    ours = payload["metadata"]["promptyoself"]
    assert (ours["agent_id"], ours["delivery_id"], ours["state"], ours["reply_excerpt"]) == (
        AGENT,
        1,
        "delivered",
        "yes",
    )
    assert wanted_types(a_callback()) == TYPES


def test_the_result_goes_along_unless_it_is_too_long() -> None:
    result = {"messages": [{"content": "yes"}], "stop_reason": {"stop_reason": "end_turn"}, "usage": None}
    assert json.loads(body_of(a_callback(), result))["metadata"]["result"] == result
    long = result | {"messages": [{"content": "x" * limits.CALLBACK_BYTES_MAX}]}
    assert "result" not in json.loads(body_of(a_callback(), long))["metadata"]
    assert len(body_of(a_callback(), None)) < 2000


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (DeliveryState.DELIVERED, "completed"),
        (DeliveryState.DEAD, "failed"),
        (DeliveryState.SKIPPED, None),
        (DeliveryState.CANCELLED, None),
    ],
)
def test_what_was_tried_ends_and_nothing_else(state: DeliveryState, status: str | None) -> None:
    new = callback_for(SCHEDULE, replace(ENDED, state=state), now=NOW)
    assert (None if new is None else json.loads(new.payload)["status"]) == status
    assert callback_for(a_schedule(), replace(ENDED, state=state), now=NOW) is None


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Posted(200), CallbackState.SENT),
        (Posted(204), CallbackState.SENT),
        (Posted(301), CallbackState.FAILED),
        (Posted(307), CallbackState.FAILED),
        (Posted(400), CallbackState.FAILED),
        (Posted(410), CallbackState.FAILED),
        (Posted(408), CallbackState.DUE),
        (Posted(429), CallbackState.DUE),
        (Posted(500), CallbackState.DUE),
        (Posted(503), CallbackState.DUE),
        (NotPosted("nobody listens there"), CallbackState.DUE),
        (NotPosted("an address that is not public", is_final=True), CallbackState.FAILED),
    ],
)
def test_each_answer_has_its_outcome(result: PostResult, state: CallbackState) -> None:
    outcome = after_post(a_callback(), result, now=NOW, fraction=0.5)
    assert outcome.state is state
    assert (outcome.due_at > NOW) == (state is CallbackState.DUE)
    assert (outcome.reason is None) == (state is CallbackState.SENT)
    assert "example.com" not in (outcome.reason or "")


def test_attempts_are_bounded_and_further_and_further_apart() -> None:
    waits = []
    for attempt in range(1, limits.CALLBACK_ATTEMPTS_MAX):
        outcome = after_post(a_callback(attempt), Posted(500), now=NOW, fraction=0.0)
        assert outcome.state is CallbackState.DUE
        waits.append(outcome.due_at - NOW)
    assert waits[0] == timedelta(seconds=5)
    assert waits == sorted(waits)
    assert max(waits) == limits.CALLBACK_BACKOFF_MAX / 2
    last = after_post(a_callback(limits.CALLBACK_ATTEMPTS_MAX), Posted(500), now=NOW, fraction=0.0)
    assert last.state is CallbackState.FAILED
    assert "12 attempts failed" in (last.reason or "")
