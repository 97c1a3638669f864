"""What models get wrong, and what they are told: each sentence has to let them correct themselves."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from tests.interfaces.mcp_world import AGENT, OTHER, mcp_client, text_of
from tests.interfaces.world import FakeServices

P = {"prompt": "look at the notes"}
LONG = "x" * 100 * 1024

MISTAKES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    # a time zone
    ("schedule_prompt", {**P, "when": "every day at 9am", "timezone": "EST5"}, ("EST5", "zone")),
    ("schedule_prompt", {**P, "when": "every day at 9am", "timezone": "Europe/Rigga"}, ("Europe/Riga",)),
    ("schedule_prompt", {**P, "when": "every day at 9am", "timezone": "+02:00"}, ("+02:00", "Europe/")),
    ("schedule_prompt", {**P, "when": "tomorrow at 9am EST"}, ("America/New_York",)),
    ("schedule_prompt", {**P, "when": "9am America/New_York", "timezone": "Europe/Riga"}, ("America/New_York", "one")),
    # a guard's limit
    ("schedule_prompt", {**P, "when": "every 30 seconds"}, ("every 30s", "every 1m")),
    ("schedule_prompt", {**P, "when": "* * * * * *"}, ("every 1s", "every 1m")),
    ("schedule_prompt", {"prompt": LONG, "when": "in 1 hour"}, ("102400", "65536")),
    # the past, and what never comes
    ("schedule_prompt", {**P, "when": "2020-01-01T09:00"}, ("future", "2026-03-02")),
    ("schedule_prompt", {**P, "when": "yesterday at 9am"}, ("yesterday",)),
    ("schedule_prompt", {**P, "when": "2027-02-30T09:00"}, ("day is out of range",)),
    ("schedule_prompt", {**P, "when": "0 9 30 2 *"}, ("never",)),
    ("schedule_prompt", {**P, "when": "every day at 9am", "end_at": "2020-01-01T00:00"}, ("end",)),
    # once, or again and again
    ("schedule_prompt", {**P, "when": "45m"}, ('"in 45m"', '"every 45m"')),
    ("schedule_prompt", {**P, "when": "PT2H"}, ('"in 2h"', '"every 2h"')),
    ("schedule_prompt", {**P, "when": "45 minutes"}, ('"in 45 minutes"',)),
    ("schedule_prompt", {**P, "when": "weekday at 9am"}, ('"every weekday at 9am"', "once")),
    ("schedule_prompt", {**P, "when": "60"}, ('"in 45 minutes"', '"every 45 minutes"')),
    ("schedule_prompt", {**P, "when": "1772442000"}, ("neither a time nor a rule", "2030-01-31T09:00")),
    # not exact
    ("schedule_prompt", {**P, "when": "tomorrow"}, ("no time of day", '"tomorrow at 9am"')),
    ("schedule_prompt", {**P, "when": "every day at 9"}, ("morning or evening", "9am")),
    ("schedule_prompt", {**P, "when": "weekdays at 9"}, ("morning or evening", '"weekdays at 9am"')),
    ("schedule_prompt", {**P, "when": "2030-01-31"}, ("2030-01-31T09:00",)),
    ("schedule_prompt", {**P, "when": "soon"}, ("soon", "write")),
    ("schedule_prompt", {**P, "when": "now"}, ("run_now",)),
    ("schedule_prompt", {**P, "when": "every day at 9am until friday"}, ("`end_at`",)),
    # cron that is none
    ("schedule_prompt", {**P, "when": "0 25 * * *"}, ("hour", "0-23")),
    ("schedule_prompt", {**P, "when": "0 9 * * * Europe/Riga"}, ("Europe/Riga",)),
    ("schedule_prompt", {**P, "when": "rate(5 minutes)"}, ("EventBridge", '"every 5m"')),
    # the shape of a call
    ("schedule_prompt", {**P, "cron": "0 9 * * *"}, ("'cron'", "`when`")),
    ("schedule_prompt", {**P, "when": "in 1 hour", "cron": "0 9 * * *"}, ("'cron'", "`when`")),
    ("schedule_prompt", {**P, "time": "09:00", "date": "2030-01-31"}, ("'time', 'date'", "`when`")),
    ("schedule_prompt", {"text": "x", "when": "in 1 hour"}, ("'text'", "`prompt`")),
    ("schedule_prompt", {"when": "in 1 hour"}, ("needs `prompt`", "verbatim")),
    ("schedule_prompt", {"prompt": "x"}, ("needs `when`", "in 45 minutes")),
    ("schedule_prompt", {"prompt": "", "when": "in 1 hour"}, ("needs `prompt`",)),
    ("schedule_prompt", {"prompt": " \n ", "when": "in 1 hour"}, ("prompt is empty",)),
    ("schedule_prompt", {"prompt": {"text": "x"}, "when": "in 1 hour"}, ("`prompt`", "text", "an object")),
    ("schedule_prompt", {**P, "when": 45}, ("`when`", "text", "a number")),
    ("schedule_prompt", {**P, "when": ""}, ("`when`", "in 45 minutes")),
    ("schedule_prompt", {**P, "when": '{"cron": "0 9 * * *"}'}, ("`when`", "0 9 * * mon-fri")),
    ("schedule_prompt", {**P, "when": "in 1 hour", "max_repetitions": "often"}, ("`max_repetitions`", "whole number")),
    ("schedule_prompt", {**P, "when": "in 1 hour", "max_repetitions": 0}, ("`max_repetitions`", "1 or more")),
    ("schedule_prompt", {**P, "when": "in 1 hour", "target": "email"}, ("`target`", "letta, inbox")),
    ("schedule_prompt", {**P, "when": "in 1 hour", "quiet_hours": "at night"}, ("22:00-07:00",)),
    ("schedule_prompt", {**P, "when": "in 1 hour", "name": "a\nb"}, ("name", "control characters")),
    ("schedule_prompt", {**P, "when": "in 1 hour", "agent_id": OTHER}, ("agent_id", AGENT)),
    # numbers of things
    ("cancel_schedule", {"schedule_id": 999}, ("999", "list_my_schedules")),
    ("cancel_schedule", {"schedule_id": "standup"}, ("`schedule_id`", "7", "'standup'")),
    ("cancel_schedule", {"schedule_id": -1}, ("`schedule_id`", "1 or more")),
    ("cancel_schedule", {"schedule_id": True}, ("`schedule_id`", "whole number")),
    ("cancel_schedule", {"schedule_id": 1.5}, ("`schedule_id`", "whole number")),
    ("cancel_schedule", {"id": 1}, ("'id'", "`schedule_id`")),
    ("cancel_schedule", {"schedule_id": 10**30}, ("`schedule_id`", "range")),
    ("ack", {"id": 3}, ("'id'", "`message_id`")),
    ("ack", {"message_id": 3}, ("3", "read_inbox")),
    ("update_schedule", {"schedule_id": 1, "clear": ["prompt"]}, ("`clear`", "'prompt'", "end_at")),
    ("update_schedule", {"schedule_id": 1, "when": "45m"}, ('"every 45m"',)),
    ("pause_schedule", {"schedule_id": 1, "until": "2020-01-01T00:00"}, ("future",)),
    ("schedule_history", {"schedule_id": 1, "limit": 1000}, ("`limit`", "1 to 50")),
    ("preview_schedule", {}, ("`when`", "`schedule_id`")),
    ("preview_schedule", {"when": "every day at 9am", "schedule_id": 1}, ("`when`", "`schedule_id`")),
    ("list_my_schedules", {"state": "active"}, ("'state'", "`include_finished`")),
    ("list_my_schedules", {"include_finished": "maybe"}, ("`include_finished`", "true or false")),
    ("list_schedules", {}, ("list_my_schedules",)),
    ("send_email", {}, ("schedule_prompt",)),
]


async def told(services: FakeServices) -> list[tuple[str, dict[str, Any], tuple[str, ...], bool, str]]:
    async with mcp_client(services) as client:
        await client.call_tool("schedule_prompt", {**P, "when": "every day at 9am", "target": "inbox"})
        found = []
        for name, arguments, fragments in MISTAKES:
            result = await client.call_tool(name, arguments)
            found.append((name, arguments, fragments, result.is_error, text_of(result)))
        listed = await client.call_tool("list_my_schedules", {"include_finished": True})
        assert listed.structured_content["count"] == 1, "a refused call stored something"
        return found


def test_every_mistake_is_answered_by_a_sentence_that_says_what_to_write(tmp_path: Path) -> None:
    services = FakeServices(tmp_path)
    wrong = []
    for name, arguments, fragments, is_error, text in asyncio.run(told(services)):
        shown = f"{name} {str(arguments)[:150]}: {text[:700]}"
        if not is_error or not all(fragment in text for fragment in fragments):
            wrong.append(f"expected {fragments}: {shown}")
        # In the words of the tools, and of nothing below them; not a screenful, and nothing given comes back whole.
        without_operators = re.sub(r"`promptyoself [^`]+`", "", text)
        if re.search(r"(?<!\w)--\w|promptyoself [a-z]|pydantic|Traceback|validation error|LETTA_", without_operators):
            wrong.append(f"in others' words: {shown}")
        if len(text) > 1000 or "\n" in text:
            wrong.append(f"too long: {shown}")
    services.close()
    assert not wrong, "\n".join(wrong)
