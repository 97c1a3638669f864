"""PromptYoSelfFAST: rows of its SQLite file, in either of its two tables.

Read are, of `unified_reminders`: id, message, agent_id, schedule_type, schedule_value, next_run, active,
max_repetitions, repetition_count, created_at; of `schedules` the same with prompt_text for message. Its instants
have no zone and are UTC, and so are its cron expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

from promptyoself.application.requests import ScheduleRequest
from promptyoself.application.transfer.documents import number_in, shown, text_in, utc_instant
from promptyoself.application.transfer.entries import Entry, Reading, Refusal
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.triggers import parse_duration
from promptyoself.domain.values import dataclass, replace

PREFIX: Final = "promptyoself-fast:"
_SIX_FIELDS: Final = 6
_AT_MOST: Final = limits.IMPORT_ENTRIES_MAX

Row = Mapping[str, Any]
"""A row of either table, under its own column names, with `table` beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderFile:
    """What was read of an older program's database."""

    rows: Sequence[Row]
    is_in_use: bool
    """True when a log beside it shows that it is open, or was not closed."""


def read_older(file: OlderFile) -> Reading:
    """Return the rows as entries; the inactive ones are finished or cancelled, and refused as that."""
    if len(file.rows) > _AT_MOST:
        raise InvalidInput(f"it has {len(file.rows)} schedules; at most {_AT_MOST} are read")
    entries: list[Entry] = []
    refused: list[Refusal] = []
    for row in file.rows:
        source = f"row {row.get('id')} of {row['table']}"
        try:
            entries.append(_entry(row, source))
        except InvalidInput as error:
            refused.append(Refusal(source=source, reason=error.message))
    warnings = []
    if entries:
        now_so = ", which has this file open now or did not close it" if file.is_in_use else ""
        warnings.append(f"stop the older program{now_so} before --apply, or both will deliver")
    return Reading(entries=tuple(entries), refused=tuple(refused), warnings=tuple(warnings), key_prefix=PREFIX)


def _entry(row: Row, source: str) -> Entry:
    members = dict(row)
    if not row.get("active", 1):
        raise InvalidInput("it is not active there: it has finished, or was cancelled")
    prompt = text_in(members, "message") or text_in(members, "prompt_text")
    if prompt is None:
        raise InvalidInput("it has no prompt")
    kind, value = text_in(members, "schedule_type"), text_in(members, "schedule_value")
    next_run = text_in(members, "next_run")
    count = number_in(members, "repetition_count") or 0
    most = number_in(members, "max_repetitions")
    if most is not None and count >= most:
        raise InvalidInput(f"all its {most} repetitions are used up")
    request = ScheduleRequest(
        agent_id=text_in(members, "agent_id"), prompt=prompt, timezone="UTC", max_repetitions=most or None
    )
    entry = Entry(source=source, key=_key(row), request=request, fire_count=count if most else 0)
    if kind == "once":
        return _once(entry, value, next_run)
    if kind == "cron" and value:
        return _cron(entry, value)
    if kind == "interval" and value:
        return _interval(entry, value, next_run)
    raise InvalidInput(
        f"its schedule_type {shown(kind)} with schedule_value {shown(value)} is none of once, cron, interval"
    )


def _key(row: Row) -> str:
    """A row's id and the instant it was made: another file's rows have other instants, wherever the file lies."""
    made = f"{row['table']} {row.get('created_at')}".encode("utf-8", "surrogatepass")
    return f"{PREFIX}{row.get('id')}:{blake2b(made, digest_size=6).hexdigest()}"


def _once(entry: Entry, value: str | None, next_run: str | None) -> Entry:
    """Fire when the caller meant to: an offset in `schedule_value` counts, though the older program dropped it."""
    stored = utc_instant(next_run, "its next_run") if next_run else None
    meant = _with_offset(value)
    if stored is None and meant is None:
        raise InvalidInput("neither next_run nor schedule_value says when it fires")
    at = meant or stored
    assert at is not None  # noqa: S101  one of the two is there
    made = replace(entry, request=replace(entry.request, time=at.isoformat()))
    if meant is None or stored is None or meant == stored:
        return made
    return replace(
        made,
        warnings=(
            f"it was asked for {value}; the older program dropped the offset and would fire at {stored.isoformat()}",
        ),
    )


def _with_offset(value: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat((value or "").strip())
    except ValueError:
        return None
    return None if at.tzinfo is None else at.astimezone(UTC)


def _cron(entry: Entry, value: str) -> Entry:
    fields = value.split()
    if len(fields) != _SIX_FIELDS:
        return replace(entry, request=replace(entry.request, cron=value))
    moved = " ".join([fields[-1], *fields[:-1]])
    warning = f"its sixth field is seconds there ({value}); here they come first"
    return replace(entry, request=replace(entry.request, cron=moved), warnings=(warning,))


def _interval(entry: Entry, value: str, next_run: str | None) -> Entry:
    """Keep its beat: it goes on from the older program's next_run."""
    text = value.strip()
    every = f"{text}s" if text.isascii() and text.isdigit() else text
    period = parse_duration(every)
    at = utc_instant(next_run, "its next_run") if next_run else None
    anchor_at = None if at is None or at - period < limits.INSTANT_MIN else at - period
    return replace(entry, request=replace(entry.request, every=every), anchor_at=anchor_at)
