"""Every command and option, said once: parser, help text, SMCP's description and the docs' test read this table.

Over 500 lines, for it is a table, a few lines an option: those of schedules and deliveries, which share most of theirs.
Other nouns have files of their own.
"""

from __future__ import annotations

from typing import Final

from promptyoself.interfaces.commands_access import CLAIM_ONCE, TOKENS
from promptyoself.interfaces.commands_letta import LETTA
from promptyoself.interfaces.commands_transfer import SKIP_ON, TRANSFER
from promptyoself.interfaces.table import Argument, Command, Option

__all__ = ["COMMANDS", "GLOBALS", "Argument", "Command", "Option", "find_command"]

GLOBALS: Final = (
    Option("json", "print one JSON object, as when stdout is no terminal", "flag", is_tool=False),
    Option(
        "db",
        "the database: a file, or postgresql://user@host:5432/name (else PROMPTYOSELF_DB)",
        is_tool=False,
        is_operators=True,
        completes="file",
    ),
    Option("base-url", "Letta's URL (else LETTA_BASE_URL)", is_tool=False, is_operators=True),
    Option("help", "explain a command", "flag", is_tool=False),
)

_ID = Option("id", "the schedule's id, as `list` shows it", "id", is_required=True, completes="schedule")
_AGENT = Option("agent-id", "the agent to deliver to (default: LETTA_AGENT_ID)")
_PROMPT = Option("prompt", "the text to deliver, verbatim")
_CONTENT = Option(
    "content",
    "what to send besides a plain prompt, as a JSON object: messages (in place of --prompt), max_steps, "
    "include_return_message_types, callback_url",
    is_tool=False,
)
_SKIP_VALIDATION = Option("skip-validation", "do not ask Letta whether the agent exists", "flag")
_TIMEZONE = Option(
    "timezone",
    "IANA time zone of the rule, such as Europe/Riga (default: the setting, then the machine's)",
    completes="timezone",
)
_TRIGGERS = (
    Option(
        "time",
        'once: "in 45 minutes", "tomorrow 9am", "next friday 15:00 Europe/Paris", or ISO 8601 as 2030-01-31T09:00',
    ),
    Option("cron", 'by five cron fields (minute hour day month weekday), "0 9 * * mon-fri", or @daily and its kin'),
    Option(
        "every",
        'at an interval (90s, 5m, 1h30m, 2d, PT45M; it never drifts), or in words: "weekday at 9am", "day at noon"',
    ),
    Option("rrule", 'by an RFC 5545 rule: "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9"'),
    _TIMEZONE,
    Option("start-at", "do not fire before this date and time, as in --time; an interval counts from it"),
    Option("end-at", "do not fire after this date and time, as in --time"),
    Option("jitter", "spread deliveries over this long after each fire time: 5m"),
)
_MAX_REPETITIONS = Option(
    "max-repetitions", "complete after this many deliveries (0 in an update: no end)", "count", allows_zero=True
)
_QUIET_HOURS = Option(
    "quiet-hours", 'hours in which nothing is sent: "22:00-07:00", with days and hold (default) or skip'
)
_POLICIES = (
    _MAX_REPETITIONS,
    Option("name", "a short name, shown to people and to the agent"),
    Option("key", "your own key, unique for each agent: registering it again updates the schedule"),
    Option(
        "target",
        "where to deliver: letta (default), or inbox (a mailbox that the agent reads with `inbox`)",
        choices=("letta", "inbox"),
    ),
    Option("conversation", "a Letta conversation: an id, or `new` for a fresh one each time", choices=("new",)),
    Option(
        "catch-up",
        "fire times missed while nothing ran: skip, latest (default) or all; all:6h bounds how old",
        choices=("skip", "latest", "all"),
    ),
    Option(
        "overlap", "when the delivery before is still in flight: skip (default) or queue", choices=("skip", "queue")
    ),
    _QUIET_HOURS,
    SKIP_ON,
    Option("retry-for", "how long to try when Letta is away or the agent busy (default 24h)"),
    Option("expires-after", "give a delivery up when it could not go out this long after its time"),
    Option(
        "envelope",
        "what the agent is told besides the prompt: none, brief (default) or full",
        choices=("none", "brief", "full"),
    ),
    Option(
        "replies",
        "what becomes of a last line such as [promptyoself 7f3a: again in 3h] in the agent's answer: ignore (default) "
        "or obey",
        choices=("ignore", "obey"),
    ),
)
_DEFINITION = (_AGENT, _PROMPT, _CONTENT, *_TRIGGERS, *_POLICIES, _SKIP_VALIDATION)
_IDEMPOTENCY_KEY = Option(
    "idempotency-key",
    "your own word for this call: within 24 h the same call with it makes nothing new, and says so",
    is_tool=False,
)
_REASON = Option("reason", "why, for people to read")
_IF_MATCH = Option(
    "if-match", "refuse it unless the schedule is still as you saw it: its etag, as `show` gives it", is_tool=False
)
_CURSOR = Option("cursor", "go on behind a page: next_cursor of its answer", is_tool=False)
_STATES = ("pending", "leased", "accepted", "unknown", "delivered", "dead", "skipped", "cancelled")
_LIMIT = Option("limit", "show at most this many (default 100)", "count")

COMMANDS: Final = (
    Command(
        "register",
        "Schedule a prompt for an agent: once, by cron, at an interval, or by an RFC 5545 rule. Give exactly one of "
        "--time, --cron, --every and --rrule.",
        "cli_schedules:register",
        (
            _AGENT,
            _PROMPT._replace(is_required=True, stands_in="content"),
            *_DEFINITION[2:],
            _IDEMPOTENCY_KEY,
        ),
        is_tool=True,
        example='register --agent-id agent-... --prompt "Look over the notes." --cron "0 9 * * mon-fri"',
    ),
    Command(
        "register-all",
        "Make up to 10000 schedules at once from a JSON file, all or none: an object with `schedules`, a list of what "
        "register takes.",
        "cli_bulk:register_all",
        (_IDEMPOTENCY_KEY,),
        example="register-all schedules.json",
        arguments=(Argument("file", "the file to read; - for stdin", completes="file"),),
    ),
    Command(
        "list",
        "List schedules and when each fires next.",
        "cli_schedules:list_schedules",
        (
            Option("agent-id", "only this agent's schedules"),
            Option("all", "finished and cancelled ones too", "flag"),
            Option("outlook", "with each its rule in words and its next three fire times", "flag", is_tool=False),
            Option(
                "full-content", "with each what it sends besides one plain prompt, images too", "flag", is_tool=False
            ),
            Option("soonest", "what fires next first, then what does not, the newest first", "flag", is_tool=False),
            Option(
                "state",
                "only those: active, paused, completed or cancelled; several with commas",
                is_tool=False,
                choices=("active", "paused", "completed", "cancelled"),
            ),
            Option(
                "type",
                "only those that fire once, by cron, interval or rrule; several with commas",
                is_tool=False,
                choices=("once", "cron", "interval", "rrule"),
            ),
            Option("target", "only those with this target", is_tool=False, choices=("letta", "inbox")),
            Option("key", "only those with this key", is_tool=False),
            Option("name", "only those with this in their name", is_tool=False),
            Option("owner", "only those made by this agent, or by `operator`", is_tool=False),
            Option(
                "next-from",
                "only active ones that fire next at this date and time, or with this day, or later",
                is_tool=False,
            ),
            Option(
                "next-until",
                "only active ones that fire next at this date and time, or with this day, or before",
                is_tool=False,
            ),
            _LIMIT._replace(help="show at most this many (default: all, at most 10000)", is_tool=False),
            _CURSOR,
        ),
        is_tool=True,
        example="list --all",
    ),
    Command("show", "Show one schedule in full.", "cli_schedules:show", (_ID,), is_tool=True, example="show --id 7"),
    Command(
        "history",
        "Show a schedule's deliveries with every attempt: the receipts.",
        "cli_deliveries:history",
        (_ID, _LIMIT, _CURSOR),
        is_tool=True,
        example="history --id 7",
    ),
    Command(
        "why",
        "Say in sentences what happened to a schedule, and why it did or did not fire.",
        "cli_deliveries:explain",
        (_ID, _LIMIT),
        is_tool=True,
        example="why --id 7",
    ),
    Command(
        "journal",
        "Show what happened, of all schedules or of one, oldest first.",
        "cli_journal:journal",
        (
            Option("after", "only what came after this event (default: the newest)", "count", allows_zero=True),
            Option("id", "only this schedule", "id", completes="schedule"),
            Option("agent-id", "only this agent's schedules"),
            Option("events", "only these, such as fired,failed,dead"),
            _LIMIT,
        ),
        example="journal --events failed,dead",
    ),
    Command(
        "cancel",
        "Cancel a schedule for good. A delivery that is in flight is the last.",
        "cli_schedules:cancel",
        (_ID, _IF_MATCH),
        is_tool=True,
        example="cancel --id 7",
    ),
    Command(
        "pause",
        "Pause a schedule, or with --all stop every delivery at once and leave the schedules as they are.",
        "cli_schedules:pause",
        (
            _ID._replace(is_required=False),
            Option("all", "stop all deliveries", "flag", is_tool=False, is_operators=True),
            Option("until", 'resume by itself at this date and time: "monday at 9:00", or ISO 8601'),
            _REASON,
            _IF_MATCH,
        ),
        is_tool=True,
        example='pause --id 7 --until 2030-01-31T09:00 --reason "on holiday"',
    ),
    Command(
        "resume",
        "Resume a paused schedule, or with --all let deliveries go on.",
        "cli_schedules:resume",
        (
            _ID._replace(is_required=False),
            Option("all", "let all deliveries go on", "flag", is_tool=False, is_operators=True),
            _IF_MATCH,
        ),
        is_tool=True,
        example="resume --id 7",
    ),
    Command(
        "update",
        "Change what you name of a schedule and leave the rest; an empty value clears what can be cleared.",
        "cli_schedules:update",
        (
            _ID,
            *_DEFINITION,
            Option("revision", "refuse the change unless the schedule is still at this revision", "count"),
            _IF_MATCH,
        ),
        is_tool=True,
        example='update --id 7 --cron "30 8 * * mon-fri"',
    ),
    Command(
        "preview",
        "Show when a rule would fire, and store nothing. Give exactly one of --time, --cron, --every and --rrule, or "
        "--id.",
        "cli_preview:preview",
        (
            _ID._replace(is_required=False),
            *_TRIGGERS,
            _MAX_REPETITIONS,
            _QUIET_HOURS,
            Option("count", "how many fire times to show (default 5)", "count"),
            Option("from", "begin at this date and time, or with this day (default: now)"),
            Option("until", "end at this date and time, or with this day"),
            SKIP_ON,
        ),
        is_tool=True,
        example='preview --cron "0 9 L * *" --timezone Europe/Riga --count 3',
    ),
    Command(
        "explain",
        "Say what a text for a rule means, in words and field by field, when it fires, and what may surprise within a "
        "year. It takes cron, an interval, a date and time, an RFC 5545 rule or plain words, and stores nothing.",
        "cli_explain:explain",
        (_TIMEZONE, Option("count", "how many fire times to show (default 5)", "count")),
        example='explain "0 0 13 * 5" --timezone Europe/Riga',
        arguments=(Argument("text", 'the rule: "0 0 13 * 5", 45m, 2030-01-31T09:00, FREQ=..., "weekday at 9am"'),),
    ),
    Command(
        "simulate",
        "Show every fire time of the stored schedules over a span and what would become of it, and store nothing.",
        "cli_simulate:run",
        (
            Option("id", "only this schedule; may be given again, or as 7,9", "texts", completes="schedule"),
            Option("agent-id", "only this agent's schedules"),
            Option("from", "begin at this date and time, or with this day (default: now)"),
            Option("until", "end at this date and time, or with this day"),
            Option("for", "end after this long: 12h, 1w, 365d (default 7d)"),
            Option(
                "outage",
                "nothing plans or sends from one date and time to another, as FROM/TO or FROM/8h; may be given again",
                "texts",
            ),
            Option("run-time", "how long an agent works on a prompt (default 30s; 0: no time)"),
            Option("timezone", "IANA time zone of the days, and of times without an offset", completes="timezone"),
            Option(
                "limit", "list at most this many fire times (default 100); sums count all", "count", allows_zero=True
            ),
        ),
        example="simulate --for 30d --outage 2030-01-31T09:00/8h",
    ),
    Command(
        "run-now",
        "Deliver a schedule's prompt once more, now, and leave the schedule alone.",
        "cli_schedules:run_now",
        (_ID,),
        is_tool=True,
        example="run-now --id 7",
    ),
    Command(
        "skip",
        "Leave the next fire times of a schedule out; it goes on after them.",
        "cli_coming:skip",
        (_ID, Option("count", "how many fire times (default 1, at most 100)", "count"), _REASON, _IF_MATCH),
        example='skip --id 7 --count 2 --reason "holiday"',
    ),
    Command(
        "snooze",
        "Put off what is next of a schedule: what waits unsent, else what is in flight, else the next fire.",
        "cli_coming:snooze",
        (
            _ID,
            Option("for", "how much later: 30m, 2h, 1d; counted from when it would have come, or from now"),
            Option("until", "or until this date and time"),
            _IF_MATCH,
        ),
        example="snooze --id 7 --for 30m",
    ),
    Command(
        "execute",
        "Deliver what is due: one pass, one attempt for each due delivery; or with --loop for as long as it runs.",
        "cli_execute:execute",
        (
            Option(
                "loop",
                "keep running and deliver at the due instants, until SIGINT or SIGTERM",
                "flag",
                is_tool=False,
                is_operators=True,
            ),
            Option("interval", "seconds between safety passes of a loop (default 60)", "seconds", is_tool=False),
            Option(
                "wait", "seconds to follow the agents' runs of a single pass (default 30)", "seconds", allows_zero=True
            ),
        ),
        is_tool=True,
        example="execute --loop",
        is_for_hand=True,
    ),
    Command(
        "serve",
        "Deliver, and answer over HTTP, in one process until SIGINT or SIGTERM: on this machine alone unless told "
        "otherwise. It needs the extra: pip install 'promptyoself[serve]'.",
        "serve:serve",
        (
            Option("host", "the address to listen at (default 127.0.0.1: this machine alone)"),
            Option("port", "the port (default 8289; 0: any free one)", "count", allows_zero=True),
            Option("tls-cert", "the certificate's file (PEM), for HTTPS", completes="file"),
            Option("tls-key", "the file of its key, when it is another", completes="file"),
            Option(
                "allow-plain-http",
                "listen beyond this machine without TLS, as behind a proxy that speaks it",
                "flag",
            ),
            Option(
                "allowed-host",
                "a further name by which it may be called, such as prompts.example.org; may be given again",
                "texts",
            ),
            Option("interval", "seconds between safety passes (default 60)", "seconds"),
            Option(
                "no-deliveries", "open the doors alone, and leave planning and delivering to other processes", "flag"
            ),
        ),
        example="serve",
        is_operators=True,
    ),
    Command(
        "worker",
        "Deliver from a PostgreSQL database, with any number of others, until SIGINT or SIGTERM; it has no doors. It "
        "needs the extra: pip install 'promptyoself[fleet]'.",
        "worker:worker",
        (
            Option("interval", "seconds between safety passes (default 60)", "seconds"),
            Option("concurrency", "agents that this worker works for at once (default 10000)", "count"),
            Option(
                "health-port",
                "answer /healthz, /readyz and /metrics at this port of this machine (0: any free one)",
                "count",
                allows_zero=True,
            ),
        ),
        example="worker",
        is_operators=True,
    ),
    Command(
        "dashboard",
        "Print the dashboard's address with the operator's token in it, which `serve` has put beside the database.",
        "cli_dashboard:dashboard",
        (
            Option("open", "open it in this machine's browser, and print no token", "flag"),
            Option("url", "where `serve` answers (default: where it says that it does, else http://127.0.0.1:8289)"),
        ),
        example="dashboard --open",
        is_operators=True,
    ),
    Command(
        "test",
        "Ask Letta whether it can be reached and lets us in.",
        "cli_letta:test",
        is_tool=True,
        example="test",
        is_for_hand=True,
    ),
    Command("agents", "List Letta's agents.", "cli_letta:agents", is_tool=True, example="agents", is_for_hand=True),
    Command(
        "upload",
        "Store a tool's Python source at Letta, for agents to be given.",
        "cli_letta:upload",
        (
            Option("source-code", "the source: one function with type hints and a docstring", is_required=True),
            Option("name", "the function's name"),
            Option("description", "what the tool does"),
        ),
        is_tool=True,
        example='upload --source-code "$(cat tool.py)"',
        is_operators=True,
    ),
    *LETTA,
    Command(
        "inbox",
        "Read what was delivered to an agent's mailbox (target inbox), oldest first.",
        "cli_deliveries:inbox",
        (
            Option("agent-id", "whose mailbox (default: LETTA_AGENT_ID)"),
            Option("all", "messages that were acknowledged too", "flag"),
            _LIMIT,
        ),
        is_tool=True,
        example="inbox --agent-id agent-...",
    ),
    Command(
        "ack",
        "Acknowledge a message of the mailbox: it is done, and not shown again.",
        "cli_deliveries:ack",
        (Option("id", "the message's id, as `inbox` shows it", "id", is_required=True),),
        is_tool=True,
        example="ack --id 3",
    ),
    CLAIM_ONCE,
    Command(
        "on-time",
        "Say which scheduled prompt an agent is working on now, how late it came, and what comes next for it.",
        "cli_on_time:on_time",
        (Option("agent-id", "the agent (default: LETTA_AGENT_ID)"),),
        example="on-time --agent-id agent-...",
    ),
    Command(
        "deliveries",
        "List deliveries, newest first.",
        "cli_deliveries:deliveries",
        (
            Option(
                "state",
                "pending, leased, accepted, unknown, delivered, dead, skipped or cancelled; several with commas",
                choices=_STATES,
            ),
            Option("agent-id", "only this agent's"),
            Option("schedule-id", "only this schedule's", "id", completes="schedule"),
            _LIMIT,
            _CURSOR,
        ),
        example="deliveries --state dead",
    ),
    Command(
        "retry",
        "Try a dead, skipped or cancelled delivery again.",
        "cli_deliveries:retry",
        (Option("id", "the delivery's id, as `deliveries` shows it", "id", is_required=True),),
        example="retry --id 12",
    ),
    *TRANSFER,
    *TOKENS,
    Command(
        "doctor",
        "Check database, executor, clock, time zone, Letta and version, and say what to do.",
        "doctor:doctor",
        example="doctor",
        is_for_hand=True,
    ),
    Command(
        "config", "Print every setting and where it came from.", "cli_admin:config", example="config", is_for_hand=True
    ),
    Command(
        "db upgrade",
        "Bring the database to this version's schema.",
        "cli_admin:db_upgrade",
        example="db upgrade",
        is_operators=True,
    ),
    Command(
        "db backup",
        "Copy the database, consistent, while it is in use.",
        "cli_admin:db_backup",
        (Option("to", "the new file; it must not exist", is_required=True, completes="file"),),
        example="db backup --to promptyoself-backup.db",
        is_operators=True,
    ),
    Command(
        "db move",
        "Move the database, whole, between SQLite and PostgreSQL: nothing is lost, nothing is sent twice. It may be "
        "killed at any time, and goes on when it is run again.",
        "cli_db:db_move",
        (
            Option("from", "the database to leave: a file's path, or postgresql://...", is_required=True),
            Option("to", "where to: postgresql://... with nothing of ours in it, or a new file", is_required=True),
            Option(
                "wait",
                "how long to wait for requests that are open at targets (default: 60)",
                "seconds",
                allows_zero=True,
            ),
            Option("undo", "let the old database go on, while the new one is not live", "flag"),
        ),
        example="db move --from promptyoself.db --to postgresql://scheduler@db.example/promptyoself",
        is_operators=True,
        is_for_hand=True,
    ),
    Command(
        "db restored",
        "Say that the database was restored from a copy (a backup file, pg_restore, an instant of PostgreSQL's log), "
        "once, before anything is started on it: what may have been sent since the copy was made is looked for before "
        "it is sent again, and no id is given out a second time.",
        "cli_db:db_restored",
        (
            Option(
                "in-use-until",
                "when the last node that used the old database was stopped (default: now; too late does no harm)",
            ),
        ),
        example="db restored --in-use-until 2026-03-01T09:20:00Z",
        is_operators=True,
        is_for_hand=True,
    ),
    Command(
        "mcp",
        "Serve the tools of the Model Context Protocol on stdin and stdout, for a client that starts this program. It "
        "delivers nothing: `promptyoself serve` or `execute --loop` does.",
        "cli_mcp:mcp",
        example="mcp",
        is_for_hand=True,
        is_story=True,
    ),
    Command(
        "completion",
        "Print a script by which your shell completes commands, options and values. bash: source <(promptyoself "
        "completion bash) in ~/.bashrc; zsh: the same with zsh, after compinit, in ~/.zshrc; fish: promptyoself "
        "completion fish | source, in ~/.config/fish/config.fish.",
        "cli_completion:completion",
        example="completion bash",
        is_for_hand=True,
        is_story=True,
        arguments=(
            Argument(
                "shell",
                "your shell; or ids, for the ids and names of schedules, as the scripts ask for them",
                choices=("bash", "zsh", "fish", "ids"),
            ),
        ),
    ),
    Command(
        "demo",
        "See prompts registered, fired, delivered, retried after a failure, and their receipts, in 15 seconds.",
        "demo:demo",
        example="demo",
        is_for_hand=True,
        is_story=True,
    ),
)

_BY_NAME: Final = {command.name: command for command in COMMANDS}


def find_command(name: str) -> Command | None:
    """Return the command of this name, or None."""
    return _BY_NAME.get(name)
