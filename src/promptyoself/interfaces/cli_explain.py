"""`explain`: what a text for a rule would mean. It stores nothing, and needs neither database nor Letta."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from promptyoself.application.rules import read_rule
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.triggers import TriggerKind, describe, fire_times, make_trigger, warnings_for
from promptyoself.interfaces import wire
from promptyoself.interfaces.advice import zone_warnings

if TYPE_CHECKING:
    from promptyoself.application.rules import Rule
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

COUNT_DEFAULT = 5


def explain(call: Call) -> Document:
    """Say what kind of rule a text is, what is stored for it, what it means, when it fires and what may surprise."""
    services = call.services
    now, timezone = services.clock.now(), services.defaults.timezone
    text, count = call.text("text") or "", _count(call)
    rule = read_rule(text, timezone=timezone, now=now, is_timezone_given=call.text("timezone") is not None)
    trigger = make_trigger(rule.kind, rule.expression, timezone=rule.timezone, now=now)
    # A zone that the words name was nobody else's choice.
    chosen = rule.timezone if rule.timezone != timezone else call.text("timezone")
    fires = list(islice(fire_times(trigger, after=now), count + 1))
    return wire.success(
        given=text,
        is_phrase=rule.is_phrase,
        schedule_type=rule.kind.value,
        schedule_value=rule.expression,
        understood=wire.rule_read(rule.given, rule.option, trigger),
        timezone=rule.timezone,
        description=describe(trigger),
        fields=_fields(rule),
        next_runs=[wire.instant(at, rule.timezone) for at in fires[:count]],
        is_last=len(fires) <= count,
        now=wire.instant(now, rule.timezone),
        warnings=[
            *rule.notes,
            *zone_warnings(services, chosen),
            *warnings_for(trigger, now=now, clock_changes_within=limits.EXPLAINED_SPAN),
        ],
    )


def _fields(rule: Rule) -> list[Document]:
    if rule.kind is not TriggerKind.CRON:
        return []
    from promptyoself.domain.cron import parse_cron
    from promptyoself.domain.words_fields import fields_in_words

    return [one._asdict() for one in fields_in_words(parse_cron(rule.expression))]


def _count(call: Call) -> int:
    count = call.number("count") or COUNT_DEFAULT
    if count > limits.PREVIEW_RUNS_MAX:
        raise InvalidInput(f"count {count} is out of range; 1 to {limits.PREVIEW_RUNS_MAX} are allowed")
    return count
