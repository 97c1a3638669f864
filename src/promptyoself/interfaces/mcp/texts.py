"""The text of an answer: all that its structure holds, as lines. Some models are shown the text alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def text_of(answer: Mapping[str, Any]) -> str:
    """Return an answer in words and lines: `message` first, then `key: value`, as YAML would have it.

    Text of others that has line breaks is indented below its key, so that it cannot pass for a line of ours.
    """
    rest = {key: value for key, value in answer.items() if key != "message"}
    return "\n".join([str(answer["message"]), *_members(rest)])


def _members(members: Mapping[str, Any]) -> Iterator[str]:
    for key, value in members.items():
        if isinstance(value, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _members(value))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{key}:" if value else f"{key}: none"
            for one in value:
                yield from _item(one)
        else:
            yield from _scalar(key, value)


def _item(value: object) -> Iterator[str]:
    lines = list(_members(value)) if isinstance(value, Mapping) else _plain(value).splitlines() or [""]
    for number, line in enumerate(lines):
        yield f"{'  ' if number else '- '}{line}"


def _scalar(key: str, value: object) -> Iterator[str]:
    lines = _plain(value).splitlines() or [""]
    if len(lines) == 1:
        yield f"{key}: {lines[0]}"
        return
    yield f"{key}: |"
    yield from (f"    {line}" for line in lines)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
