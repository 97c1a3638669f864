"""`simulate` for a person: a table of days (or weeks, or months) with bars, then in sentences what would go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table
from rich.text import Text

from promptyoself.domain.intervals import format_duration
from promptyoself.interfaces.phrases import printable

if TYPE_CHECKING:
    from rich.console import Console

    from promptyoself.interfaces.wire import Document

_DAYS_MAX: Final = 31
_WEEKS_MAX: Final = 27
"""More days than these weeks have are shown by month."""
_RUNS_MAX: Final = 25
"""Runs are listed one by one when there are no more."""
_NAMED_MAX: Final = 5
_SUMS: Final = ("fires", "sent", "held", "late", "skipped", "waiting")


def show(console: Console, document: Document) -> None:
    """Print the answer of `simulate`."""
    totals = document["totals"]
    console.print(
        Text(f"{_clock(document['from'])} to {_clock(document['until'])} {document['timezone']}", style="bold")
    )
    if not totals["fires"] and not document["runs"]:
        console.print(Text("Nothing fires in this span."))
        return
    _table_of_days(console, document["days"])
    runs = document["runs"]
    if runs and len(runs) <= _RUNS_MAX and not document["runs_left_out"]:
        _table_of_runs(console, runs)
    for sentence in _sentences(document):
        console.print(Text(printable(sentence)))


def _table_of_days(console: Console, days: list[Document]) -> None:
    stretches = list(_stretches(days))
    names = [name for name in _SUMS if name in {"fires", "sent"} or any(one[name] for _, one in stretches)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    most = max(one["fires"] for _, one in stretches)
    width = max(6, min(40, console.width - 26 - 10 * len(names)))
    for title, one in stretches:
        bar = "█" * -(-one["fires"] * width // most) if most else ""
        table.add_row(title, *(f"{one[name]:,}" if one[name] else "" for name in names), Text(bar, style="cyan"))
    console.print(table)


def _stretches(days: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield days, weeks (named by their first day here) or months, as many as a person reads."""
    title = "%a %Y-%m-%d" if len(days) <= _DAYS_MAX else "%Y-%m"
    if _DAYS_MAX < len(days) <= _WEEKS_MAX * 7:
        title = "week %G-%V"
    for name, members in groupby(days, key=lambda one: date.fromisoformat(one["day"]).strftime(title)):
        held = list(members)
        yield name, {key: sum(one[key] for one in held) for key in _SUMS}


def _table_of_runs(console: Console, runs: list[Document]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("fires at", "schedule", "outcome"):
        table.add_column(head, overflow="fold")
    for run in runs:
        table.add_row(_clock(run["at"]), str(run["schedule_id"]), Text(printable(_outcome(run))))
    console.print(table)


def _outcome(run: Document) -> str:
    before = f"delivery {run['delivery_id']}, there before: " if run["delivery_id"] else ""
    if run["sent_at"] is None:
        why = f": {run['reason']}" if run["reason"] else ""
        return f"{before}{run['outcome']}{why}"
    words = [f"sent {_clock(run['sent_at'])}" if run["sent_at"] != run["at"] else "sent"]
    if run["held"]:
        words.append("held by quiet hours")
    if run["late_s"]:
        words.append(f"{_span(run['late_s'])} late")
    if run["missed"]:
        words.append(f"stands for {run['missed']} missed before it")
    return before + ", ".join(words)


def _sentences(document: Document) -> Iterator[str]:
    totals = document["totals"]
    yield (
        f"{totals['fires']:,} fire times of {_schedules(document['schedules'])}: {totals['sent']:,} sent, "
        f"{totals['skipped']:,} skipped, {totals['waiting']:,} waiting at the end."
    )
    if totals["carried_over"]:
        yield f"{_are(totals['carried_over'], 'prompt')} left over from before it begins."
    for reason, count in totals["reasons"].items():
        yield f"Skipped {_times(count)}: {reason}."
    if totals["held"]:
        yield f"Quiet hours hold {totals['held']:,} until they end."
    if totals["late"]:
        longest = totals["longest_wait"]
        yield (
            f"{_are(totals['late'], 'prompt')} late, by up to {_span(longest['late_s'])}: schedule "
            f"{longest['schedule_id']}, due {_clock(longest['at'])}."
        )
    yield from _crowds(document)
    for one in document["paused"][:_NAMED_MAX]:
        yield f"Schedule {one['schedule_id']} is paused at {_clock(one['at'])}: {one['reason']}."
    done = document["completed"]
    for one in done[:_NAMED_MAX]:
        yield f"Schedule {one['schedule_id']} completes at {_clock(one['at'])}."
    if len(done) > _NAMED_MAX:
        left = len(done) - _NAMED_MAX
        yield f"{left:,} more {'schedule completes' if left == 1 else 'schedules complete'}."


def _crowds(document: Document) -> Iterator[str]:
    busiest = document["totals"]["busiest_minute"]
    if busiest is not None:
        yield f"The busiest minute is {_clock(busiest['at'])}, with {busiest['fires']:,} fire times."
    minutes = document["totals"]["crowded_minutes"]
    if minutes:
        first = document["collisions"][0]
        numbers = ", ".join(str(number) for number in first["schedule_ids"])
        yield (
            f"One agent has several fire times within a minute {_times(minutes)}; first {_clock(first['at'])}: "
            f"agent {first['agent_id']}, {'schedules' if ',' in numbers else 'schedule'} {numbers}."
        )


def _clock(instant: str) -> str:
    at = datetime.fromisoformat(instant)
    return f"{at:%a %Y-%m-%d %H:%M:%S}" if at.second else f"{at:%a %Y-%m-%d %H:%M}"


def _span(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds)))


def _are(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count:,} {noun}s are"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _schedules(count: int) -> str:
    return "1 schedule" if count == 1 else f"{count:,} schedules"
