"""The address of a database: what of it may be seen, and what is refused before anybody connects."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptyoself.domain.errors import ConfigError
from promptyoself.postgres_url import PostgresUrl

SECRETS = ("hunter2", "hun", "ter2")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:hunter2@host:5433/db", "postgresql://me@host:5433/db"),
        ("postgres://me:hunter2@host/db", "postgresql://me@host/db"),
        ("postgresql://", "postgresql://"),
        ("postgresql:///db", "postgresql:///db"),
        ("postgresql://host", "postgresql://host"),
        ("postgresql://me@", "postgresql://me@"),
        ("postgresql://me:hun%40ter2@[::1]:5/db", "postgresql://me@[::1]:5/db"),
        ("postgresql://me:hun?ter2#x@host/db", "postgresql://me@host/db"),
        ("postgresql://me:hunter2@a:1,b:2/db", "postgresql://me@a:1,b:2/db"),
        ("postgresql://me:hunter2@%2Frun%2Fpg/db", "postgresql://me@%2Frun%2Fpg/db"),
        ("postgresql://me@/db?host=/tmp/pg&port=9", "postgresql://me@/db?host=/tmp/pg&port=9"),
        ("postgresql:///db?password=hunter2&user=me", "postgresql:///db?user=me"),
        ("postgresql:///db?pass%77ord=hunter2&passfile=hunter2", "postgresql:///db"),
        ("postgresql://h/db?sslmode=require&sslpassword=hunter2", "postgresql://h/db?sslmode=require"),
        ("postgresql://h/db?options=-csearch_path%3Da", "postgresql://h/db?options=-csearch_path%3Da"),
        ("postgresql:///?service=prompts", "postgresql:///?service=prompts"),
    ],
)
def test_an_address_shows_itself_without_its_password(given: str, shown: str) -> None:
    url = PostgresUrl(given, folder=Path("/data"))
    assert str(url) == shown
    assert url.reveal() == given
    assert not any(secret in f"{url!r} {url} {(url,)}" for secret in SECRETS)


@pytest.mark.parametrize(
    "given",
    [
        "postgresql:db",
        "postgresql://me:hun/ter2@host/db",
        "postgresql://me/hun:ter2@host/db",
        "postgresql://me:hun@ter2@host/db",
        "postgresql://hun ter2/db",
        "postgresql://me@host#hunter2/db",
        "postgresql://h/db/hunter2",
        "postgresql://h/db?hunter2",
        "postgresql://h/db?password=hun=ter2",
        "postgresql://h/db?port=hun@ter2",
        "postgresql://me:hunter2\n@host/db",
    ],
)
def test_what_libpq_would_read_otherwise_than_meant_is_refused_unquoted(given: str) -> None:
    with pytest.raises(ConfigError, match="PROMPTYOSELF_DB") as caught:
        PostgresUrl(given, folder=Path("/data"))
    assert caught.value.hint
    assert not any(secret in f"{caught.value.message}{caught.value.hint}" for secret in SECRETS)


@pytest.mark.parametrize(
    "given", ["postgresql://me:hun%40ter2@[::1]:5/db", "postgresql://me:hun?ter2#x@host/db", "postgresql://a:1,b:2/db"]
)
def test_it_is_read_as_libpq_reads_it(given: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    found = psycopg.conninfo.conninfo_to_dict(given)
    shown = str(PostgresUrl(given, folder=Path("/data")))
    again = psycopg.conninfo.conninfo_to_dict(shown)
    assert {**again, "password": found.get("password")} == {**found, "password": found.get("password")}
