"""What every test shares: one profile for Hypothesis, so that a run is the same here and in CI, and the real Letta."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.letta_server.server import LettaServer
from tests.postgres.server import PostgresServer
from tests.postgres.stores import CleanStores

settings.register_profile(
    "promptyoself",
    deadline=None,  # a loaded machine is slow, not wrong
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("promptyoself")


@pytest.fixture(scope="session")
def running_letta() -> LettaServer:
    return LettaServer().up(redis=True)


@pytest.fixture
def letta_server(running_letta: LettaServer, request: pytest.FixtureRequest) -> LettaServer:
    """A real Letta with Redis and the stub LLM, for tests marked `letta`. Failing to start fails the test, loudly.

    Marked `letta_alone(redis=..., password=...)`, a test has it with those options, Redis alone if it names none.
    """
    marker = request.node.get_closest_marker("letta_alone")
    return running_letta if marker is None else running_letta.up(**_options(marker))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests of this process; whoever stops it takes one of his own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """An empty database of the test's own."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def clean_stores(postgres: PostgresServer) -> CleanStores:
    """Stores on that PostgreSQL, empty and quick to have."""
    return CleanStores(postgres)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that have Letta to themselves last, by its options: each change of them restarts it."""
    items.sort(key=_options_in_order)
    lost = [item.nodeid for item in items if item.get_closest_marker("letta") and not _is_found(item)]
    if lost:
        raise pytest.UsageError(f"`make test-letta` looks for tests of a real Letta in tests/letta* alone: {lost}")


def _is_found(item: pytest.Item) -> bool:
    return item.path.relative_to(Path(__file__).parent).parts[0].startswith("letta")


def _options_in_order(item: pytest.Item) -> tuple[bool, int, str]:
    marker = item.get_closest_marker("letta_alone")
    if marker is None:
        return False, 0, ""
    # The server runs as it does for the others already: no restart before the tests that want just that.
    return True, len(marker.kwargs), repr(sorted(marker.kwargs.items()))


def _options(marker: pytest.Mark) -> dict[str, Any]:
    return {"redis": True, **marker.kwargs}
