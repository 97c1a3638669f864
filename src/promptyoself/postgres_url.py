"""The address of a PostgreSQL database as a setting gives it, and as people may see it: without its password.

Read as libpq reads it (PostgreSQL's manual, "Connection URIs"), for what stands where decides what may be shown. What
an address leaves out (PGPASSWORD, .pgpass, PGSERVICE, PGHOST) libpq finds by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from promptyoself.domain.errors import ConfigError
from promptyoself.domain.secret import Secret

SCHEMES: Final = ("postgresql://", "postgres://")
_SHOWN: Final = ("host", "hostaddr", "port", "user", "dbname", "service", "options", "sslmode")
"""Parameters that tell one database from another; the rest is not shown: some of it is secret, and more may come."""


def is_postgres(text: str) -> bool:
    """Return whether a setting names a PostgreSQL database."""
    return text.startswith(SCHEMES)


_FORM: Final = "for example postgresql://user@host:5432/database"


class PostgresUrl:
    """An address. Printing it shows `postgresql://user@host:port/database`; `reveal` alone hands out all of it."""

    __slots__ = ("_url", "folder", "shown")

    def __init__(self, text: str, *, folder: Path) -> None:
        """`folder` is where this user's files about databases are kept. Raises ConfigError, without quoting `text`."""
        self.shown: Final = shown(text)
        self.folder: Final = folder
        self._url: Final = Secret(text)

    def reveal(self) -> str:
        """Return the address with its password, for the driver."""
        return self._url.reveal()

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"PostgresUrl({self.shown!r})"


def shown(text: str, *, called: str = "PROMPTYOSELF_DB") -> str:
    """Return what may be shown of an address.

    Raises ConfigError, which says what it is `called`, for one that libpq would read otherwise than meant.
    """
    if not is_postgres(text):
        raise ConfigError(f"{called} is no address of a PostgreSQL database", hint=_FORM)
    rest = text.partition("://")[2]
    authority, user = rest, ""
    # As libpq: there is a user when an @ comes before the first slash, whatever else stands there.
    if "@" in rest.partition("/")[0]:
        given, _, authority = rest.partition("@")
        user = given.partition(":")[0]
    place, _, query = authority.partition("?")
    hosts, slash, database = place.partition("/")
    if (
        not text.isprintable()
        or any(one in place for one in "@ #")
        or "/" in database
        or any(one in user for one in "/?#")
    ):
        # Most likely a piece of the password: it is not shown, and not taken for a host's name.
        raise ConfigError(
            f"{called} is no address of a PostgreSQL database: special characters stand where none may",
            hint="write those of a user or password as percent codes (@ is %40, / is %2F, : is %3A), as in "
            "postgresql://user:pass%40word@host:5432/database",
        )
    told = [f"{key}={value}" for key, value in _parameters(query, called) if key in _SHOWN]
    parameters = f"?{'&'.join(told)}" if told else ""
    return f"postgresql://{user}{'@' if user else ''}{hosts}{slash}{database}{parameters}"


def _parameters(query: str, called: str) -> list[tuple[str, str]]:
    """Return a query's parameters as they are written: what has its name in percent codes is none that is shown."""
    found = []
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals or "=" in value or any(one in value for one in "@#? "):
            raise ConfigError(
                f"a parameter of {called} cannot be read",
                hint="each is name=value, joined by &, special characters as percent codes: "
                "?sslmode=require&options=-csearch_path%3Dprompts",
            )
        found.append((key, value))
    return found
