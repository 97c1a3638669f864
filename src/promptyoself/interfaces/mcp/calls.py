"""What each tool does: which commands it carries out with what it was given, and what of their answers it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from promptyoself.application.rules import read_when
from promptyoself.domain import limits
from promptyoself.domain.errors import UsageError
from promptyoself.interfaces import wire
from promptyoself.interfaces.phrases import counted, excerpt

if TYPE_CHECKING:
    from promptyoself.interfaces.door import Door
    from promptyoself.interfaces.identity import Identity
    from promptyoself.interfaces.mcp.arguments import Given
    from promptyoself.interfaces.wire import Document


_QUOTES: Final = "'\"`"
"""Models quote a text within its quotes; nobody means anything by it."""


class Ask:
    """One call: who asks, what was given, and the commands that answer it. Blocks; runs in a thread of its own."""

    def __init__(self, door: Door, identity: Identity, given: Given) -> None:
        self.given = given
        self._door = door
        self._identity = identity

    def do(self, command: str, **options: Any) -> Document:  # noqa: ANN401  values of options are checked by the door
        """Carry a command out. Raises PromptyoselfError."""
        return self._door.answer(command, options, self._identity)

    def pick(self, *names: str) -> dict[str, Any]:
        """Return arguments that a command has under the same names. An empty text is not given."""
        return {name: self.given[name] for name in names if self.given.get(name, "") != ""}

    def now(self) -> Document:
        """Return what every answer carries."""
        services = self._door.services
        timezone = services.defaults.timezone
        return {"now": wire.instant(services.clock.now(), timezone), "timezone": timezone}

    def when(self) -> dict[str, Any]:
        """Return `when` and `timezone` as options. Raises InvalidTrigger for what could be once or again and again."""
        said = self.given.get("when", "").strip()
        if not said:
            return self.pick("timezone")
        if said[0] in "{[":
            raise UsageError(
                "`when` is JSON, and has to be one text",
                hint='write the rule alone, such as "0 9 * * mon-fri" or "every weekday at 9am"',
            )
        services = self._door.services
        timezone = self.given.get("timezone")
        option, text = read_when(
            said[1:-1] if len(said) > 1 and said[0] == said[-1] and said[0] in _QUOTES else said,
            timezone=timezone or services.defaults.timezone,
            now=services.clock.now(),
            is_timezone_given=bool(timezone),
        )
        return {option: text, **self.pick("timezone")}


def schedule_prompt(ask: Ask) -> Document:
    """Store a schedule."""
    options = ask.pick("agent_id", "name", "key", "start_at", "end_at", "max_repetitions", "quiet_hours", "target")
    return ask.do("register", prompt=ask.given["prompt"], **ask.when(), **options)


def list_schedules(ask: Ask) -> Document:
    """List schedules, or show one."""
    if "schedule_id" in ask.given:
        return _one(ask)
    found = ask.do(
        "list",
        outlook=True,
        soonest=True,
        limit=limits.MCP_ROWS_MAX,
        all=ask.given.get("include_finished") or None,
        **ask.pick("agent_id"),
    )
    rows = found["schedules"]
    for row in rows:
        row["prompt_text"] = excerpt(row["prompt_text"], limits.MCP_EXCERPT_CHARS_MAX)
    message = f"{counted(found['count'], 'schedule')}."
    if found["count"] > len(rows):
        message += f" The {len(rows)} that fire next are shown; give `schedule_id` to see another."
    elif not rows and not ask.given.get("include_finished"):
        message = "No schedule is active or paused. `include_finished` true shows those that are over."
    return found | {"schedules": rows, "message": message}


def _one(ask: Ask) -> Document:
    found = ask.do("show", id=ask.given["schedule_id"])
    one = found["schedule"] | {"next_runs": found["next_runs"], "description": found["description"]}
    message = f"Schedule {one['id']} is {one['state']}."
    return found | {"schedules": [one], "count": 1, "message": message, "timezone": one["timezone"]}


def preview(ask: Ask) -> Document:
    """Say when a rule or a schedule fires."""
    if bool(ask.given.get("when")) == ("schedule_id" in ask.given):
        raise UsageError(
            "preview_schedule needs either `when` or `schedule_id`",
            hint='`when` for a rule such as "every weekday at 9am", `schedule_id` for a stored schedule',
        )
    options = ask.pick("start_at", "end_at", "max_repetitions", "quiet_hours", "count")
    found = ask.do("preview", id=ask.given.get("schedule_id"), **ask.when(), **options)
    runs = found["runs"]
    first = f"The first of {counted(len(runs), 'fire time')}: {runs[0]['at']}" if runs else "It does not fire"
    return found | {"message": f"{first}. Nothing was stored."}


def update(ask: Ask) -> Document:
    """Change a schedule."""
    changes = ask.pick("prompt", "name", "start_at", "end_at", "max_repetitions", "quiet_hours")
    cleared: dict[str, Any] = {
        name: 0 if name == "max_repetitions" else "" for name in ask.given.get("clear", ()) if name not in changes
    }
    return _with_zone(ask.do("update", id=ask.given["schedule_id"], **ask.when(), **changes, **cleared))


def pause(ask: Ask) -> Document:
    """Pause a schedule."""
    return _with_zone(ask.do("pause", id=ask.given["schedule_id"], **ask.pick("until", "reason")))


def resume(ask: Ask) -> Document:
    """Resume a schedule."""
    return _with_zone(ask.do("resume", id=ask.given["schedule_id"]))


def cancel(ask: Ask) -> Document:
    """Cancel a schedule."""
    return _with_zone(ask.do("cancel", id=ask.given["schedule_id"]))


def _with_zone(found: Document) -> Document:
    """Give an answer about one schedule its zone; a long prompt is cut, for it is known."""
    cut = excerpt(found["schedule"]["prompt_text"], limits.MCP_EXCERPT_CHARS_MAX)
    return {"timezone": found["schedule"]["timezone"], **found, "schedule": found["schedule"] | {"prompt_text": cut}}


def run_now(ask: Ask) -> Document:
    """Deliver now."""
    return ask.do("run-now", id=ask.given["schedule_id"])


def history(ask: Ask) -> Document:
    """Show deliveries."""
    found = ask.do("history", id=ask.given["schedule_id"], limit=ask.given.get("limit", 10))
    if found["deliveries"]:
        newest = found["deliveries"][0]
        message = f"{counted(found['count'], 'delivery record')}; the newest is {newest['state']}."
    else:
        message = "Nothing was delivered yet, and nothing is on its way."
    return _beside(ask, found | {"message": message})


def why(ask: Ask) -> Document:
    """Tell what happened."""
    found = ask.do("why", id=ask.given["schedule_id"], limit=ask.given.get("limit", 20))
    return _beside(ask, found | {"message": f"What is recorded of schedule {found['id']}:"})


def _beside(ask: Ask, found: Document) -> Document:
    """Add how the schedule stands now: its rule, its next fires, what may surprise."""
    now = ask.do("show", id=ask.given["schedule_id"])
    ahead = {name: now[name] for name in ("now", "description", "next_runs", "warnings")}
    return {"timezone": now["schedule"]["timezone"], **found, **ahead}


def inbox(ask: Ask) -> Document:
    """Read the mailbox."""
    limit = ask.given.get("limit", 5)
    found = ask.do(
        "inbox",
        all=ask.given.get("include_acknowledged") or None,
        limit=limit + 1,
        **ask.pick("agent_id"),
    )
    kept = _that_fit(found["messages"][:limit])
    message = f"{counted(len(kept), 'message')}. Do what each asks, then acknowledge it with ack."
    return found | {
        "messages": kept,
        "is_more": len(found["messages"]) > len(kept),
        "message": message if kept else "The mailbox is empty.",
    }


def _that_fit(messages: list[Document]) -> list[Document]:
    """Return the first messages whose prompts one answer can hold; the first in any case."""
    left = limits.MCP_ANSWER_CHARS_MAX
    kept: list[Document] = []
    for one in messages:
        left -= len(one["prompt"])
        if left < 0 and kept:
            break
        kept.append(one)
    return kept


def ack(ask: Ask) -> Document:
    """Acknowledge a message."""
    found = ask.do("ack", id=ask.given["message_id"])
    message_id = found["message"]["id"]
    return found | {
        "message_id": message_id,
        "message": f"Message {message_id} is acknowledged; it is not shown again.",
    }


def claim(ask: Ask) -> Document:
    """Claim a key."""
    found = ask.do("claim-once", key=ask.given["key"], **{"for": ask.given.get("lasts")}, **ask.pick("agent_id"))
    return ask.now() | found


def on_time(ask: Ask) -> Document:
    """Say how the agent stands."""
    return ask.do("on-time", **ask.pick("agent_id"))
