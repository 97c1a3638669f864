"""Refusals and bugs over HTTP: one shape, and nothing of a prompt in it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from promptyoself.domain import errors
from promptyoself.interfaces.http.problem import kinds
from tests.interfaces.http.conftest import client_of

if TYPE_CHECKING:
    import pytest
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.testclient import TestClient
    from starlette.types import Message

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


def test_a_client_that_hangs_up_in_the_middle_of_its_words_is_no_bug(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    async def reads(request: Request) -> Response:
        await request.body()
        raise AssertionError

    app.add_route("/reads", reads, methods=["POST"])
    heard: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    said: list[Message] = []

    async def receive() -> Message:
        return heard.pop(0)

    async def send(message: Message) -> None:
        said.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/reads",
        "raw_path": b"/reads", "query_string": b"", "root_path": "",
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"content-length", b"9")],
    }  # fmt: skip
    with caplog.at_level(logging.DEBUG):
        asyncio.run(app(scope, receive, send))
    assert not heard, "it was read"
    assert said == []
    assert [one.getMessage() for one in caplog.records if one.levelno > logging.INFO] == []
    assert "http.client_gone" in caplog.text
