"""The tools: their names, descriptions, arguments and hints, said for models; and which command each one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from promptyoself.domain import limits
from promptyoself.interfaces.identity import Identity
from promptyoself.interfaces.mcp import answers, calls
from promptyoself.interfaces.mcp.arguments import Parameter
from promptyoself.interfaces.wire import Document

WHEN_HELP: Final = (
    'Once: "in 45 minutes", "tomorrow at 9am", "next friday at 15:00", or ISO 8601 such as "2030-01-31T09:00" (read in '
    '`timezone`) or "2030-01-31T09:00:00Z". Again and again: "every 45 minutes", "every weekday at 9am", "every monday '
    'at 18:00", "first monday of every month at 10:00", five cron fields such as "0 9 * * mon-fri", or an RFC 5545 '
    'rule such as "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9". Always say am or pm, or write 24 hours as 09:00.'
)
_INSTANT_HELP: Final = 'as "2030-01-31T09:00" (read in `timezone`) or "next friday at 15:00"'
_TIMEZONE: Final = Parameter(
    "timezone",
    'IANA time zone in which `when` is meant, such as "Europe/Riga" or "America/New_York", not "EST" or "+02:00". Give '
    "your user's; without it the server's own zone is used, and the answer names it.",
)
_AGENT: Final = Parameter("agent_id", 'the agent meant, such as "agent-3f..."', is_required=True, is_operators=True)
_SCHEDULE: Final = Parameter(
    "schedule_id",
    "the schedule's number, such as 7, as schedule_prompt and list_my_schedules give it",
    "number",
    is_required=True,
)
_PROMPT: Final = Parameter(
    "prompt",
    "the text that will reach you, verbatim. Write it to a self that remembers nothing of now: what to do, for whom, "
    "why, and where to look.",
)
_WHEN: Final = Parameter("when", WHEN_HELP)
_START: Final = Parameter("start_at", f"do not fire before this, {_INSTANT_HELP}")
_END: Final = Parameter("end_at", f"do not fire after this, {_INSTANT_HELP}")
_REPETITIONS: Final = Parameter("max_repetitions", "stop after this many deliveries, such as 10", "number")
_QUIET: Final = Parameter(
    "quiet_hours", 'hours in which nothing is sent, such as "22:00-07:00", in `timezone`; what falls into them waits'
)
_NAME: Final = Parameter("name", 'a short name for lists, such as "standup"')
_CLEARED: Final = ("name", "start_at", "end_at", "max_repetitions", "quiet_hours")


class Tool(NamedTuple):
    """A tool: how it is offered, what it does (`run`), and what of that is shown (`shows`)."""

    name: str
    title: str
    help: str
    parameters: Sequence[Parameter]
    shows: type[answers.Answer]
    run: Callable[[calls.Ask], Document]
    is_read_only: bool = False
    is_destructive: bool = False
    is_idempotent: bool = False

    def parameters_for(self, identity: Identity | None) -> list[Parameter]:
        """Return the arguments that a caller is offered; None: one whose agent is named later, call by call."""
        is_operator = identity is not None and identity.is_operator
        return [one for one in self.parameters if is_operator or not one.is_operators]


TOOLS: Final = (
    Tool(
        "schedule_prompt",
        "Schedule a prompt",
        "Send yourself a prompt at a later time, once or again and again. It reaches you as a message of its own, also "
        "when nobody talks to you then. Read `next_runs` and `warnings` of the answer: they say when, in which time "
        "zone. The scheduled run must not call this again for the same thing.",
        (
            _AGENT,
            _PROMPT._replace(is_required=True),
            _WHEN._replace(is_required=True),
            _TIMEZONE,
            _NAME,
            Parameter(
                "key",
                'your own word for it, such as "daily-report": with it, calling this again updates the schedule and '
                "makes no second one",
            ),
            _START,
            _END,
            _REPETITIONS,
            _QUIET,
            Parameter(
                "target",
                "letta (default): it arrives as a message; inbox: it waits in a mailbox until you call read_inbox",
                choices=("letta", "inbox"),
            ),
        ),
        answers.Scheduled,
        calls.schedule_prompt,
    ),
    Tool(
        "list_my_schedules",
        "List my schedules",
        "List your schedules with their numbers, rules and next fire times, the next first; or show one in full.",
        (
            _AGENT._replace(is_required=False, help="only this agent's schedules"),
            _SCHEDULE._replace(is_required=False, help="show this one alone, in full; its number, such as 7"),
            Parameter("include_finished", "true: completed and cancelled ones too", "flag"),
        ),
        answers.Listed,
        calls.list_schedules,
        is_read_only=True,
    ),
    Tool(
        "preview_schedule",
        "Preview a schedule",
        "Say what `when` means and when it would fire, and store nothing; or show the coming fire times of a schedule "
        "by its `schedule_id`. Give one of the two. Call it before schedule_prompt when you are not sure.",
        (
            _WHEN,
            _TIMEZONE,
            _SCHEDULE._replace(is_required=False, help="a stored schedule's number, such as 7, in place of `when`"),
            Parameter("count", "how many fire times to show, 1 to 50 (default 5)", "number", most=limits.MCP_ROWS_MAX),
            _START,
            _END,
            _REPETITIONS,
            _QUIET,
        ),
        answers.Previewed,
        calls.preview,
        is_read_only=True,
    ),
    Tool(
        "update_schedule",
        "Change a schedule",
        "Change what you give of a schedule and leave the rest as it is.",
        (
            _SCHEDULE,
            _PROMPT,
            _WHEN,
            _TIMEZONE,
            _NAME,
            _START,
            _END,
            _REPETITIONS,
            _QUIET,
            Parameter("clear", 'what to take away, such as ["end_at"]', "names", choices=_CLEARED),
        ),
        answers.Changed,
        calls.update,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        "pause_schedule",
        "Pause a schedule",
        "Stop a schedule for a while; nothing is lost, and resume_schedule lets it go on.",
        (
            _SCHEDULE,
            Parameter("until", f"go on by itself at this time, {_INSTANT_HELP.replace('`timezone`', 'its zone')}"),
            Parameter("reason", "why, for people and for yourself later"),
        ),
        answers.Changed,
        calls.pause,
        is_idempotent=True,
    ),
    Tool(
        "resume_schedule",
        "Resume a schedule",
        "Let a paused schedule go on, from now.",
        (_SCHEDULE,),
        answers.Changed,
        calls.resume,
        is_idempotent=True,
    ),
    Tool(
        "cancel_schedule",
        "Cancel a schedule",
        "End a schedule for good. A delivery that is in flight is the last. To stop for a while, use pause_schedule.",
        (_SCHEDULE,),
        answers.Changed,
        calls.cancel,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        "run_now",
        "Deliver now",
        "Deliver a schedule's prompt once more, now; the schedule stays as it is. It reaches you as a new message when "
        "you have finished this turn.",
        (_SCHEDULE,),
        answers.Sent,
        calls.run_now,
    ),
    Tool(
        "schedule_history",
        "History of a schedule",
        "Show what became of a schedule's deliveries, newest first: when each was planned and when it arrived, every "
        "attempt, and how late (lateness_ms, in milliseconds).",
        (_SCHEDULE, Parameter("limit", "how many, 1 to 50 (default 10)", "number", most=limits.MCP_ROWS_MAX)),
        answers.History,
        calls.history,
        is_read_only=True,
    ),
    Tool(
        "why",
        "Why it did or did not fire",
        "Say in sentences what happened to a schedule, and why it did or did not fire.",
        (_SCHEDULE, Parameter("limit", "how many records, 1 to 50 (default 20)", "number", most=limits.MCP_ROWS_MAX)),
        answers.Why,
        calls.why,
        is_read_only=True,
    ),
    Tool(
        "read_inbox",
        "Read my mailbox",
        "Read the prompts that wait in your mailbox (those scheduled with `target` inbox), oldest first. Reading does "
        "not remove them: call ack for each that you have dealt with.",
        (
            _AGENT,
            Parameter("include_acknowledged", "true: those that were acknowledged too", "flag"),
            Parameter("limit", "how many, 1 to 50 (default 5)", "number", most=limits.MCP_ROWS_MAX),
        ),
        answers.Inbox,
        calls.inbox,
        is_read_only=True,
    ),
    Tool(
        "ack",
        "Acknowledge a message",
        "Mark a message of your mailbox as dealt with, so that read_inbox does not show it again.",
        (
            Parameter(
                "message_id",
                "the message's number, such as 3, as read_inbox gives it; not a schedule_id",
                "number",
                is_required=True,
            ),
        ),
        answers.Acked,
        calls.ack,
        is_idempotent=True,
    ),
    Tool(
        "claim_once",
        "Do a thing only once",
        "Ask before you do something that must not be done twice, such as sending a mail: `claimed` true says that "
        "this is the first time, false that you did it before; then do not do it again.",
        (
            Parameter(
                "key",
                'names the thing, such as "invoice-2030-01 mailed to anna"; the same thing always has the same key',
                is_required=True,
            ),
            Parameter("lasts", 'how long the claim stands, such as "24h" or "30d" (default 30d)'),
            _AGENT,
        ),
        answers.Claimed,
        calls.claim,
    ),
    Tool(
        "am_i_on_time",
        "Am I on time?",
        "Say what time it is, which scheduled prompt you are working on now and how late it came (late_s, in seconds), "
        "how many fire times were missed before it, and what comes next.",
        (_AGENT,),
        answers.OnTime,
        calls.on_time,
        is_read_only=True,
    ),
)


def find_tool(name: str) -> Tool | None:
    """Return the tool of this name, or None."""
    return next((tool for tool in TOOLS if tool.name == name), None)
