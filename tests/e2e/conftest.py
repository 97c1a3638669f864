"""A stage a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A folder, a database and processes that end with the test."""
    with Stage(tmp_path) as made:
        yield made
