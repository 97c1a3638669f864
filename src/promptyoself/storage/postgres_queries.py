"""The named SQL of PostgreSQL as psycopg wants it: `:name` becomes `%(name)s`, once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from promptyoself.storage.queries import queries

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]\w*)")


@cache
def statements() -> Mapping[str, bytes]:
    """Return every statement by its name. The same object each time, so that psycopg's caches hit."""
    return MappingProxyType({name: _placed(text) for name, text in queries("postgres").items()})


def placed(name: str) -> bytes:
    """Return one statement."""
    return statements()[name]


def _placed(text: str) -> bytes:
    placed, parameters = _PARAMETER.subn(r"%(\1)s", text.replace("%", "%%"))
    # Without parameters psycopg sends a statement as it is, and each % as it stands.
    return (placed if parameters else text).encode()
