"""Days and hours on which nothing is to fire, from a calendar that was read once and is kept as plain spans.

Planning asks it for every fire time, so an answer costs a search by halves and reads no file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.localtime import resolve, to_wall
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_NO_SPAN: Final = timedelta(0)


class Span(NamedTuple):
    """From `begin` up to and not including `end`: two walls, or two instants in UTC."""

    begin: datetime
    end: datetime
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holidays:
    """One calendar. `make` sorts it and gives it its key, so that two with the same content are equal."""

    key: str
    """32 hex digits of its content."""
    name: str
    """What people call it: the file's name."""
    last_day: date | None
    """The last day that it says anything about; None when it is empty."""
    walls: tuple[Span, ...]
    """Whole days, and times without a zone: naive, read in the schedule's zone. Sorted, and none overlap."""
    instants: tuple[Span, ...]
    """Times in a zone, as aware UTC; sorted likewise."""

    @classmethod
    def make(cls, name: str, *, walls: Iterable[Span], instants: Iterable[Span], last_day: date | None) -> Self:
        """Return the calendar of these spans, in any order. Where they overlap, the earlier one gives the title."""
        apart, together = _apart(walls), _apart(instants)
        content = repr((name, last_day, apart, together)).encode("utf-8", "surrogatepass")
        return cls(
            key=blake2b(content, digest_size=16).hexdigest(),
            name=name,
            last_day=last_day,
            walls=apart,
            instants=together,
        )

    @classmethod
    def from_members(cls, members: object) -> Self:
        """Return the calendar that `members` gave, as JSON values. Raises InvalidInput for anything else."""
        if not isinstance(members, dict):
            raise InvalidInput("the calendar is not an object")
        name, last_day = members.get("name"), members.get("last_day")
        if not isinstance(name, str) or not name.isprintable() or len(name) > limits.NAME_CHARS_MAX:
            raise InvalidInput("the calendar's name is not a short printable text")
        try:
            walls = [_span(item, is_aware=False) for item in _listed(members, "walls")]
            instants = [_span(item, is_aware=True) for item in _listed(members, "instants")]
            return cls.make(
                name, walls=walls, instants=instants, last_day=date.fromisoformat(last_day) if last_day else None
            )
        except (TypeError, ValueError, LookupError, OverflowError) as exc:
            raise InvalidInput(f"the calendar {name!r} holds something that is no span") from exc

    def members(self) -> dict[str, Any]:
        """Return it as JSON values, which from_members reads."""
        return {
            "name": self.name,
            "last_day": self.last_day.isoformat() if self.last_day else None,
            "walls": [[one.begin.isoformat(), one.end.isoformat(), one.title] for one in self.walls],
            "instants": [[one.begin.isoformat(), one.end.isoformat(), one.title] for one in self.instants],
        }

    def reason_for(self, instant: datetime, zone: ZoneInfo) -> str | None:
        """Return why nothing is to fire at `instant` (aware UTC), with whole days in `zone`; None when it may."""
        found = _at(self.walls, to_wall(instant, zone)) or _at(self.instants, instant)
        return None if found is None else f"holiday: {found.title} ({self.name})"

    def stretch(self, instant: datetime, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
        """Return from when and until when (exclusive) the span lasts that reason_for names; None when there is none."""
        found = _at(self.walls, to_wall(instant, zone))
        if found is not None:
            return min(instant, resolve(found.begin, zone)), resolve(found.end, zone)
        found = _at(self.instants, instant)
        return None if found is None else (found.begin, found.end)


def _apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return spans sorted and cut so that none overlap."""
    result: list[Span] = []
    for span in sorted(spans):
        begin = max(span.begin, result[-1].end) if result else span.begin
        if span.end - begin > _NO_SPAN:
            result.append(Span(begin, span.end, span.title))
    return tuple(result)


def _at(spans: Sequence[Span], when: datetime) -> Span | None:
    place = bisect_right(spans, when, key=lambda span: span.begin)
    return spans[place - 1] if place and when < spans[place - 1].end else None


def _listed(members: dict[str, Any], name: str) -> list[Any]:
    items = members.get(name, [])
    if not isinstance(items, list) or len(items) > limits.CALENDAR_SPANS_MAX:
        raise InvalidInput(f"the calendar's {name} are not a list of at most {limits.CALENDAR_SPANS_MAX}")
    return items


def _span(item: Any, *, is_aware: bool) -> Span:  # noqa: ANN401  JSON of others
    begin, end = datetime.fromisoformat(item[0]), datetime.fromisoformat(item[1])
    title = item[2]
    if (begin.tzinfo is not None) != is_aware or (end.tzinfo is not None) != is_aware or not isinstance(title, str):
        raise ValueError(item)
    if not title.isprintable() or len(title) > limits.NAME_CHARS_MAX:
        raise ValueError(item)
    return Span(begin.astimezone(UTC), end.astimezone(UTC), title) if is_aware else Span(begin, end, title)
