"""The contract of engines, by the local one on a file and by the fleet's on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from promptyoself.domain.ports import Store
from promptyoself.storage.sqlite import SqliteStore
from tests.contract.engine_suite import EngineContract
from tests.lanes.node import Node
from tests.lanes.post import Post
from tests.postgres.stores import CleanStores


@dataclass(kw_only=True)
class _Place:
    store: Store
    conninfo: str | None = None
    post: Post = field(default_factory=Post)

    def node(self, name: str = "a", *, store: Store | None = None, **options: Any) -> Node:  # noqa: ANN401  any option
        """Make a node that delivers from the store to the post."""
        targets = {"inbox": self.post.target(name)}
        return Node(store or self.store, targets, name=name, conninfo=self.conninfo, **options)


class TestLocal(EngineContract):
    """Tasks of one process, on a file."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[_Place]:
        store = SqliteStore.open(tmp_path / "it.db", new_uid=lambda: f"{7:032x}")
        yield _Place(store=store)
        store.close()


class TestFleet(EngineContract):
    """Tokens in PostgreSQL."""

    @pytest.fixture
    def place(self, clean_stores: CleanStores) -> Iterator[_Place]:
        with clean_stores.of_one_test() as make:
            store = make()
            yield _Place(store=store, conninfo=clean_stores.url_of(store))
