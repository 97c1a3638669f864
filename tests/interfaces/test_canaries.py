"""No prompt, token or key stands in a log of any level, in an error, in metrics, in `config` or `doctor`, in a fact."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from starlette.testclient import TestClient

from promptyoself.domain.errors import CannotVerify, StoreBusy
from promptyoself.interfaces.gatekeeper import TokenGatekeeper
from promptyoself.interfaces.http.app import Parts, make_app
from tests.interfaces.neighbours import ME, Neighbours, populate
from tests.interfaces.world import Door, FakeServices

PROMPT = "prompt-that-nobody-else-may-read"
KEY = "letta-key-of-somebody"
STRANGE = "pys_" + "c" * 39 + "nary"


@pytest.fixture
def services(door: Door) -> FakeServices:
    return door.services


@pytest.fixture
def neighbours(services: FakeServices) -> Neighbours:
    return populate(services)


@pytest.fixture
def client(services: FakeServices) -> Iterator[TestClient]:
    app = make_app(Parts(services, TokenGatekeeper(services)))
    with TestClient(app, "http://127.0.0.1:8289") as made:
        yield made


class Visit:
    """Asks, and keeps what those are told who get no answer."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.told: list[str] = []

    def ask(self, method: str, path: str, bearer: str, **request: Any) -> None:  # noqa: ANN401  of httpx
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = self.client.request(method, f"/api/v1{path}", headers=headers, **request)
        if answer.status_code >= 400:  # an answer that succeeds is its owner's
            self.told.append(f"{answer.status_code} {answer.text} {answer.headers}")


def visited(visit: Visit, services: FakeServices, mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Come with a prompt, tokens and keys to doors that refuse, fail, and break."""
    good: dict[str, Any] = {"prompt": PROMPT, "every": "2h", "target": "inbox", "agent_id": ME}
    visit.ask("POST", "/schedules", mine, json=good)
    wrong: list[dict[str, Any]] = [
        {"prompt": PROMPT * 9000},
        {"agent_id": "agent-other"},
        {"prompt": [PROMPT]},
        {"nothing": PROMPT},
    ]
    wrong += [{"target": "moon"}, {"every": "0s"}]
    for one in wrong:
        visit.ask("POST", "/schedules", mine, json=good | one)
    visit.ask("POST", "/schedules", mine, content=f'{{"prompt": "{PROMPT}')
    for bearer in (STRANGE, KEY, f"{mine} {KEY}"):
        visit.ask("GET", "/schedules", bearer)
    services.letta = CannotVerify("Letta does not answer", hint="wait")
    visit.ask("GET", "/schedules", f"{KEY}-2")
    for failure in (_breaks, _is_locked):
        with monkeypatch.context() as patched:
            patched.setattr("promptyoself.application.schedules.register", failure)
            visit.ask("POST", "/schedules", mine, json=good | {"name": failure.__name__})
            patched.setattr(services, "check_letta_key", failure)
            visit.ask("GET", "/schedules", f"{KEY}-{failure.__name__}")


def _breaks(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(f"a bug that quotes {PROMPT} and {KEY}")


def _is_locked(*_: object, **__: object) -> NoReturn:
    raise StoreBusy("somebody holds the database", hint="try again")


def test_what_is_secret_stands_nowhere_but_in_the_answer_to_its_owner(
    client: TestClient,
    services: FakeServices,
    neighbours: Neighbours,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    visit = Visit(client)
    visited(visit, services, neighbours.my_token, monkeypatch)
    assert len(visit.told) >= 12, visit.told
    open_to_all = [client.get(path).text for path in ("/healthz", "/readyz", "/metrics")]
    desk = {"Authorization": f"Bearer {neighbours.operators_token}"}
    operators = [
        client.get(f"/api/v1{path}", headers=desk).text for path in ("/config", "/doctor", "/tokens", "/journal")
    ]
    with services.store.reading() as tx:
        facts = repr(tx.facts(limit=1000))
    secrets = [PROMPT, KEY, STRANGE, neighbours.my_token, neighbours.others_token, neighbours.operators_token]
    for told in (*visit.told, *open_to_all, *operators, facts, caplog.text, *capfd.readouterr()):
        assert [one for one in secrets if one in told] == [], told[:1000]


def test_the_command_line_tells_no_secret(door: Door) -> None:
    made = door.ok("token", "create", "--operator")
    number = door.ok("register", "--agent-id", ME, "--prompt", PROMPT, "--every", "1h", "--target", "inbox")["id"]
    looks = ["token list --all", "config", "doctor", "journal", f"why --id {number}"]
    for words in looks:
        answer = door.call(*words.split(), is_debug=True)
        assert made["token"] not in f"{answer.out} {answer.err}"
        assert PROMPT not in f"{answer.out} {answer.err}"
