"""The OpenAPI document: every command, every refusal, examples that are true, and answers that are as it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import pytest

from promptyoself.interfaces.commands import COMMANDS
from promptyoself.interfaces.http.api.examples import ANSWERS, BODIES
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.http.problem import kinds
from tests.interfaces.http.conftest import NamedKeeper, client_of
from tests.interfaces.world import FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

NOT_OVER_A_NETWORK: Final = {
    "serve": "it is what answers",
    "worker": "it is a process without doors",
    "mcp": "it speaks over stdin and stdout, or at /mcp",
    "completion": "it is for a shell on the same machine",
    "demo": "it is a show for a terminal",
    "dashboard": "it shows a person of this machine the way in",
    "letta attach": "it sets a Letta server up from the machine that serves",
    "letta detach": "it undoes that",
    "db move": "the service ends with it: it is for the machine's own command line",
    "db restored": "no service runs when it is said",
    "import promptyoself-fast": "it reads another program's database where it lies",
}
UNDER_ANOTHER_NAME: Final = {
    "db upgrade": "db-upgrade",
    "db backup": "db-backup",
    "import crontab": "import",
    "import letta-cron": "import",
    "import json": "import",
    "token create": "token-create",
    "token list": "token-list",
    "token revoke": "token-revoke",
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Hold what callers are given, worked out once: that takes half a second."""
    services = FakeServices(tmp_path_factory.mktemp("document"))
    found: dict[str, Any] = client_of(make_app(Parts(services, NamedKeeper()))).get("/openapi.json").json()
    yield found
    services.close()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["operationId"]: one for path in document["paths"].values() for one in path.values()}


def test_every_command_is_a_route_or_has_a_reason_not_to_be(document: dict[str, Any]) -> None:
    names = {UNDER_ANOTHER_NAME.get(one.name, one.name) for one in COMMANDS if one.name not in NOT_OVER_A_NETWORK}
    assert names - operations(document).keys() == set()
    assert NOT_OVER_A_NETWORK.keys() - {one.name for one in COMMANDS} == set()


def test_every_operation_says_what_it_does_and_how_it_refuses(document: dict[str, Any]) -> None:
    found = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations(document)) == len(found), "two operations have one id"
    for one in found:
        assert one["summary"], one
        assert one["tags"], one
        refusals = {status: answer for status, answer in one["responses"].items() if status >= "400"}
        assert refusals.keys() >= {"401", "403", "429", "500", "503"}, one["operationId"]
        for answer in refusals.values():
            assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert document["security"] == [{"bearer": []}]
    assert set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == kinds().keys()


def test_the_document_is_for_callers_with_a_token(app: FastAPI) -> None:
    assert client_of(app, None).get("/openapi.json").status_code == 401
    assert client_of(app, "agent-1").get("/api/v1/openapi.json").status_code == 200


def test_every_example_is_as_its_schema_says(document: dict[str, Any]) -> None:
    held = 0
    for name, one in operations(document).items():
        content = one.get("requestBody", {}).get("content", {}).get("application/json", {})
        cases = [(content["schema"], case["value"]) for case in content.get("examples", {}).values()]
        for status, answer in one["responses"].items():
            media = answer.get("content", {}).get("application/json", {})
            if status < "300" and "example" in media:
                cases.append((media["schema"], media["example"]))
        for schema, value in cases:
            jsonschema_rs.validate({**schema, "components": document["components"]}, value)
            held += 1
        assert name not in BODIES or content["examples"], name
    assert held >= len(ANSWERS) + len(BODIES)


def test_the_bodies_that_are_shown_are_taken(client: TestClient) -> None:
    paths = {"register": "/schedules", "preview": "/preview", "explain": "/explain", "import": "/import"}
    for name, path in paths.items():
        for example in BODIES[name].values():
            answer = client.post(f"/api/v1{path}", json=example["value"])
            assert answer.status_code in {200, 201}, answer.text


def test_a_problems_type_leads_to_what_the_code_means(client: TestClient) -> None:
    problem = client.get("/api/v1/schedules/77").json()
    at, _, code = problem["type"].partition("#")
    (meant,) = [one for one in client.get(at).json()["errors"] if one["code"] == code]
    assert (meant["status"], meant["title"]) == (404, problem["title"])
