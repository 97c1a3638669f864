"""What Letta's clients send to schedule something, as options of `register`.

Keys are letta-client's (types/agents/schedule_create_params.py), and three of ours: `timezone` in the schedule,
`conversation_id` beside it, and the notations of cron_expression that Letta Cloud does not know.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from promptyoself.domain.errors import InvalidInput, InvalidTrigger
from promptyoself.interfaces.http.letta.instants import read_scheduled_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptyoself.interfaces.parse import OptionValue

    Options = dict[str, OptionValue | None]

TIMEZONE: Final = "UTC"
"""Letta's zone; a schedule says so itself when it means another."""
EVERY: Final = "@every "
"""Before an interval in a cron_expression."""
RRULE: Final = "RRULE:"
_RULE_BEGINS: Final = ("RRULE", "DTSTART", "FREQ=", "EXDATE", "RDATE")
_CONTENT_KEYS: Final = ("messages", "max_steps", "include_return_message_types", "callback_url")
_DEFAULT_CONVERSATION: Final = "default"
"""Letta's word for an agent's own thread."""
_SCHEDULE_HINT: Final = (
    '{"type": "one-time", "scheduled_at": <milliseconds>} or {"type": "recurring", "cron_expression": "0 9 * * *"}'
)


def read_json(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body is. Raises InvalidInput."""
    try:
        document = json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise InvalidInput("the body is JSON nested too deep") from None
    except ValueError:
        raise InvalidInput(
            "the body is not JSON", hint='send {"messages": [...], "schedule": {...}} in UTF-8'
        ) from None
    if not isinstance(document, dict):
        raise InvalidInput("the body is not a JSON object", hint='send {"messages": [...], "schedule": {...}}')
    return document


def read_order(agent_id: str, body: Mapping[str, Any], query: Mapping[str, str]) -> Options:
    """Return what a request to schedule says, as options of `register`. Raises kin of InvalidInput."""
    schedule = body.get("schedule")
    if not isinstance(schedule, dict):
        raise InvalidInput("the schedule is missing, or no object", hint=_SCHEDULE_HINT)
    return {
        "agent_id": agent_id,
        "target": "letta",
        **_rule(schedule),
        "timezone": _one_text("timezone", schedule, query) or TIMEZONE,
        "conversation": _conversation(body, query),
        **_said(body),
    }


def _rule(schedule: Mapping[str, Any]) -> Options:
    """Return the trigger's option. `type` may be left out where the other key tells, as it may in Letta's."""
    at, cron = schedule.get("scheduled_at"), schedule.get("cron_expression")
    if at is not None and cron is not None:
        raise InvalidInput("the schedule has both scheduled_at and cron_expression", hint=_SCHEDULE_HINT)
    kind = schedule.get("type") or ("recurring" if at is None and cron is not None else "one-time")
    if kind == "one-time" and at is not None:
        return {"time": read_scheduled_at(at).isoformat()}
    if kind == "recurring" and cron is not None:
        return _recurring(cron)
    raise InvalidInput("the schedule does not say when", hint=_SCHEDULE_HINT)


def _recurring(expression: object) -> Options:
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidTrigger("cron_expression is not a text", hint='five fields, such as "0 9 * * mon-fri"')
    said = expression.strip()
    if said.lower().startswith(EVERY):
        return {"every": said[len(EVERY) :].strip()}
    if said.upper().startswith(_RULE_BEGINS):
        return {"rrule": said}
    return {"cron": said}


def _said(body: Mapping[str, Any]) -> Options:
    """Return what is to be sent: one plain message of the user's is a prompt, everything else a content."""
    messages = body.get("messages")
    content = {key: body[key] for key in _CONTENT_KEYS if body.get(key) is not None}
    if messages is None:
        raise InvalidInput("the messages are missing", hint='[{"role": "user", "content": "..."}]')
    if not _is_plain(messages):
        return {"content": json.dumps(content)}
    del content["messages"]
    return {"prompt": messages[0]["content"], "content": json.dumps(content) if content else None}


def _is_plain(messages: object) -> bool:
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], dict):
        return False
    given = {
        key: value for key, value in messages[0].items() if value is not None and (key, value) != ("type", "message")
    }
    return given.keys() == {"role", "content"} and given["role"] == "user" and isinstance(given["content"], str)


def _conversation(body: Mapping[str, Any], query: Mapping[str, str]) -> str | None:
    said = _one_text("conversation_id", body, query)
    return None if said == _DEFAULT_CONVERSATION else said


def _one_text(key: str, members: Mapping[str, Any], query: Mapping[str, str]) -> str | None:
    """Return a text that may stand in the body or in the query; not two different ones."""
    given = [one for one in (members.get(key), query.get(key)) if one is not None and one != ""]
    if not given:
        return None
    if not all(isinstance(one, str) for one in given):
        raise InvalidInput(f"{key} is not a text")
    if len(set(given)) > 1:
        raise InvalidInput(f"the body and the query say two different things of {key}", hint="say it once")
    return str(given[0])


def _no_number(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are not JSON
