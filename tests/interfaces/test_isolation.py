"""What one agent's token shows and changes of another's: nothing, through every command, route and tool there is.

Each walk goes over the table itself (COMMANDS, the OpenAPI document, TOOLS) and asks for everything by another's ids,
names and keys. What has no verdict here fails: whoever adds a command decides what an agent may do with it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from starlette.testclient import TestClient

from promptyoself.domain.errors import PromptyoselfError
from promptyoself.domain.models import OPERATOR
from promptyoself.interfaces import wire
from promptyoself.interfaces.commands import COMMANDS
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.gatekeeper import TokenGatekeeper
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.identity import Identity
from promptyoself.interfaces.mcp.tools import TOOLS, Tool
from tests.interfaces.mcp_world import mcp_client
from tests.interfaces.neighbours import CANARY, ME, OTHER, UNKNOWN_ID, Belongings, Neighbours, populate, state_of_others
from tests.interfaces.world import FakeServices

if TYPE_CHECKING:
    from fastapi import FastAPI

    from promptyoself.interfaces.table import Command

OWN, OPERATORS = "an agent's own only", "operators only"
_FOR_AGENTS: Final = """
    register register-all list show history why journal cancel pause resume update preview explain simulate run-now skip
    snooze inbox ack claim-once on-time deliveries retry export
"""
_FOR_OPERATORS: Final = """
    execute, serve, worker, mcp, dashboard, test, agents, upload, doctor, config, completion, demo, import crontab,
    import letta-cron, import promptyoself-fast, import json, letta attach, letta detach, token create, token list,
    token revoke, db upgrade, db backup, db move, db restored
"""
VERDICTS: Final = {
    **dict.fromkeys(_FOR_AGENTS.split(), OWN),
    **dict.fromkeys((name.strip() for name in _FOR_OPERATORS.split(",")), OPERATORS),
}
"""Every command of the table, for an agent that comes through a door of many."""

ROUTES: Final = {
    **dict.fromkeys(["pause-all", "resume-all", "import"], OPERATORS),
    "calendar": OWN,
    "errors": OWN,  # what each code means: the same for everybody
}
"""Operations that have no command's name."""
STREAMS: Final = {"events"}
"""`journal` walks the same facts, and test_events.py what is streamed."""
PUBLIC: Final = {"/healthz", "/readyz", "/metrics"}

SHOWS: Final = {"list", "show", "history", "why", "journal", "simulate", "inbox", "deliveries", "export", "preview"}
"""Commands whose answer to an operator holds something of OTHER's; the walk would prove nothing otherwise."""
NEEDS: Final[dict[str, dict[str, Any]]] = {
    "register": {"prompt": "words", "every": "2h", "target": "inbox"},
    "update": {"prompt": "words"},
    "preview": {},
    "explain": {"text": "every day at noon"},
    "snooze": {"for": "10m"},
    "claim-once": {"key": "something else"},
    "simulate": {"for": "2h"},
    "journal": {"after": 0, "limit": 1000},
    "upload": {"source_code": "def f(): ..."},
    "db backup": {"to": "nowhere.db"},
    "db move": {"from": "nowhere.db", "to": "postgresql://nowhere/"},
    "completion": {"shell": "ids"},
    "export": {"all": True},
    "token create": {"operator": True},
    "import": {"kind": "json", "content": "{}"},
    **{f"import {kind}": {"file": "-"} for kind in ("crontab", "letta-cron", "promptyoself-fast", "json")},
}
"""What a call has to say besides whose things it is about."""


def _services() -> FakeServices:
    made = FakeServices(Path())
    made.path = Path(":memory:")
    return made


@pytest.fixture(scope="module")
def services() -> Iterator[FakeServices]:
    """One world for every walk: what a walk may change in it is ME's alone."""
    made = _services()
    yield made
    made.close()


@pytest.fixture(scope="module")
def neighbours(services: FakeServices) -> Neighbours:
    return populate(services)


@pytest.fixture
def fresh() -> Iterator[tuple[FakeServices, Neighbours]]:
    """A world of its own."""
    made = _services()
    yield made, populate(made)
    made.close()


def words_about(
    command: Command, things: Belongings, agent_id: str, *, mine: int = UNKNOWN_ID
) -> Iterator[dict[str, Any]]:
    """Yield the options by which a command can be asked about somebody's things, one way after another.

    `mine` is a schedule of the asker's, for what is asked of it with another's agent or key.
    """
    if command.name == "register-all":
        one = NEEDS["register"]
        yield {"schedules": [one, one | {"agent_id": agent_id}]}
        yield {"schedules": [one | {"key": key} for key in things.keys]}
        return
    kinds = {option.key: option.kind for option in command.options if not option.is_operators}
    need = NEEDS.get(command.name, {})
    extra = {"all": True} if "all" in kinds and "all" not in need else {}
    if any(one.key == "id" and one.is_required for one in command.options):
        need = need | {"id": mine}
    elif command.name != "preview":
        yield need
        yield need | extra
    if "agent_id" in kinds:
        yield need | extra | {"agent_id": agent_id}
    if "key" in kinds:
        for key in things.keys:
            yield need | {"key": key}
            yield need | {"key": key, "agent_id": agent_id}
    if "id" in kinds:
        for number in things.ids:
            yield need | {"id": (str(number),) if kinds["id"] == "texts" else number}


def asked(door: Door, command: str, options: dict[str, Any], owner: str) -> dict[str, Any]:
    content = json.dumps(options) if "schedules" in options else None
    options = {"file": "-"} if content is not None else options
    try:
        return door.answer(command, options, Identity(owner, "token 1 (laptop)"), content=content)
    except PromptyoselfError as error:
        return wire.failure(error) | {"http": error.http_status}


def test_every_command_has_a_verdict() -> None:
    assert VERDICTS.keys() == {command.name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_a_command_shows_and_changes_nothing_of_anothers(
    command: Command, services: FakeServices, neighbours: Neighbours
) -> None:
    door = Door(services, name="http")
    before = state_of_others(services)
    for options in words_about(command, neighbours.others, OTHER, mine=neighbours.mine.schedules[0]):
        document = asked(door, command.name, options, ME)
        assert CANARY not in json.dumps(document), options
        assert OTHER not in json.dumps(document) or options.get("agent_id") == OTHER, options
        assert services.store.location not in json.dumps(document), "a path of this machine"
        if VERDICTS[command.name] == OPERATORS:
            assert document.get("code") == "forbidden", document
        assert state_of_others(services) == before, options
        services.entries = []


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.name in SHOWS], ids=lambda one: str(one.name))
def test_an_operator_is_shown_what_the_walk_looks_for(
    command: Command, services: FakeServices, neighbours: Neighbours
) -> None:
    door = Door(services, name="http")
    told = [asked(door, command.name, options, OPERATOR) for options in words_about(command, neighbours.others, OTHER)]
    assert any(one.get("status") == "success" for one in told), told
    if command.name not in {"preview", "simulate", "why", "journal"}:
        assert CANARY in json.dumps(told)


@pytest.mark.parametrize(
    "command",
    [one for one in COMMANDS if VERDICTS.get(one.name) == OWN and any(option.key == "id" for option in one.options)],
    ids=lambda one: str(one.name),
)
def test_anothers_and_nobodys_are_told_apart_by_nothing_and_ones_own_is_found(
    command: Command, fresh: tuple[FakeServices, Neighbours]
) -> None:
    services, neighbours = fresh
    door = Door(services, name="http")
    is_texts = any(one.key == "id" and one.kind == "texts" for one in command.options)

    def told(number: int) -> dict[str, Any]:
        options = NEEDS.get(command.name, {}) | {"id": (str(number),) if is_texts else number}
        return asked(door, command.name, options, ME)

    things = {"ack": Belongings.messages, "retry": Belongings.deliveries}.get(command.name, Belongings.schedules)
    for number in things.__get__(neighbours.others):  # type: ignore[attr-defined]  # a field of a NamedTuple
        document, unknown = told(number), told(UNKNOWN_ID)
        if command.name == "journal":
            assert document["events"] == unknown["events"] == []
            continue
        assert document.pop("http") == unknown.pop("http") == 404
        assert json.dumps(document).replace(str(number), "N") == json.dumps(unknown).replace(str(UNKNOWN_ID), "N")
    own = [told(number) for number in things.__get__(neighbours.mine)]  # type: ignore[attr-defined]  # as above
    assert any(one.get("status") == "success" for one in own), own


# -- over HTTP ----------------------------------------------------------------------------------------------


Operation = tuple[str, str, dict[str, Any]]
"""A method, a path, and what the document says of them."""


@pytest.fixture
def app(services: FakeServices) -> FastAPI:
    return make_app(Parts(services, TokenGatekeeper(services)))


@pytest.fixture(scope="module")
def operations(services: FakeServices) -> list[Operation]:
    paths = make_app(Parts(services, TokenGatekeeper(services))).openapi()["paths"]
    return [
        (method, path, operation)
        for path, methods in paths.items()
        if path not in PUBLIC
        for method, operation in methods.items()
    ]


def name_of(operation: dict[str, Any]) -> str:
    """Return the command that an operation carries out, by its id; else the id."""
    name = str(operation["operationId"])
    return next((command.name for command in COMMANDS if command.name.replace(" ", "-") == name), name)


def test_every_operation_has_a_verdict(operations: list[Operation]) -> None:
    found = {name_of(operation) for _, _, operation in operations}
    assert found - VERDICTS.keys() - ROUTES.keys() - STREAMS == set()


def test_no_route_shows_or_changes_anything_of_anothers(
    app: FastAPI, operations: list[Operation], services: FakeServices, neighbours: Neighbours
) -> None:
    before = state_of_others(services)
    commands = {command.name: command for command in COMMANDS}
    statuses: dict[str, set[int]] = {}
    with TestClient(app, "http://127.0.0.1:8289", headers={"Authorization": f"Bearer {neighbours.my_token}"}) as client:
        for method, path, operation in operations:
            name = name_of(operation)
            if name in STREAMS:
                continue
            ways = words_about(commands[name], neighbours.others, OTHER) if name in commands else [NEEDS.get(name, {})]
            for options in ways:
                services.clock.at += timedelta(seconds=1)  # nobody is to be told to ask more slowly
                answer = client.request(method, **_request(path, operation, options))
                assert answer.status_code != 429
                statuses.setdefault(name, set()).add(answer.status_code)
                assert answer.status_code < 500, (method, path, answer.text)
                assert CANARY not in answer.text, (method, path, options)
                assert CANARY not in str(answer.headers), (method, path, options)
                if (VERDICTS | ROUTES)[name] == OPERATORS:
                    assert answer.status_code == 403, (method, path, answer.text)
                assert state_of_others(services) == before, (method, path, options)
    assert any(404 in found for found in statuses.values())
    assert 200 in statuses["list"]


def _request(path: str, operation: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the request by which these options are given to an operation."""
    left = dict(options)
    url = re.sub(r"{(\w+)}", lambda found: str(left.pop(found[1], 1)), path)
    in_query = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
    query = {key: str(value).lower() for key, value in left.items() if key in in_query}
    request: dict[str, Any] = {"url": url, "params": query}
    if "requestBody" in operation:
        request["json"] = {key: value for key, value in left.items() if key not in in_query}
    return request


def test_no_route_answers_a_stranger(
    app: FastAPI, operations: list[Operation], services: FakeServices, neighbours: Neighbours
) -> None:
    assert neighbours.mine.ids
    with TestClient(app, "http://127.0.0.1:8289") as client:
        for method, path, operation in operations:
            services.clock.at += timedelta(seconds=1)
            answer = client.request(method, **_request(path, operation, {}))
            assert answer.status_code == 401, (method, path, answer.text)
            assert CANARY not in answer.text


# -- MCP ----------------------------------------------------------------------------------------------------

ARGUMENTS: Final[dict[str, Any]] = {
    "prompt": "words",
    "when": "every 2 hours",
    "target": "inbox",
    "key": "something else",
    "include_finished": True,
    "include_acknowledged": True,
}
"""What a tool's arguments hold where they do not say whose."""


def ways_of(tool: Tool, things: Belongings) -> Iterator[dict[str, Any]]:
    """Yield the arguments by which a tool can be asked about OTHER's things."""
    names = {one.name for one in tool.parameters}
    base = {key: value for key, value in ARGUMENTS.items() if key in names}
    yield base
    yield base | {"agent_id": OTHER}
    for key in things.keys if "key" in names else ():
        yield base | {"key": key}
    for name in names & {"schedule_id", "message_id"}:
        by_id = {key: value for key, value in base.items() if not (tool.name == "preview_schedule" and key == "when")}
        for number in things.ids:
            yield by_id | {name: number}


def test_no_tool_shows_or_changes_anything_of_anothers(services: FakeServices, neighbours: Neighbours) -> None:
    before = state_of_others(services)

    async def walk() -> None:
        async with mcp_client(services, ME) as client:
            for tool in TOOLS:
                required = {one.name for one in tool.parameters if one.is_required and not one.is_operators}
                ways = list(ways_of(tool, neighbours.others))
                assert any(required <= way.keys() for way in ways), f"say what {tool.name} is called with"
                for way in ways:
                    said = (await client.call_tool(tool.name, way)).model_dump_json()
                    assert CANARY not in said, (tool.name, way)
                    assert OTHER not in said or way.get("agent_id") == OTHER, (tool.name, way)
                    assert state_of_others(services) == before, (tool.name, way)

    asyncio.run(walk())
