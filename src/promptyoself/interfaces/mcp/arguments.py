"""The arguments of a call, read as a model writes them: what is wrong is said in one sentence, with what to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from promptyoself.domain.errors import UsageError
from promptyoself.interfaces.parse import DIGITS_MAX, shown

Kind = Literal["text", "number", "flag", "names"]
"""`number` is a positive whole number, `names` a list of some of `choices`."""
Given = Mapping[str, Any]
"""Arguments by name, checked; what was not given, or was null, is not there."""

_JSON: Final = {"text": "string", "number": "integer", "flag": "boolean", "names": "array"}
_TRUE_OR_FALSE: Final = {"true": True, "false": False}
_NAMES_MAX: Final = 20
"""Unknown arguments that a refusal names."""
_OFTEN_MEANT: Final[Mapping[str, tuple[str, ...]]] = {
    "when": (
        "at", "cron", "date", "datetime", "delay", "every", "in", "interval", "recurrence", "repeat", "rrule", "rule",
        "run_at", "schedule", "schedule_time", "time", "trigger",
    ),
    "prompt": ("body", "content", "message", "prompt_text", "reminder", "task", "text"),
    "timezone": ("time_zone", "tz", "zone"),
    "schedule_id": ("id", "job_id", "prompt_id", "scheduleid", "task_id"),
    "message_id": ("id",),
    "end_at": ("end", "end_date", "end_time", "until"),
    "start_at": ("begin", "from", "start", "start_date", "start_time"),
    "max_repetitions": ("count", "limit", "max_runs", "max_times", "repetitions", "times"),
    "include_finished": ("all", "include_all"),
    "include_acknowledged": ("all", "include_acked", "include_all"),
    "reason": ("note", "why"),
}  # fmt: skip
"""By argument, the names that models give it."""


class Parameter(NamedTuple):
    """An argument of a tool."""

    name: str
    help: str
    kind: Kind = "text"
    is_required: bool = False
    choices: tuple[str, ...] = ()
    most: int | None = None
    """The greatest number allowed."""
    is_operators: bool = False
    """True: operators alone are offered it; an agent is told that it acts for itself."""

    def schema(self) -> dict[str, Any]:
        """Return its JSON schema; flat, without `anyOf`, which not every client passes on."""
        shape: dict[str, Any] = {"type": _JSON[self.kind], "description": self.help}
        if self.kind == "number":
            shape |= {"minimum": 1} | ({"maximum": self.most} if self.most else {})
        if self.kind == "names":
            shape["items"] = {"type": "string", "enum": list(self.choices)}
        elif self.choices:
            shape["enum"] = list(self.choices)
        return shape


def schema_of(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments."""
    return {
        "type": "object",
        "properties": {one.name: one.schema() for one in parameters},
        "required": [one.name for one in parameters if one.is_required],
        "additionalProperties": False,
    }


def read(tool: str, parameters: Sequence[Parameter], raw: Given, *, acts_for: str | None) -> Given:
    """Return the arguments of a call. Raises UsageError, which says what to write in their place.

    `acts_for`: the agent for whom alone the caller acts, None for an operator. A number in quotes (`"7"`, `"#7"`) is
    that number, and null is not given; nobody could mean something else by them.
    """
    allowed = [one for one in parameters if acts_for is None or not one.is_operators]
    known = {one.name: one for one in allowed}
    given = {name: value for name, value in raw.items() if value is not None}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise _unknown(tool, unknown, parameters, known, acts_for)
    missing = [one for one in allowed if one.is_required and given.get(one.name, "") == ""]
    if missing:
        raise UsageError(
            f"{tool} needs {' and '.join(f'`{one.name}`' for one in missing)}",
            hint=f"`{missing[0].name}`: {missing[0].help}",
        )
    return {name: _value(known[name], value) for name, value in given.items()}


def _unknown(
    tool: str, unknown: Sequence[str], parameters: Sequence[Parameter], known: Mapping[str, Parameter], acts: str | None
) -> UsageError:
    if acts is not None and any(one.name in unknown and one.is_operators for one in parameters):
        return UsageError("`agent_id` is not yours to give", hint=f"leave it out: every tool acts for you, {acts}")
    named = ", ".join(shown(name) for name in unknown[:_NAMES_MAX])
    return UsageError(f"{tool} has no argument {named}", hint=_meant(unknown[0], list(known)))


def _meant(name: str, known: Sequence[str]) -> str:
    if not known:
        return "it takes no arguments"
    from difflib import get_close_matches

    said = name.lower()[:60]
    meant = next((one for one in known if said in _OFTEN_MEANT.get(one, ())), None)
    close = [meant] if meant else get_close_matches(said, known, n=1)
    every = "its arguments are " + ", ".join(f"`{one}`" for one in known)
    return f"did you mean `{close[0]}`? I{every[1:]}" if close else every


def _value(one: Parameter, value: object) -> object:
    match one.kind:
        case "text":
            return _text(one, value)
        case "number":
            return _number(one, value)
        case "flag":
            return _flag(one, value)
        case "names":
            return _names(one, value)


def _text(one: Parameter, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(one, value, "text in quotes")
    if one.choices and value not in one.choices:
        raise UsageError(f"`{one.name}` {shown(value)} is not known", hint=f"one of: {', '.join(one.choices)}")
    return value


def _number(one: Parameter, value: object) -> int:
    if isinstance(value, str):
        digits = value.strip().removeprefix("#")
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX else value
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**DIGITS_MAX:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(one, value, "a whole number such as 7")
    if not 1 <= value <= (one.most or 10**DIGITS_MAX):
        most = f"from 1 to {one.most}" if one.most else "1 or more"
        raise UsageError(f"`{one.name}` is out of range", hint=f"it is a whole number, {most}")
    return value


def _flag(one: Parameter, value: object) -> bool:
    if isinstance(value, str):
        value = _TRUE_OR_FALSE.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise _wrong(one, value, "true or false")
    return value


def _names(one: Parameter, value: object) -> tuple[str, ...]:
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(one, value, f'a list of names such as ["{one.choices[0]}"]')
    for name in names:
        if name not in one.choices:
            raise UsageError(f"`{one.name}` cannot hold {shown(name)}", hint=f"some of: {', '.join(one.choices)}")
    return tuple(names)


def _wrong(one: Parameter, value: object, needed: str) -> UsageError:
    what = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    said = f"the text {shown(value)}" if isinstance(value, str) else what.get(type(value), "something else")
    return UsageError(f"`{one.name}` has to be {needed}, and is {said}", hint=f"`{one.name}`: {one.help}")
