"""The calendar: for programs that know passwords and no bearers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from icalendar import Calendar

from promptyoself.domain.models import OPERATOR
from tests.interfaces.http.conftest import client_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

FEED = "/api/v1/calendar.ics"


@pytest.fixture
def filled(client: TestClient) -> TestClient:
    for agent in ("agent-1", "agent-2"):
        words = {"agent_id": agent, "prompt": "p", "name": f"for {agent}", "every": "6h", "target": "inbox"}
        assert client.post("/api/v1/schedules", json=words).status_code == 201
    return client


def names(text: str) -> set[str]:
    return {str(event["SUMMARY"]) for event in Calendar.from_ical(text).walk("VEVENT")}


@pytest.mark.usefixtures("filled")
def test_a_calendar_program_sees_its_agents_fires_by_password(app: FastAPI) -> None:
    program = client_of(app, None)
    assert (answer := program.get(f"{FEED}?for=1d", auth=("anybody", "agent-1"))).status_code == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert names(answer.text) == {"for agent-1"}
    assert names(program.get(FEED, auth=("", "agent-1"), params={"agent_id": "agent-2"}).text) <= {"for agent-1"}


def test_an_operators_token_is_no_password_and_no_address_holds_one(app: FastAPI, filled: TestClient) -> None:
    assert names(filled.get(FEED).text) == {"for agent-1", "for agent-2"}
    program = client_of(app, None)
    assert program.get(FEED, auth=("anybody", OPERATOR)).status_code == 403
    for words in ("", f"?token={OPERATOR}", "?access_token=agent-1"):
        refused = program.get(FEED + words)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
    for header in ("Basic", "Basic !!", "Basic YWJj", "Basic /////w=="):
        assert program.get(FEED, headers={"Authorization": header}).status_code == 401


@pytest.mark.usefixtures("filled")
def test_a_password_opens_nothing_else(app: FastAPI) -> None:
    program = client_of(app, None)
    assert program.get("/api/v1/schedules", auth=("anybody", "agent-1")).status_code == 401
