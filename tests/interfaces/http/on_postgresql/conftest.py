"""The world of these tests stands on PostgreSQL; all else is as for a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interfaces.http.fleet import FleetServices
from tests.postgres.stores import CleanStores


@pytest.fixture
def services(clean_stores: CleanStores, tmp_path: Path) -> Iterator[FleetServices]:
    with clean_stores.of_one_test() as make:
        made = FleetServices(tmp_path, make())
        yield made
        made.close()
