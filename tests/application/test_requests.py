"""Options as callers give them, and the definition that they mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from promptyoself.application.requests import Defaults, ScheduleRequest, define, redefine
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, PromptyoselfError, UsageError
from promptyoself.domain.models import CatchUp, Definition, EnvelopeMode, Overlap
from promptyoself.domain.triggers import TriggerKind
from tests.factories import AGENT, MINUTE, NOW

DEFAULTS = Defaults(timezone="Europe/Riga", target="inbox", targets=frozenset({"inbox", "letta"}), agent_id=AGENT)


def defined(**options: object) -> Definition:
    request = ScheduleRequest(**({"prompt": "stretch", "every": "5m"} | options))  # type: ignore[arg-type]  # options
    return define(request, DEFAULTS, now=NOW)


def redefined(old: Definition, *, late: timedelta = 2 * MINUTE, **options: object) -> Definition:
    return redefine(old, ScheduleRequest(**options), DEFAULTS, now=NOW + late)  # type: ignore[arg-type]  # options


def test_what_is_not_said_is_the_default() -> None:
    made = defined()
    assert (made.agent_id, made.target, made.trigger.timezone) == (AGENT, "inbox", "Europe/Riga")
    assert (made.policy.catch_up, made.policy.overlap) == (CatchUp.LATEST, Overlap.SKIP)
    assert made.policy.retry_for == limits.RETRY_FOR_DEFAULT


def test_every_option_is_read() -> None:
    made = defined(
        catch_up="all:6h", overlap="queue", retry_for="2h", expires_after="90s", envelope="FULL",
        quiet_hours="22:00-07:00", jitter="10s", max_repetitions=3, name="n", key="k", target="letta",
        conversation="new", start_at="2026-03-03T09:00", end_at="2026-03-04T09:00",
    )  # fmt: skip
    policy = made.policy
    assert (policy.catch_up, policy.catch_up_window) == (CatchUp.ALL, timedelta(hours=6))
    assert (policy.overlap, policy.retry_for, policy.expires_after) == (
        Overlap.QUEUE,
        timedelta(hours=2),
        timedelta(seconds=90),
    )
    assert (policy.envelope, str(policy.quiet_hours)) == (EnvelopeMode.FULL, "22:00-07:00")
    assert (made.max_repetitions, made.name, made.key, made.target, made.conversation) == (3, "n", "k", "letta", "new")
    assert made.trigger.start_at == NOW + timedelta(hours=22)


@pytest.mark.parametrize(("options", "said"), [
    ({"prompt": None}, "the prompt is missing"),
    ({"prompt": " \n"}, "the prompt is empty"),
    ({"prompt": "x" * (limits.PROMPT_BYTES_MAX + 1)}, "bytes"),
    ({"prompt": "\ud800"}, "not valid Unicode"),
    ({"prompt": "a\0b"}, "NUL"),
    ({"every": None}, "none was given"),
    ({"cron": "0 9 * * *"}, "more than one was given"),
    ({"every": "soon"}, "interval"),
    ({"every": None, "cron": "61 * * * *"}, "minute"),
    ({"every": None, "time": "2020-01-01T00:00"}, "future"),
    ({"timezone": "Mars/Base"}, "Mars/Base"),
    ({"target": "moon"}, "target 'moon' is not known"),
    ({"catch_up": "some"}, "catch-up 'some' is not known"),
    ({"overlap": "maybe"}, "overlap"),
    ({"retry_for": "31d"}, "longer than 30 days"),
    ({"max_repetitions": 0}, "out of range"),
    ({"name": "a\nb"}, "control characters"),
    ({"key": "k" * 201}, "201 characters"),
    ({"agent_id": "../../admin"}, "agent"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_a_sentence(options: dict[str, object], said: str) -> None:
    with pytest.raises(PromptyoselfError, match=said) as refused:
        defined(**options)
    assert isinstance(refused.value, InvalidInput | UsageError)


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    old = defined(key="k", name="n", catch_up="all", jitter="10s")
    assert redefined(old) == old
    assert redefined(old, prompt="breathe") == replace(old, prompt="breathe")


def test_an_empty_text_clears() -> None:
    old = defined(
        key="k", name="n", conversation="new", max_repetitions=3, expires_after="1h", quiet_hours="22:00-07:00",
        end_at="2026-03-04T09:00", jitter="10s",
    )  # fmt: skip
    new = redefined(
        old, key="", name="", conversation="", max_repetitions=0, expires_after="", quiet_hours="", end_at="", jitter=""
    )
    assert new == replace(defined(), trigger=replace(old.trigger, end_at=None, jitter=timedelta(0)))


@pytest.mark.parametrize("rule", [{"every": "5m"}, {"every": None, "rrule": "FREQ=DAILY;INTERVAL=2;COUNT=9"}])
def test_a_change_of_the_window_keeps_what_the_rule_counts_from(rule: dict[str, str | None]) -> None:
    old = defined(**rule)
    new = redefined(old, end_at="2026-12-01T09:00", late=timedelta(days=1))
    assert new.trigger.anchor_at == old.trigger.anchor_at
    assert redefined(old, start_at="2026-03-09T09:00").trigger.anchor_at == NOW + timedelta(days=6, hours=22)


def test_a_new_rule_counts_from_now() -> None:
    new = redefined(defined(), every="7m")
    assert (new.trigger.kind, new.trigger.anchor_at) == (TriggerKind.INTERVAL, NOW + 2 * MINUTE)
