"""A user's crontab, by crontab(5) of Debian: each command becomes a prompt, verbatim.

An entry is known by its command, so that a changed time is an edit and not a second schedule; of equal commands, each
line has a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from promptyoself.application.requests import ScheduleRequest
from promptyoself.application.transfer.documents import shown
from promptyoself.application.transfer.entries import Entry, Reading, Refusal
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.models import Schedule
from promptyoself.domain.triggers import check_timezone
from promptyoself.domain.values import replace

PREFIX: Final = "crontab:"
_VARIABLE: Final = re.compile(r"""\s*(["']?)([A-Za-z_][A-Za-z0-9_]*)\1\s*=\s*(.*?)\s*""")
_LINE: Final = re.compile(r"\s*(?P<rule>@\w+|(?:\S+\s+){4}\S+)\s+(?P<command>\S.*)")
_RULE: Final = re.compile(r"@\w+|[-0-9A-Za-z*,/#?~ ]+")
_ALIASES: Final = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_COMMENTED_OUT: Final = re.compile(r"[@*0-9]")
_USERS: Final = frozenset({"root", "nobody", "daemon", "www-data", "mail", "backup", "postgres", "news", "man", "sys"})


def read_crontab(text: str) -> Reading:
    """Return the entries of a user's crontab. Raises InvalidInput when it has too many lines."""
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > limits.IMPORT_LINES_MAX:
        raise InvalidInput(f"it has {len(lines)} lines; at most {limits.IMPORT_LINES_MAX} are read")
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        reader.take(number, line)
    return Reading(
        entries=tuple(reader.entries),
        refused=tuple(reader.refused),
        warnings=tuple(reader.warnings),
        key_prefix=PREFIX,
    )


def matched(entries: Sequence[Entry], known: Callable[[Entry, str], Schedule | None]) -> list[Entry]:
    """Give lines of the same command the keys of the schedules that they were: by their rule first, then in order.

    So neither a reordered crontab nor one that lost a line changes what stays. `known` finds a schedule by key.
    """
    groups: dict[tuple[str | None, str], list[int]] = {}
    for at, entry in enumerate(entries):
        groups.setdefault((entry.request.agent_id, _first_key(entry)), []).append(at)
    result = list(entries)
    for members in groups.values():
        keys = _keys_of([entries[at] for at in members], known)
        for at, key in zip(members, keys, strict=True):
            result[at] = replace(entries[at], key=key)
    return result


def _keys_of(group: Sequence[Entry], known: Callable[[Entry, str], Schedule | None]) -> list[str]:
    first = _first_key(group[0])
    stored: dict[str, Schedule] = {}
    for number in range(1, limits.IMPORT_ENTRIES_MAX + 1):
        schedule = known(group[0], _numbered(first, number))
        if schedule is None:
            break
        stored[_numbered(first, number)] = schedule
    taken: dict[int, str] = {}
    for at, entry in enumerate(group):
        for key, schedule in stored.items():
            if key not in taken.values() and _is_same_rule(entry, schedule):
                taken[at] = key
                break
    free = (key for number in range(1, len(stored) + len(group) + 1) if (key := _numbered(first, number)))
    used = set(taken.values())
    left = (key for key in free if key not in used)
    return [taken[at] if at in taken else next(left) for at in range(len(group))]


def _is_same_rule(entry: Entry, schedule: Schedule) -> bool:
    trigger = schedule.definition.trigger
    return trigger.expression == entry.request.cron and trigger.timezone == entry.request.timezone


def _first_key(entry: Entry) -> str:
    prefix, _, rest = (entry.key or "").partition(":")
    return f"{prefix}:{rest.partition(':')[0]}"


def _numbered(first: str, number: int) -> str:
    return first if number == 1 else f"{first}:{number}"


class _Reader:
    """Goes through the lines in order: a variable holds for those below it, a comment names the one below it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refused: list[Refusal] = []
        self.warnings: list[str] = []
        self._zone: str | None = None
        self._zone_problem: str | None = None
        self._comment: str | None = None
        self._seen: dict[str, int] = {}

    def take(self, number: int, line: str) -> None:
        stripped = line.strip()
        comment, self._comment = self._comment, None
        if not stripped:
            return
        if stripped.startswith("#"):
            self._comment = stripped.lstrip("#").strip()
        elif variable := _VARIABLE.fullmatch(line):
            self._set(number, variable[2], variable[3].strip("\"'"))
        else:
            self._add(number, line, comment)

    def _set(self, number: int, name: str, value: str) -> None:
        if name != "CRON_TZ":
            self.warnings.append(f"line {number}: {name} is left out: prompts have no environment")
            return
        self._zone, self._zone_problem = value, None
        try:
            check_timezone(value)
        except InvalidInput as error:
            self._zone_problem = f"CRON_TZ in line {number}: {error.message}"

    def _add(self, number: int, line: str, comment: str | None) -> None:
        try:
            entry = self._read(number, line, comment)
        except InvalidInput as error:
            self.refused.append(Refusal(source=f"line {number}", line=number, reason=error.message))
            return
        self.entries.append(entry)

    def _read(self, number: int, line: str, comment: str | None) -> Entry:
        found = _LINE.fullmatch(line)
        if found is None:
            raise InvalidInput("it is no crontab line: five fields (or @daily and its kin), then a command")
        rule = " ".join(found["rule"].split())
        if rule.lower() == "@reboot":
            raise InvalidInput("@reboot names no time: nothing here starts with the machine")
        if not _RULE.fullmatch(rule) or (rule.startswith("@") and rule.lower() not in _ALIASES):
            raise InvalidInput(f"{shown(rule)} is no time of crontab(5)")
        if self._zone_problem is not None:
            raise InvalidInput(self._zone_problem)
        prompt, warnings = _command(found["command"])
        request = ScheduleRequest(prompt=prompt, cron=rule, timezone=self._zone, name=_name(comment))
        return Entry(
            source=f"line {number}", line=number, key=self._key(prompt), request=request, warnings=tuple(warnings)
        )

    def _key(self, prompt: str) -> str:
        digest = blake2b(" ".join(prompt.split()).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        self._seen[digest] = count = self._seen.get(digest, 0) + 1
        return _numbered(f"{PREFIX}{digest}", count)


def _command(text: str) -> tuple[str, list[str]]:
    r"""Return a command up to its first `%` (`\%` is a plain one), and what may surprise."""
    warnings = []
    command, percent, _ = re.sub(r"\\%", "\0", text).partition("%")
    if percent:
        warnings.append(r"what follows % was the command's input and is left out; write \% for a plain %")
    first = command.split(None, 1)[0] if command.strip() else ""
    if first in _USERS:
        warnings.append(
            f"its first word, {first}, looks like the user column of /etc/crontab, which is read as part of the prompt"
        )
    return command.replace("\0", "%"), warnings


def _name(comment: str | None) -> str | None:
    """Return the comment right above an entry as its name, unless it is an entry that was put out of use."""
    if not comment or not comment.isprintable() or len(comment) > limits.IMPORT_NAME_CHARS_MAX:
        return None
    return None if _COMMENTED_OUT.match(comment) else comment
