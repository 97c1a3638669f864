"""The tests' own PostgreSQL: it comes back after a stop and a crash, under the same address."""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres.server import PostgresServer


def _works(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_it_comes_back_after_a_stop_and_after_a_crash() -> None:
    with PostgresServer() as server:
        url = server.new_database()
        for end in (server.stop, server.kill):
            end()
            assert not _works(url)
            server.start()
            assert _works(url)
        assert server.new_database() != url
    assert not server.folder.exists()


def test_a_version_that_is_not_here_says_so() -> None:
    with pytest.raises(FileNotFoundError, match="no PostgreSQL 9"):
        PostgresServer(9)
