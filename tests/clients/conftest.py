"""What tests with other people's clients share: one application and one upstream for a module; processes of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.stand import Stand, standing
from tests.clients.upstream import Upstream, running
from tests.e2e.stage import Stage


@pytest.fixture(scope="module")
def running_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running() as upstream, standing(upstream, tmp_path_factory.mktemp("stand")) as stand:
        yield stand


@pytest.fixture
def stand(running_stand: Stand) -> Stand:
    upstream: Upstream = running_stand.upstream
    upstream.password = None
    for state in (upstream.seen, upstream.acts, upstream.early, upstream.signals):
        state.clear()
    return running_stand


@pytest.fixture
def upstream(stand: Stand) -> Upstream:
    return stand.upstream


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A folder, a database and processes that end with the test: none of them holds a clock to seconds."""
    with Stage(tmp_path) as made:
        yield made
