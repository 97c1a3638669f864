"""JSON bodies, read strictly: a key given twice has two readers, and the one who was careless acts on the other."""

from __future__ import annotations

import json
from typing import Final

from promptyoself.domain.errors import InvalidInput

_KEY_CHARS_SHOWN = 60


def read_json(body: bytes) -> object:
    """Return the value of a JSON body. Raises InvalidInput for a key given twice, ValueError for what is no JSON."""
    return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput(f"the body gives {twice[:_KEY_CHARS_SHOWN]!a} twice", hint="give each key once")
    return members


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members)
