"""Refusals and bugs over HTTP: one shape, and nothing of a prompt in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from promptyoself.domain import errors
from promptyoself.interfaces.http.problem import kinds
from tests.interfaces.http.conftest import client_of

if TYPE_CHECKING:
    import pytest
    from fastapi import FastAPI
    from starlette.testclient import TestClient

SECRET = "the prompt's own words"  # noqa: S105  no password


def test_every_error_of_the_tree_has_a_kind_with_its_status() -> None:
    found: list[type[errors.PromptyoselfError]] = [errors.PromptyoselfError]
    for one in found:
        found += one.__subclasses__()
    for one in found:
        assert kinds()[one.code].title
    assert kinds()["schedule_not_found"].status == 404
    assert kinds()["conflict"].status == 409


def test_what_is_not_there_is_a_problem_too(client: TestClient) -> None:
    answer = client.get("/nowhere")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


def test_another_method_is_told_which_are_taken(client: TestClient) -> None:
    answer = client.put("/api/v1/schedules")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert {one.strip() for one in answer.headers["allow"].split(",")} >= {"GET", "POST"}


def test_a_bug_says_neither_its_place_nor_its_words(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ValueError(SECRET)

    app.add_api_route("/broken", broken)
    with caplog.at_level(logging.ERROR):
        answer = client_of(app).get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert SECRET not in answer.text
    assert "ValueError" in caplog.text
    assert "test_problem.py" in caplog.text
    assert SECRET not in caplog.text
