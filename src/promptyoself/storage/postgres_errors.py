"""psycopg's exceptions put into the domain's words: what happened to which database, and what to do.

No message repeats the address as it was given: it may hold a password, also in what libpq says of an address that it
cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from promptyoself.domain import limits
from promptyoself.domain.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreGone,
    StoreMoved,
    StoreReadOnly,
    StoreUnreachable,
)

DRIVER_ERRORS: Final = (psycopg.Error, OverflowError, UnicodeEncodeError)
"""All that a statement can raise: the last two when a value cannot be bound."""

MOVED: Final = "PYM01"
"""What the fence of a database that was moved raises (sql/postgres/move.sql); its text is the place."""
FILLING: Final = "PYM02"
"""What the fence of a database raises into which another is being moved."""
RESTORE: Final = "stop every promptyoself, keep what is there for repair, and restore a backup (pg_restore)"

_BUSY: Final = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock_timeout
        "57014",  # statement_timeout
    }
)
_CROWDED: Final = frozenset({"53300"})
_READ_ONLY: Final = "25006"
_NO_RIGHT: Final = "42501"
_FULL: Final = frozenset({"53100"})
_CORRUPT: Final = frozenset({"XX001", "XX002"})
_NO_TABLE: Final = frozenset({"42P01", "42703", "3F000"})
_LEFT_OPEN: Final = "25P03"
_UNREACHABLE: Final = frozenset({"57P01", "57P02", "57P03", "57P05"})
_CONNECTION: Final = "08"
_TOO_LARGE: Final = "22003"
_NUL: Final = frozenset({"22021", "22P05"})
"""A character that no text can hold: UTF-8 is checked before it is sent, so it is a NUL, plain or within JSON."""

# What a server says before it lets anybody in comes as text alone, without a code (libpq keeps none).
_UNKNOWN_DATABASE: Final = ("database", "does not exist")
_UNKNOWN_ROLE: Final = ("role", "does not exist")
_NO_ENTRY: Final = "no pg_hba.conf entry"
_PASSWORD: Final = ("password authentication failed", "no password supplied")
_NOT_READ: Final = "invalid "  # "invalid port number", "invalid integer value": of the address, which they quote
_MISREAD: Final = (
    (re.compile(r'invalid URI query parameter: "(?P<name>[a-z_]{1,40})"'), "libpq knows no parameter {name}"),
    (re.compile(r"(?P<name>invalid port number)"), "its port is no number from 1 to 65535"),
    (re.compile(r'for connection option "(?P<name>[a-z_]{1,40})"'), "its {name} is no number"),
    (re.compile(r'invalid "?(?P<name>[a-z_]{1,40})"? value: '), "its {name} is none that libpq knows"),
    (re.compile(r"'(?P<name>idna)' codec"), "its host is no name that can be looked up"),
    (re.compile(r"bad value for (?P<name>[a-z_]{1,40}):"), "its {name} is no number"),
)
"""What libpq and psycopg say of an address that they cannot read, and how much of it may be repeated: never a value."""
_SETTING: Final = re.compile(
    r'FATAL: .*parameter "(?P<name>[A-Za-z_.]{1,60})"|FATAL: .*(?:requires a value|command-line argument)'
)
"""What a server says of a setting that the connection brings and that it does not take."""
_SERVICE_HINT: Final = (
    "PGSERVICE, or service= in PROMPTYOSELF_DB, names a part of ~/.pg_service.conf (or of the file that PGSERVICEFILE "
    "names); correct it, or write the address without"
)
_GRANT_HINT: Final = (
    "ALTER ROLE ... LOGIN, GRANT CONNECT ON DATABASE ... TO ...; or name another user in PROMPTYOSELF_DB"
)
_PROOF_HINT: Final = (
    "correct channel_binding or require_auth in PROMPTYOSELF_DB (PGCHANNELBINDING, PGREQUIREAUTH), or what pg_hba.conf "
    "asks"
)
_REFUSED: Final = (
    ("definition of service", "is named by a service that cannot be found", _SERVICE_HINT),
    ("service file", "is named by a service that cannot be read", _SERVICE_HINT),
    ("is not permitted to log in", "does not let us in", _GRANT_HINT),
    ("permission denied for database", "does not let us in", _GRANT_HINT),
    ("channel binding required", "does not prove itself as it is asked to", _PROOF_HINT),
    ("authentication method requirement", "does not prove itself as it is asked to", _PROOF_HINT),
)
"""More that waiting does not mend: what is said, what it means, and the cure."""
_HOST: Final = re.compile(r"^- host: '?(?P<host>[^',]*)'?, port: '?(?P<port>[^',]*)'?, (?P<said>.*)$", re.MULTILINE)
"""How psycopg tells of each host after all of several have failed."""
_CA_HINT: Final = (
    "sslrootcert= in PROMPTYOSELF_DB names the file of the CA that signed it, or `system` for those of this machine; "
    "when that is right and the certificate has not run out, somebody else answers there"
)
_TLS: Final = (
    ("certificate verify failed", "its certificate is of no CA that is trusted here", _CA_HINT),
    (
        "does not match host name",
        "its certificate is another server's",
        "name the server in PROMPTYOSELF_DB as its certificate does, or give it one for this name",
    ),
    ("root certificate file", "there is no CA to check its certificate by", _CA_HINT),
    (
        "does not support SSL",
        "it speaks none, and sslmode asks for it",
        "set ssl = on at the server; without it everybody on the way reads prompts and answers",
    ),
    (
        "private key file",
        "the key of our certificate cannot be used",
        "sslkey= in PROMPTYOSELF_DB names a PEM file of mode 0600 that belongs to the user who runs this",
    ),
)
"""What libpq says when two sides do not agree about TLS, what it means, and the cure. Waiting mends none of them."""
_TOO_MANY: Final = ("too many clients", "remaining connection slots", "too many connections")


def translated(exc: Exception, location: str) -> StoreError:
    """Return the error of our tree that stands for `exc`, an exception in DRIVER_ERRORS, at the database `location`."""
    if isinstance(exc, UnicodeEncodeError):
        return StoreError(
            f"a text cannot be stored in {location}: it is not valid Unicode", hint="send the text as UTF-8"
        )
    code = getattr(exc, "sqlstate", None)
    if code in _NUL or (isinstance(exc, psycopg.DataError) and "NUL" in str(exc)):
        return StoreError(f"a text cannot be stored in {location}: it holds a NUL character", hint="send it without")
    if isinstance(exc, OverflowError) or code == _TOO_LARGE:
        return StoreError(f"a number is too large for the database {location}", hint="use numbers below 2^63")
    if code is None:
        return _without_code(exc, location)
    return _fenced(code, exc, location) or _by_code(code, exc, location)


def _fenced(code: str, exc: Exception, location: str) -> StoreError | None:
    if code == MOVED:
        return StoreMoved(
            f"the database {location} was moved to {_first_line(exc)}",
            hint="set PROMPTYOSELF_DB to that place and start again what ran here",
        )
    if code == FILLING:
        return StoreBusy(
            f"another database is being moved to {location}, and it takes no other writes yet",
            hint="wait until `db move` has ended; whatever runs goes on by itself then",
        )
    return None


def _by_code(code: str, exc: Exception, location: str) -> StoreError:
    if code in _BUSY:
        return busy(location)
    if code in _CROWDED:
        return crowded(location)
    if code == _READ_ONLY:
        return read_only(location)
    if code == _NO_RIGHT:
        return without_right(location, _first_line(exc))
    if code in _FULL:
        return StoreFull(
            f"there is no room left for the database {location}",
            hint="free space on the server's disk; nothing was half-stored",
        )
    if code in _CORRUPT:
        return StoreCorrupt(f"{location} is damaged: {_first_line(exc)}", hint=RESTORE)
    if code in _NO_TABLE:
        return StoreGone(
            f"tables of promptyoself in {location} were removed or changed while in use",
            hint="restore the database, and restart promptyoself",
        )
    if code == _LEFT_OPEN:
        return StoreBusy(
            f"a transaction at {location} stood still for too long, and was undone by the server", hint="try again"
        )
    if code in _UNREACHABLE or code.startswith(_CONNECTION):
        return unreachable(location, _first_line(exc))
    return StoreError(
        f"the database {location} failed: {_first_line(exc)}", hint="promptyoself doctor looks at it more closely"
    )


def _without_code(exc: Exception, location: str) -> StoreError:
    """Errors of the connection itself carry no code."""
    if isinstance(exc, psycopg.OperationalError):
        return unreachable(location, _first_line(exc))
    return StoreError(f"the database {location} failed: {_first_line(exc)}")


def not_connected(exc: psycopg.Error, location: str) -> StoreError:
    """Return the error for a connection that could not be made."""
    said = str(exc)
    refused = _refused(said, location)
    if refused is not None:
        return refused
    if _NOT_READ in said:
        return unreadable_address(said)
    if any(part in said for part in _PASSWORD) or _NO_ENTRY in said:
        return StoreError(
            f"the database {location} does not let us in: wrong user, or wrong or missing password",
            hint="correct them in PROMPTYOSELF_DB (or set PGPASSWORD, or ~/.pgpass), and check pg_hba.conf",
        )
    if all(part in said for part in _UNKNOWN_DATABASE):
        return StoreError(
            f"there is no database at {location}",
            hint="make it (createdb --encoding=UTF8), or name another with PROMPTYOSELF_DB",
        )
    if all(part in said for part in _UNKNOWN_ROLE):
        return StoreError(
            f"the database server of {location} knows no such user",
            hint="make it (createuser), or name another in PROMPTYOSELF_DB",
        )
    if any(part in said for part in _TOO_MANY):
        return crowded(location)
    return unreachable(location, _of_each_host(said) or _first_line(exc))


def _refused(said: str, location: str) -> StoreError | None:
    """Return the error for what neither side will do, however long it is waited for."""
    if (setting := _SETTING.search(said)) is not None:
        name = f" ({setting['name']})" if setting["name"] else ""
        return StoreError(
            f"the database {location} does not take a setting that the connection brings{name}",
            hint="correct options= in PROMPTYOSELF_DB, or what is set for all of libpq: PGOPTIONS, PGTZ, PGDATESTYLE",
        )
    for part, meaning, hint in _REFUSED:
        if part in said:
            return StoreError(f"the database {location} {meaning}: {_words(said, part)}", hint=hint)
    for part, meaning, hint in _TLS:
        if part in said:
            return StoreError(f"no TLS with the database {location}: {meaning} ({_words(said, part)})", hint=hint)
    return None


def _words(said: str, part: str) -> str:
    """Return the server's, or libpq's, own words around `part`."""
    line = next(line for line in said.splitlines() if part in line)
    return line.rpartition(" failed: ")[2].removeprefix("connection is bad: ").removeprefix("FATAL: ").strip()[:300]


def _of_each_host(said: str) -> str:
    """Return what each of several hosts answered: that one refuses and another only reads, say. Empty for one host."""
    found = [(one["host"], one["port"], one["said"].rpartition(" failed: ")[2]) for one in _HOST.finditer(said)]
    return "; ".join(f"{host}:{port}: {words}" for host, port, words in dict.fromkeys(found))[:300]


def refuse_unfit(server: Mapping[str, Any], location: str) -> None:
    """Raise StoreError when a server (the row of `settle`) is too old, keeps no UTF-8, or has no schema for us."""
    version = int(server["version"]) // 10_000
    if version < limits.POSTGRES_VERSION_MIN:
        raise StoreError(
            f"{location} is PostgreSQL {version}; promptyoself needs {limits.POSTGRES_VERSION_MIN} or newer",
            hint="upgrade the server, or name another with PROMPTYOSELF_DB",
        )
    if server["encoding"] != "UTF8":
        raise StoreError(
            f"the database {location} keeps texts as {server['encoding']}, not as UTF8",
            hint="make one with createdb --encoding=UTF8 --template=template0, and name it with PROMPTYOSELF_DB",
        )
    if server["schema"] is None:
        raise StoreError(
            f"the schema that {location} is to be used with is not there",
            hint="CREATE SCHEMA, or correct search_path in PROMPTYOSELF_DB",
        )


def unreadable_address(said: str) -> StoreError:
    """Return the error for an address that libpq cannot read.

    What it says may quote a password, so no more of it is repeated than the name of a parameter.
    """
    found = ((mistake.search(said), words) for mistake, words in _MISREAD)
    why = next((f": {words.format(name=match['name'])}" for match, words in found if match), "")
    return StoreError(
        f"the address of the PostgreSQL database cannot be read{why}",
        hint="PROMPTYOSELF_DB=postgresql://user:password@host:5432/name; in a password, write @ as %40 and / as %2F",
    )


def busy(location: str) -> StoreBusy:
    """Return the error for a lock that did not come free within the bound."""
    return StoreBusy(
        f"the database {location} is busy: another transaction holds what this one needs",
        hint="try again; if it stays so, look at pg_stat_activity for one that hangs",
    )


def crowded(location: str) -> StoreBusy:
    """Return the error for a connection that was not to be had."""
    return StoreBusy(
        f"all connections to the database {location} are in use",
        hint="try again; if it stays so, raise max_connections of PostgreSQL (or CONNECTION LIMIT of the role or the "
        "database), or run fewer nodes",
    )


def read_only(location: str) -> StoreReadOnly:
    """Return the error for a database that may not be written."""
    return StoreReadOnly(
        f"the database {location} cannot be written",
        hint="name the primary server, not a standby, with PROMPTYOSELF_DB; on a primary, see who has set "
        "default_transaction_read_only",
    )


def without_right(location: str, missing: str) -> StoreReadOnly:
    """Return the error for a user who may not do what is needed."""
    return StoreReadOnly(
        f"the user of the database {location} may not do all that is needed: {missing}",
        hint="name a user with PROMPTYOSELF_DB who owns our tables, and the database while it has none "
        "(ALTER DATABASE ... OWNER TO ...)",
    )


def unreachable(location: str, said: str) -> StoreUnreachable:
    """Return the error for a server that does not answer, or has broken the connection off."""
    return StoreUnreachable(
        f"the database {location} does not answer: {said}",
        hint="check that PostgreSQL runs and can be reached from here; nothing was half-stored, try again then",
    )


def in_doubt(location: str) -> StoreUnreachable:
    """Return the error for a connection that broke while the server was told to commit."""
    return StoreUnreachable(
        f"the connection to the database {location} broke during a commit: it is stored wholly, or not at all",
        hint="look whether it is there before you repeat it",
    )


def closed(location: str) -> StoreError:
    """Return the error for the use of a store after its end."""
    return StoreError(f"the database {location} is closed already")


def another(location: str) -> StoreGone:
    """Return the error for a database that has taken the place of the one that was opened."""
    return StoreGone(
        f"another database stands at {location} than the one that was opened",
        hint="put it back, or restart promptyoself to go on with what is there now",
    )


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]
