"""The OpenAPI document tells every key that an answer has: the models are the handlers' documents, said once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.testclient import TestClient

P = "/api/v1"


def untold(schema: dict[str, Any], value: object, known: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield the path of each key that a value has and its schema has not."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rsplit("/", 1)[1]]
    choices = [one for key in ("anyOf", "oneOf") for one in schema.get(key, ()) if one.get("type") != "null"]
    if choices:
        yield from min((list(untold(one, value, known, at)) for one in choices), key=len)
    members = schema.get("properties", {})
    if isinstance(value, dict) and members:
        for key, inner in value.items():
            if key in members:
                yield from untold(members[key], inner, known, f"{at}.{key}")
            else:
                yield f"{at}.{key}"
    if isinstance(value, list) and "items" in schema:
        for inner in value:
            yield from untold(schema["items"], inner, known, f"{at}[]")


def test_no_answer_has_a_key_that_the_document_does_not_tell_of(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    known = document["components"]["schemas"]
    body = {"agent_id": "agent-1", "prompt": "Look.", "every": "weekday at 9am", "target": "inbox", "name": "n"}
    asked: list[tuple[str, str, str, dict[str, object]]] = [
        ("post", "/schedules", "/schedules", {"json": body}),
        ("post", "/schedules", "/schedules", {"json": {**body, "every": "1h", "key": "k"}}),
        ("get", "/schedules", "/schedules", {}),
        ("get", "/schedules/{id}", "/schedules/1", {}),
        ("patch", "/schedules/{id}", "/schedules/1", {"json": {"prompt": "y", "quiet_hours": "22:00-07:00"}}),
        ("post", "/schedules/{id}/skip", "/schedules/1/skip", {"json": {"count": 1}}),
        ("post", "/schedules/{id}/snooze", "/schedules/2/snooze", {"json": {"for": "20m"}}),
        ("post", "/schedules/{id}/run-now", "/schedules/1/run-now", {"json": {}}),
        ("post", "/schedules/{id}/pause", "/schedules/1/pause", {"json": {"until": "2031-01-01T09:00"}}),
        ("post", "/schedules/{id}/resume", "/schedules/1/resume", {"json": {}}),
        ("get", "/schedules/{id}/history", "/schedules/1/history", {}),
        ("get", "/schedules/{id}/why", "/schedules/1/why", {}),
        ("get", "/deliveries", "/deliveries", {}),
        ("get", "/inbox", "/inbox?agent_id=agent-1", {}),
        ("get", "/journal", "/journal", {}),
        ("get", "/on-time", "/on-time?agent_id=agent-1", {}),
        ("post", "/claims", "/claims", {"json": {"key": "k", "agent_id": "agent-1"}}),
        ("post", "/preview", "/preview", {"json": {"every": "weekday at 9am", "quiet_hours": "08:00-10:00"}}),
        ("post", "/explain", "/explain", {"json": {"text": "0 9 13 * 5"}}),
        ("post", "/simulate", "/simulate", {"json": {"for": "2d"}}),
        ("post", "/tokens", "/tokens", {"json": {"agent_id": "agent-1", "name": "n"}}),
        ("get", "/tokens", "/tokens", {}),
        ("delete", "/tokens/{id}", "/tokens/1", {}),
        ("get", "/agents", "/agents", {}),
        ("get", "/test", "/test", {}),
        ("get", "/config", "/config", {}),
        ("get", "/export", "/export?all=true", {}),
        ("post", "/pause", "/pause", {"json": {}}),
        ("post", "/resume", "/resume", {"json": {}}),
        ("delete", "/schedules/{id}", "/schedules/2", {}),
    ]
    found: dict[str, list[str]] = {}
    for method, route, address, more in asked:
        answer = client.request(method, P + address, **more)  # type: ignore[arg-type]  # json or nothing
        assert answer.status_code in {200, 201}, (address, answer.text)
        told = document["paths"][P + route][method]["responses"][str(answer.status_code)]
        schema = told["content"]["application/json"]["schema"]
        if more_keys := sorted(set(untold(schema, answer.json(), known))):
            found.setdefault(f"{method} {route}", []).extend(more_keys)
    assert found == {}
