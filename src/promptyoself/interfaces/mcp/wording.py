"""Sentences of the commands in the words of the tools: a model is told of arguments and tools, not of options."""

from __future__ import annotations

import re
from typing import Final

COMMANDS: Final = {
    "register": "schedule_prompt",
    "list": "list_my_schedules",
    "preview": "preview_schedule",
    "update": "update_schedule",
    "pause": "pause_schedule",
    "resume": "resume_schedule",
    "cancel": "cancel_schedule",
    "run-now": "run_now",
    "history": "schedule_history",
    "why": "why",
    "inbox": "read_inbox",
    "ack": "ack",
    "claim-once": "claim_once",
    "on-time": "am_i_on_time",
}
"""The tool that stands for each command."""

_OPTIONS: Final = {
    "time": "when",
    "cron": "when",
    "every": "when",
    "rrule": "when",
    "id": "schedule_id",
    "all": "include_finished",
}
_TOOLS: Final = "|".join(sorted(COMMANDS, key=len, reverse=True))
_OPERATORS: Final = "an operator can "
_SENTENCES: Final = (
    # What only an operator can do is said as such, and keeps its words: a model passes them on.
    (re.compile(r"start (`promptyoself [^`]+`)"), r"ask whoever runs promptyoself to start \1"),
    (re.compile(r"`promptyoself resume --all` lets them go on"), f"{_OPERATORS}let them go on"),
    (re.compile(r"`promptyoself retry --id \d+` revives it"), f"{_OPERATORS}revive it"),
    (re.compile(r"name yours with --timezone or PROMPTYOSELF_TIMEZONE"), "name yours with `timezone`"),
    (re.compile(r"(?:; )?--skip-validation stores it all the same"), ""),
    (re.compile(r"promptyoself list --all\b"), "list_my_schedules with `include_finished` true"),
    (re.compile(r"(?:give --agent-id, )?or set LETTA_AGENT_ID"), "name the agent with `agent_id`"),
    (re.compile(r"register it again to run it"), "schedule it again with schedule_prompt to run it"),
    (re.compile(rf"promptyoself ({_TOOLS}) --id (\d+)"), r"<\1> with `schedule_id` \2"),
    (re.compile(rf"promptyoself ({_TOOLS})\b"), r"<\1>"),
    (re.compile(r"\b(run-now)\b"), r"<\1>"),
    (re.compile(r"an interval: --every (\S+)"), r'`when` as "every \1"'),
    (re.compile(r"promptyoself agents lists ids"), "ask an operator which agents there are"),
)
_TOOL: Final = re.compile(r"<([a-z-]+)>")
_OPTION: Final = re.compile(r"(?<![\w`-])--([a-z]+(?:-[a-z]+)*)")
_KEPT: Final = re.compile(r"`promptyoself [^`]+`")


def for_tools(sentence: str) -> str:
    """Return a sentence of a command's with tools and arguments in place of commands and options."""
    for pattern, said in _SENTENCES:
        sentence = pattern.sub(said, sentence)
    sentence = _TOOL.sub(lambda found: COMMANDS.get(found[1], found[0]), sentence)
    kept = _KEPT.findall(sentence)
    parts = [_OPTION.sub(_argument, part) for part in _KEPT.split(sentence)]
    return parts[0] + "".join(said + part for said, part in zip(kept, parts[1:], strict=True))


def _argument(found: re.Match[str]) -> str:
    name = found[1]
    return f"`{_OPTIONS.get(name, name.replace('-', '_'))}`"
