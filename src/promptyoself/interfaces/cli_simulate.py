"""`simulate`: every fire time of stored schedules over a span, and what would become of it. Nothing is stored."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from promptyoself.application.simulating import Question, scene_of, simulate
from promptyoself.application.simulation import Outage
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, UsageError
from promptyoself.domain.intervals import format_duration
from promptyoself.domain.localtime import MICROSECOND, is_day, read_day
from promptyoself.domain.triggers import parse_duration, parse_instant
from promptyoself.interfaces import forecasts, wire
from promptyoself.interfaces.parse import DIGITS_MAX
from promptyoself.interfaces.phrases import moment

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

_SPAN_DEFAULT: Final = timedelta(days=7)
_RUN_TIME_DEFAULT: Final = timedelta(seconds=30)
_OUTAGE_HINT: Final = (
    "write it as --outage 2030-01-31T09:00/2030-01-31T17:00, with a length: 2030-01-31T09:00/8h, or as days: "
    "2030-01-31/2030-02-02"
)


def run(call: Call) -> Document:
    """Say what would happen."""
    services = call.services
    timezone = services.defaults.timezone
    ids = _ids(call)
    with services.store.reading() as tx:
        now = services.clock.now()
        gathered = scene_of(tx, caller=call.caller, agent_id=call.text("agent_id"), ids=ids, now=now)
        names = {one.id: one.definition.name for one in gathered.scene.schedules}
    question = _question(call, timezone, now)
    forecast = simulate(gathered, question)
    stop = gathered.scene.stop
    warnings = list(gathered.warnings)
    if stop is not None and (stop.until is None or stop.until > now):
        ends = (
            "for as long as nobody lets them go on"
            if stop.until is None
            else f"until {moment(stop.until, timezone, now=now)}"
        )
        warnings.append(f"all deliveries are stopped ({stop.reason}) {ends}: what fires waits")
    return wire.success(
        **forecasts.document(forecast, question, names=names),
        now=wire.instant(now, timezone),
        warnings=warnings,
        database=call.database,
    )


def _ids(call: Call) -> list[int] | None:
    words = [word.strip() for text in call.texts("id") for word in text.split(",")]
    if not words:
        return None
    if call.text("agent_id") is not None:
        raise UsageError("simulate takes either --id or --agent-id", hint=call.command.example)
    wrong = next((word for word in words if not (word.isascii() and word.isdigit() and len(word) <= DIGITS_MAX)), None)
    if wrong is not None:
        raise UsageError(f"--id {wrong[:60]!a} is no id: an id is a positive whole number", hint="--id 7 or --id 7,9")
    return sorted({int(word) for word in words})


def _question(call: Call, timezone: str, now: datetime) -> Question:
    span = call.text("for")
    if call.is_given("until") and span is not None:
        raise UsageError("simulate takes either --until or --for", hint=call.command.example)
    begin_at = call.bound("from", timezone=timezone, now=now) or now
    until_at = call.bound("until", timezone=timezone, now=now, is_end=True)
    if until_at is None:
        length = _SPAN_DEFAULT if span is None else parse_duration(span, what="span")
        until_at = _end_of_days(call.text("from"), length, timezone) or begin_at + length
    rows = call.number("limit")
    rows_max = limits.ROWS_DEFAULT if rows is None else rows
    if rows_max > limits.ROWS_MAX:
        raise InvalidInput(f"limit {rows_max} is out of range; 0 to {limits.ROWS_MAX} are allowed")
    return Question(
        begin_at=begin_at,
        until=until_at,
        timezone=timezone,
        run_time=_run_time(call.text("run_time")),
        outages=_outages(call, timezone),
        rows_max=rows_max,
    )


def _end_of_days(begin: str | None, length: timedelta, timezone: str) -> datetime | None:
    """Return the end of so many whole days from a date alone, though a clock change makes one longer; else None."""
    if begin is None or not is_day(begin) or length % timedelta(days=1):
        return None
    first = date.fromisoformat(begin.strip())
    if length > limits.SPAN_SIMULATED_MAX:  # refused below; the calendar may end before it
        return None
    last = (first + length - timedelta(days=1)).isoformat()
    return read_day(last, timezone=timezone)[1] - MICROSECOND


def _run_time(text: str | None) -> timedelta:
    if text is None:
        return _RUN_TIME_DEFAULT
    run_time = timedelta(0) if text.strip() in {"0", "0s"} else parse_duration(text, what="run-time")
    if run_time > limits.RUN_TIME_MAX:
        raise InvalidInput(
            f"run-time {text[:50]!r} is longer than {format_duration(limits.RUN_TIME_MAX)}, after which a prompt that "
            "is not done is given up as unknown",
            hint="simulate prompts that come to an end",
        )
    return run_time


def _outages(call: Call, timezone: str) -> list[Outage]:
    texts = [text for one in call.texts("outage") for text in one.split(",")]
    if len(texts) > limits.OUTAGES_MAX:
        raise InvalidInput(f"{len(texts)} outages are more than {limits.OUTAGES_MAX}")
    return [_outage(text, timezone) for text in texts]


def _outage(text: str, timezone: str) -> Outage:
    begin, slash, end = text.strip().partition("/")
    if not slash:
        raise InvalidInput(f"outage {text[:60]!r} has no end", hint=_OUTAGE_HINT)
    begin_at = read_day(begin, timezone=timezone)[0] if is_day(begin) else parse_instant(begin, timezone=timezone)
    is_length = end[:1].upper() == "P" or not ("T" in end.upper() or ":" in end or "-" in end)
    if is_length:
        # The calendar ends, and no instant lies behind its end.
        end_at = begin_at + min(parse_duration(end, what="outage"), limits.INSTANT_MAX - begin_at)
    else:
        end_at = read_day(end, timezone=timezone)[1] if is_day(end) else parse_instant(end, timezone=timezone)
    if end_at <= begin_at:
        raise InvalidInput(f"outage {text[:60]!r} ends before it begins", hint=_OUTAGE_HINT)
    return Outage(begin_at=begin_at, end_at=end_at)
