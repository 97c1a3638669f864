"""An application over a real store, and callers whose token is their name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from promptyoself.domain.errors import Unauthenticated
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.identity import Credentials, Identity
from tests.interfaces.world import FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI


class NamedKeeper:
    """Lets in whoever gives a name: `operator`, or an agent's id."""

    async def identify(self, credentials: Credentials) -> Identity:
        if not credentials.bearer:
            raise Unauthenticated("no token was given", hint="send one as Authorization: Bearer ...")
        return Identity(owner=credentials.bearer, means=f"token {credentials.bearer}")

    admit = identify_as_letta = identify

    async def close(self) -> None:
        """Hold nothing."""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[FakeServices]:
    made = FakeServices(tmp_path)
    assert made.store.location
    yield made
    made.close()


@pytest.fixture
def app(services: FakeServices) -> FastAPI:
    return make_app(Parts(services, NamedKeeper()))


def client_of(app: FastAPI, name: str | None = OPERATOR) -> TestClient:
    headers = {"Authorization": f"Bearer {name}"} if name else {}
    return TestClient(app, "http://127.0.0.1:8289", headers=headers, raise_server_exceptions=True)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as made:
        yield made
