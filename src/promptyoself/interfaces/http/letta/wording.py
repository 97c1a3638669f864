"""Sentences of the commands in the words of Letta's requests: its clients know keys of a body, not options."""

from __future__ import annotations

import re
from typing import Final

from promptyoself.interfaces.http.wording import for_http

_SENTENCES: Final = (
    (re.compile(r"an interval, such as --every (\S+) or --every ([^\s;,]+)"), r'"@every \1" or "@every \2"'),
    (re.compile(r"(?:give )?(?:an|the) interval: --every ([^\s;,]+)"), r'write "cron_expression": "@every \1"'),
    (re.compile(r"--every ([^\s;,`]*\d[^\s;,`]*)"), r'"cron_expression": "@every \1"'),
    (re.compile(r"--rrule '([^']+)'"), r'"cron_expression": "RRULE:\1"'),
    (re.compile(r"--cron ('[^']*'|\"[^\"]*\")"), r'"cron_expression": \1'),
    (re.compile(r"--(?:cron|every|rrule)(?![\w-])"), "cron_expression"),
    (re.compile(r"--time(?![\w-])"), "scheduled_at"),
    (re.compile(r"--timezone(?: or PROMPTYOSELF_TIMEZONE)?(?![\w-])"), "schedule.timezone"),
    (re.compile(r"--(?:prompt|content)(?![\w-])"), "messages"),
    (re.compile(r" \(register with --key does that\)"), ""),
    (re.compile(r"(?:; )?--skip-validation stores it all the same"), ""),
    (re.compile(r"`promptyoself agents` lists them|promptyoself agents lists ids"), "GET /v1/agents/ lists them"),
    (re.compile(r"use the interval (\S+)"), r'use "@every \1"'),
    # What Letta's shape has no key for, ours has.
    (re.compile(r"--start-at and --end-at(?![\w-])"), "start_at and end_at of POST /api/v1/schedules"),
    (re.compile(r"(?<!\w)--(?:end-at|max-repetitions)(?![\w-])"), r"\g<0> of POST /api/v1/schedules"),
)


def in_lettas_words(sentence: str) -> str:
    """Return a sentence of a command's with the keys of Letta's requests; of our HTTP API where Letta's has none."""
    for pattern, said in _SENTENCES:
        sentence = pattern.sub(said, sentence)
    return for_http(sentence)
