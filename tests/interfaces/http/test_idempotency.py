"""Idempotency keys: a creation that is repeated makes nothing new, whoever was quicker and whatever died."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from promptyoself.domain import limits
from promptyoself.domain.errors import AgentNotFound
from tests.interfaces.http.conftest import client_of
from tests.interfaces.http.test_schedules import AT, GOOD

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from tests.interfaces.world import FakeServices

ROOT = Path(__file__).resolve().parents[3]
KEY = "0b0a7f0e-5f0c-4d0a-9f39-4e9b6f1d8f11"


def create(client: TestClient, key: str = KEY, **more: object) -> Any:  # noqa: ANN401  starlette's own kind of answer
    return client.post(AT, json={**GOOD, **more}, headers={"Idempotency-Key": key})


def ids(client: TestClient) -> list[int]:
    return [one["id"] for one in client.get(AT, params={"all": "true"}).json()["schedules"]]


def test_the_same_request_again_is_answered_again(client: TestClient, services: FakeServices) -> None:
    first = create(client, time="in 45 minutes", every=None)
    services.clock.at += timedelta(hours=1)
    services.letta = AgentNotFound("gone meanwhile")
    again = create(client, time="in 45 minutes", every=None)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["id"] == first.json()["id"]
    assert ids(client) == [1]


def test_the_order_of_keys_and_nulls_make_no_other_request(client: TestClient) -> None:
    create(client)
    again = client.post(AT, json={**dict(reversed(GOOD.items())), "name": None}, headers={"Idempotency-Key": KEY})
    assert again.headers["idempotency-replayed"] == "true"


def test_the_key_of_another_request_is_refused(client: TestClient) -> None:
    create(client)
    other = create(client, prompt="Other words.")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert ids(client) == [1]


def test_another_caller_may_use_the_same_key(client: TestClient, app: FastAPI) -> None:
    create(client)
    assert create(client_of(app, "agent-1")).json()["id"] == 2


def test_a_refused_request_leaves_its_key_free(client: TestClient) -> None:
    assert create(client, every="nonsense").status_code == 422
    assert create(client).status_code == 201


def test_an_update_by_key_stays_an_update_when_it_is_repeated(client: TestClient) -> None:
    create(client, name="n")
    client.post(AT, json={**GOOD, "key": "mine"})
    update: dict[str, Any] = {**GOOD, "key": "mine", "prompt": "Other words."}
    first, again = (client.post(AT, json=update, headers={"Idempotency-Key": "u-1"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["idempotency-replayed"] == "true"


def test_a_key_counts_for_a_day(client: TestClient, services: FakeServices) -> None:
    create(client)
    services.clock.at += limits.IDEMPOTENCY_FOR - timedelta(microseconds=1)
    assert create(client).headers["idempotency-replayed"] == "true"
    services.clock.at += timedelta(microseconds=1)
    assert create(client).json()["id"] == 2
    assert create(client).json()["id"] == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(client: TestClient, key: str) -> None:
    answer = client.post(AT, json=GOOD, headers={b"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 422
    assert ids(client) == []


def test_of_many_at_once_one_makes_it_and_all_have_it(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: create(client), range(8)))
    assert {one.json()["id"] for one in answers} == {1}
    assert sum("idempotency-replayed" not in one.headers for one in answers) == 1
    assert ids(client) == [1]


KILLED = """
import os, signal, sys
from pathlib import Path
from promptyoself.interfaces.door import Door
from promptyoself.interfaces.identity import Identity
from tests.interfaces.world import FakeServices
options = {"agent_id": "agent-1", "prompt": "Look over the notes.", "every": "1h", "idempotency_key": sys.argv[2]}
Door(FakeServices(Path(sys.argv[1])), name="http").answer("register", options, Identity("operator", "test"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_answered_before_a_kill_is_answered_after_it(
    tmp_path: Path, client: TestClient, services: FakeServices
) -> None:
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), KEY], cwd=ROOT, check=False, timeout=30)
    assert died.returncode == -9
    assert services.path.parent == tmp_path
    again = create(client)
    assert (again.json()["id"], again.headers.get("idempotency-replayed")) == (1, "true")
