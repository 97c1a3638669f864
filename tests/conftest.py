"""What every test shares: one profile for Hypothesis, so that a run is the same here and in CI, and the real Letta."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.letta_server.server import LettaServer

settings.register_profile(
    "promptyoself",
    deadline=None,  # a loaded machine is slow, not wrong
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("promptyoself")


@pytest.fixture(scope="session")
def letta_server() -> LettaServer:
    """A real Letta with Redis and the stub LLM, for tests marked `letta`. Failing to start fails the test, loudly."""
    return LettaServer().up(redis=True)
