"""Letta Code's own schedules: `crons.json` in its home folder, version 1 (`letta cron list`).

Read of each task: id, agent_id, conversation_id, name, cron, timezone, recurring, prompt, status, expires_at and
scheduled_for. Its times of one-offs are UTC; its jitter is not taken over.
"""

from __future__ import annotations

import re
from typing import Final

from promptyoself.application.requests import ScheduleRequest
from promptyoself.application.transfer.documents import Members, instant_in, names_of, number_in, shown, text_in
from promptyoself.application.transfer.entries import Entry, Reading, Refusal
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput

PREFIX: Final = "letta-cron:"
_ID_CHARS_MAX: Final = 100
_STAR_STEP: Final = re.compile(r"\*/([0-9]{1,3})")
_DAY, _MONTH = 2, 3
_DAYS_MAX, _MONTHS_MAX = 31, 12
_HINT: Final = "it is the file crons.json of Letta Code, in ~/.letta"


def read_letta_cron(document: object) -> Reading:
    """Return the tasks of a crons.json. Raises InvalidInput when it is another kind of file."""
    if not isinstance(document, dict) or not isinstance(document.get("tasks"), list):
        raise InvalidInput(
            f"it is {names_of(document)}, not Letta's crons: an object with version and tasks", hint=_HINT
        )
    if document.get("version") != 1:
        raise InvalidInput(f"its version is {shown(document.get('version'))}; only 1 is known", hint=_HINT)
    tasks = document["tasks"]
    if len(tasks) > limits.IMPORT_ENTRIES_MAX:
        raise InvalidInput(f"it has {len(tasks)} tasks; at most {limits.IMPORT_ENTRIES_MAX} are read")
    entries: list[Entry] = []
    refused: list[Refusal] = []
    for number, task in enumerate(tasks, start=1):
        source = _source(task, number)
        try:
            entries.append(_entry(task, source))
        except InvalidInput as error:
            refused.append(Refusal(source=source, reason=error.message))
    return Reading(
        entries=tuple(entries), refused=tuple(refused), warnings=_warnings(document, entries), key_prefix=PREFIX
    )


def _source(task: object, number: int) -> str:
    task_id = task.get("id") if isinstance(task, dict) else None
    return f"task {task_id[:_ID_CHARS_MAX]}" if isinstance(task_id, str) and task_id.isprintable() else f"task {number}"


def _entry(task: object, source: str) -> Entry:
    if not isinstance(task, dict):
        raise InvalidInput(f"it is {names_of(task)}, not a task")
    task_id, status = text_in(task, "id"), text_in(task, "status") or "active"
    if task_id is None or len(task_id) > _ID_CHARS_MAX:
        raise InvalidInput("it has no id by which it could be found again")
    if status != "active":
        raise InvalidInput(f"it is {shown(status)} there: only active tasks are imported")
    prompt = text_in(task, "prompt")
    if prompt is None:
        raise InvalidInput("it has no prompt")
    number_in(task, "fire_count")  # a count that is none shows a file that something else wrote
    ends_at = instant_in(task, "expires_at")
    conversation = text_in(task, "conversation_id")
    request = ScheduleRequest(
        agent_id=text_in(task, "agent_id"),
        prompt=prompt,
        timezone=text_in(task, "timezone"),
        name=text_in(task, "name"),
        conversation=None if conversation in {None, "default"} else conversation,
        end_at=ends_at.isoformat() if ends_at else None,
        time=None if _is_recurring(task) else _once(task),
        cron=_cron(task) if _is_recurring(task) else None,
    )
    return Entry(source=source, key=f"{PREFIX}{task_id}", request=request)


def _is_recurring(task: Members) -> bool:
    value = task.get("recurring", True)
    if not isinstance(value, bool):
        raise InvalidInput(f"its recurring is {shown(value)}, neither true nor false")
    return value


def _once(task: Members) -> str:
    at = instant_in(task, "scheduled_for")
    if at is None:
        raise InvalidInput("it fires once, and scheduled_for does not say when")
    return at.isoformat()


def _cron(task: Members) -> str:
    """Return its cron expression in our dialect: there, `*/3` in day and month means 3, 6, 9, not 1, 4, 7."""
    text = text_in(task, "cron")
    if text is None:
        raise InvalidInput("it has no cron expression")
    fields = text.split()
    if len(fields) == 5:  # noqa: PLR2004  other counts are refused with a sentence by those who read cron
        fields[_DAY] = _multiples(fields[_DAY], _DAYS_MAX)
        fields[_MONTH] = _multiples(fields[_MONTH], _MONTHS_MAX)
    return " ".join(fields)


def _multiples(field: str, last: int) -> str:
    def listed(found: re.Match[str]) -> str:
        step = int(found[1])
        if not 1 <= step <= last:
            raise InvalidInput(f"its cron step {found[0]} is outside 1 to {last}")
        return "*" if step == 1 else ",".join(str(value) for value in range(step, last + 1, step))

    return ",".join(_STAR_STEP.sub(listed, part) if _STAR_STEP.fullmatch(part) else part for part in field.split(","))


def _warnings(document: Members, entries: list[Entry]) -> tuple[str, ...]:
    if not entries:
        return ()
    owner = document.get("scheduler_owner")
    pid = owner.get("pid") if isinstance(owner, dict) else None
    running = f" (its scheduler was last process {pid})" if isinstance(pid, int) else ""
    warning = (
        f"Letta Code goes on firing its own tasks{running}: after --apply delete them there (letta cron delete ID), "
        "or both will deliver"
    )
    return (warning,)
