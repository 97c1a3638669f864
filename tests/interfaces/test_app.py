"""The application as a whole: its parts live as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from promptyoself.domain.errors import Unauthenticated
from promptyoself.interfaces.http.app import Parts, lives, make_app
from promptyoself.interfaces.identity import Credentials, Identity
from tests.interfaces.world import Door

if TYPE_CHECKING:
    from fastapi import FastAPI


class _Nobody:
    async def identify(self, credentials: Credentials) -> Identity:
        raise Unauthenticated("nobody may come in", hint=credentials.agent_header)

    admit = identify_as_letta = identify

    async def close(self) -> None:
        """Hold nothing."""


@pytest.fixture
def app(door: Door) -> FastAPI:
    return make_app(Parts(door.services, _Nobody()))


def test_health_needs_no_token(app: FastAPI) -> None:
    with TestClient(app, "http://localhost") as client:
        answer = client.get("/healthz")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_what_lives_with_the_application_ends_in_the_opposite_order(app: FastAPI) -> None:
    told: list[str] = []

    def life(name: str) -> None:
        @asynccontextmanager
        async def one(_app: FastAPI) -> AsyncIterator[None]:
            told.append(f"{name} begins")
            yield
            told.append(f"{name} ends")

        lives(app).append(one)

    life("hub")
    life("session")
    with TestClient(app, "http://localhost"):
        assert told == ["hub begins", "session begins"]

    assert told[2:] == ["session ends", "hub ends"]
