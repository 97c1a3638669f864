"""Sentences of the commands in the words of the HTTP API: its callers know keys and addresses; a shell few have."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from promptyoself.interfaces.commands import COMMANDS

if TYPE_CHECKING:
    from promptyoself.interfaces.wire import Document

_ADDRESSES: Final = {
    "list": "GET /schedules",
    "show": "GET /schedules/{id}",
    "history": "GET /schedules/{id}/history",
    "why": "GET /schedules/{id}/why",
    "update": "PATCH /schedules/{id}",
    "cancel": "DELETE /schedules/{id}",
    "pause": "POST /schedules/{id}/pause",
    "resume": "POST /schedules/{id}/resume",
    "skip": "POST /schedules/{id}/skip",
    "snooze": "POST /schedules/{id}/snooze",
    "run-now": "POST /schedules/{id}/run-now",
    "deliveries": "GET /deliveries",
    "retry": "POST /deliveries/{id}/retry",
    "inbox": "GET /inbox",
    "agents": "GET /agents",
    "test": "GET /test",
    "doctor": "GET /doctor",
    "config": "GET /config",
    "export": "GET /export",
    "token list": "GET /tokens",
    "token revoke": "DELETE /tokens/{id}",
}
"""Where HTTP has what a sentence names as a command; what is not here is done on the server's machine."""
_FOR_ALL: Final = {"pause": "POST /pause", "resume": "POST /resume"}
_BASE: Final = "/api/v1"
_NAMES: Final = "|".join(sorted(_ADDRESSES, key=len, reverse=True))
_COMMAND: Final = re.compile(rf"(`?)promptyoself ({_NAMES})( --all)?( --id (\d+|N))?( --state (\w+))?(?![\w-])\1")
_WORTH: Final = re.compile(r"promptyoself |--|LETTA_AGENT_ID|this door|register it")
"""What one of the patterns below may find; most sentences have none of it."""
_SENTENCES: Final = (
    (re.compile(r", or set LETTA_AGENT_ID"), ""),
    (re.compile(r"\bor set LETTA_AGENT_ID"), "an operator names the agent"),
    (re.compile(r"name yours with --timezone or PROMPTYOSELF_TIMEZONE"), "name yours with timezone"),
    (re.compile(r"\b(pause|resume) --all is for"), rf"POST {_BASE}/\1 is for"),
    (re.compile(r"\bthis door acts for agent"), "this token acts for agent"),
    (re.compile(r'upload --source-code "\$\(cat tool\.py\)"'), "send its text as source_code"),
    (re.compile(r"\bregister it again to run it"), "make it again to run it"),
)


def for_http(sentence: str) -> str:
    """Return a sentence of a command's with addresses and keys in place of commands and options.

    A command line of ours that has no address, or that an operator types on the server's machine, stays as it is.
    """
    if sentence in _examples():
        return "GET /openapi.json describes each request, with examples"
    if not _WORTH.search(sentence):
        return sentence
    for pattern, said in _SENTENCES:
        sentence = pattern.sub(said, sentence)
    return keys_said(_COMMAND.sub(_address, sentence))


def in_our_words(document: Document) -> Document:
    """Return what a command answered with the sentences in it said for this door: warnings, stories, refusals."""
    said = _said(document)
    for name in ("warnings", "sentences"):
        if name in document:
            said[name] = [for_http(one) for one in document[name]]
    for name in ("events", "errors"):
        if name in document:
            said[name] = [_said(one) for one in document[name]]
    return said


def _said(document: Document) -> Document:
    return {
        **document,
        **{name: for_http(document[name]) for name in ("error", "hint", "sentence") if document.get(name)},
    }


def _address(found: re.Match[str]) -> str:
    quote, name, is_all, _, number, _, state = found.groups()
    address = _FOR_ALL.get(name, _ADDRESSES[name]) if is_all else _ADDRESSES[name]
    method, path = address.split(" ")
    query = f"?state={state}" if state else "?all=true" if is_all and name not in _FOR_ALL else ""
    return f"{quote}{method} {_BASE}{path.replace('{id}', number or '{id}')}{query}{quote}"


@cache
def _examples() -> frozenset[str]:
    return frozenset(command.example for command in COMMANDS)


@cache
def _options() -> re.Pattern[str]:
    names = {one.name for command in COMMANDS for one in command.options}
    longest_first = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.compile(rf"--({longest_first})(?![\w-])")


def keys_said(text: str) -> str:
    """Return a sentence with keys where it names options, unless it quotes a command line of ours."""
    if "--" not in text or "promptyoself " in text:
        return text
    return _options().sub(lambda found: found[1].replace("-", "_"), text)
