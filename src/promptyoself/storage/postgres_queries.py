"""The named SQL of PostgreSQL as psycopg wants it: `:name` becomes `%(name)s`, and `schedules.*` the columns we know.

PostgreSQL refuses a statement that was prepared before its answer had another column ("cached plan must not change
result type"). A newer promptyoself adds columns while this one runs: they must not come to be in any answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from promptyoself.storage.queries import queries

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_ALL_OF: Final = re.compile(r"\b(\w+)\.\*")


@cache
def statements() -> Mapping[str, bytes]:
    """Return every statement by its name. The same object each time, so that psycopg's caches hit."""
    return MappingProxyType({name: _placed(text) for name, text in queries("postgres").items()})


def placed(name: str) -> bytes:
    """Return one statement."""
    return statements()[name]


def _placed(text: str) -> bytes:
    text = _ALL_OF.sub(_listed, text)
    placed, parameters = _PARAMETER.subn(r"%(\1)s", text.replace("%", "%%"))
    # Without parameters psycopg sends a statement as it is, and each % as it stands.
    return (placed if parameters else text).encode()


def _listed(all_of: re.Match[str]) -> str:
    """Return `table.*` with its columns by name; what stands for no table of ours remains as it is."""
    table, columns = all_of[1], queries("postgres", "columns").get(all_of[1])
    if columns is None:
        return all_of[0]
    return ", ".join(f"{table}.{column}" for column in columns.replace("\n", " ").split(", "))
