"""JSON of others, read strictly: no key twice, no NaN, nothing nested without end, and a sentence for each refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput

Members = dict[str, Any]
"""One JSON object."""
_SHOWN_NAMES_MAX = 12
_SHOWN_CHARS_MAX = 60


def parse_json(text: str) -> object:
    """Return the JSON value that `text` is. Raises InvalidInput, whose message says where it is not."""
    try:
        value: object = json.loads(text, object_pairs_hook=_members, parse_constant=_constant)
    except RecursionError:
        raise InvalidInput("it is JSON nested too deep to be a list of schedules") from None
    except json.JSONDecodeError as exc:
        raise InvalidInput(f"it is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from None
    except ValueError:  # a whole number with thousands of digits
        raise InvalidInput("it is JSON with a number too long to be one of ours") from None
    return value


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(
            f"it is JSON that names {shown(twice)} twice in one object; nobody could tell which is meant"
        )
    return members


def _constant(name: str) -> object:
    raise InvalidInput(f"it is JSON with {name}, which is no number")


def shown(value: object) -> str:
    """Return a value of others, quoted, escaped and shortened, for a sentence."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return ascii(text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}...")


def names_of(value: object) -> str:
    """Return what a JSON value holds, for a sentence that refuses it: `an object with a, b and 3 more`."""
    if isinstance(value, dict):
        names = [shown(name) for name in value]
        more = f" and {len(names) - _SHOWN_NAMES_MAX} more" if len(names) > _SHOWN_NAMES_MAX else ""
        return f"an object with {', '.join(names[:_SHOWN_NAMES_MAX])}{more}" if names else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"{shown(value)}"


def text_in(members: Members, name: str) -> str | None:
    """Return a member that is text; None when it is not there, null or empty. Raises InvalidInput for anything else."""
    value = members.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"its {name} is {shown(value)}, not text")
    return value


def number_in(members: Members, name: str) -> int | None:
    """Return a member that is a whole number, 0 or more; None when it is not there. Raises InvalidInput."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limits.MAX_REPETITIONS_MAX:
        raise InvalidInput(f"its {name} is {shown(value)}, not a whole number from 0 to {limits.MAX_REPETITIONS_MAX}")
    return value


def instant_in(members: Members, name: str) -> datetime | None:
    """Return a member that is an ISO 8601 instant as aware UTC, a naive one read as UTC. Raises InvalidInput."""
    text = text_in(members, name)
    return None if text is None else utc_instant(text, f"its {name}")


def utc_instant(text: str, what: str) -> datetime:
    """Return an ISO 8601 instant as aware UTC, a naive one read as UTC. Raises InvalidInput, which names `what`."""
    try:
        at = datetime.fromisoformat(text.strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{what} is {shown(text)}, not an ISO 8601 date and time") from None
    if not limits.INSTANT_MIN <= at <= limits.INSTANT_MAX:
        raise InvalidInput(f"{what} is {shown(text)}, which lies outside {limits.INSTANT_MIN.year} to 9999")
    return at
