"""The part of the table of commands that moves schedules in and out."""

from __future__ import annotations

from typing import Final

from promptyoself.interfaces.table import Argument, Command, Option

SKIP_ON: Final = Option(
    "skip-on",
    "a calendar file (ICS) of days on which it does not fire; it is read now, and kept",
    is_tool=False,
    is_operators=True,
    completes="file",
)
_FILE = Argument("file", "the file to read; - for stdin", completes="file")
_IMPORT = (
    Option("agent-id", "the agent, for entries that name none (default: LETTA_AGENT_ID)"),
    Option(
        "timezone", "the zone of rules that name none (default: the setting, then the machine's)", completes="timezone"
    ),
    Option("target", "where to deliver what names no target: letta (default) or inbox", choices=("letta", "inbox")),
    Option("apply", "store it; without this it only says what it would do", "flag"),
    Option("skip-validation", "do not ask Letta whether the agents exist", "flag"),
)

TRANSFER: Final = (
    Command(
        "import crontab",
        "Make schedules of a user's crontab: each command becomes a prompt. A dry run unless --apply is given.",
        "cli_import:import_crontab",
        _IMPORT,
        example="import crontab crontab.txt --agent-id agent-...",
        is_operators=True,
        arguments=(_FILE,),
    ),
    Command(
        "import letta-cron",
        "Make schedules of Letta Code's crons.json. A dry run unless --apply is given.",
        "cli_import:import_letta_cron",
        _IMPORT,
        example="import letta-cron ~/.letta/crons.json",
        is_operators=True,
        arguments=(_FILE,),
    ),
    Command(
        "import promptyoself-fast",
        "Make schedules of PromptYoSelfFAST's SQLite file, which is only read. A dry run unless --apply is given.",
        "cli_import:import_older",
        _IMPORT,
        example="import promptyoself-fast promptyoself.db",
        is_operators=True,
        arguments=(_FILE._replace(help="the file; it is opened read-only"),),
    ),
    Command(
        "import json",
        "Make schedules of what `export` wrote. A dry run unless --apply is given.",
        "cli_import:import_json",
        _IMPORT,
        example="import json schedules.json --apply",
        is_operators=True,
        arguments=(_FILE,),
    ),
    Command(
        "export",
        "Write schedules as JSON, to be imported again, or their coming fires as a calendar (ICS).",
        "cli_export:export",
        (
            Option("format", "json (default) or ics", choices=("json", "ics")),
            Option("to", "the new file; without it the answer holds them", is_operators=True, completes="file"),
            Option("force", "replace the file when it is there", "flag"),
            Option("agent-id", "only this agent's schedules"),
            Option("id", "only this schedule", "id", completes="schedule"),
            Option("all", "finished and cancelled ones too", "flag"),
            Option("from", "ics: begin at this date and time, or with this day (default: now)"),
            Option("until", "ics: end at this date and time, or with this day"),
            Option("for", "ics: end this long after the beginning (default 30d)"),
            Option("prompts", "ics: tell the whole prompts, not only names or first words", "flag"),
        ),
        example="export --to schedules.json",
    ),
)
