"""`kill -9` of the service amid everything at once: what was answered is there, once, and nothing is half there."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from promptyoself.domain.ports import ScheduleFilter
from tests.e2e.service import Answer, Service, limits_of, read_to_end, read_until, told
from tests.e2e.stage import Stage, wait_for

pytestmark = pytest.mark.slow

CLIENTS = 8
BATCH = 200
AGAIN_SOON = limits_of(callback_lease=2, lease=6, lease_renew_every=1, heartbeat_every=1)
Made = dict[str, Answer]


class Hook(ThreadingHTTPServer):
    """Takes callbacks: the first post is read and never answered, later ones are."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        self.may_answer = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/done"


class _Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook = self.server
        assert isinstance(hook, Hook)
        hook.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        hook.keys.append(self.headers["Idempotency-Key"])
        if len(hook.keys) == 1:
            hook.may_answer.wait(60)
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.may_answer.set()
        made.shutdown()


class Clients:
    """Callers that create without pause until the service has gone."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.sent: set[str] = set()
        self.made: Made = {}

    def create(self, client: int) -> None:
        """Create singly; half of the clients under an Idempotency-Key, half the plain way."""
        over = self._service.connection()
        for number in range(100_000):
            name = f"{'keyed' if client % 2 else 'plain'}-{client}-{number}"
            self.sent.add(name)
            try:
                self.made[name] = create(self._service, name, over=over)
            except (OSError, http.client.HTTPException):
                return

    def create_many(self) -> None:
        """Create in batches; all schedules of a batch have its name."""
        for number in range(100_000):
            body = {"schedules": [asked(f"bulk-{number}") for _ in range(BATCH)]}
            try:
                assert self._service.ask("POST", "/api/v1/schedules/bulk", body).status == 200
            except (OSError, http.client.HTTPException):
                return


def asked(name: str, **more: object) -> dict[str, object]:
    return {"agent_id": "agent-1", "prompt": name, "name": name, "every": "9h", "skip_validation": True, **more}


def create(service: Service, name: str, *, over: http.client.HTTPConnection | None = None, **more: object) -> Answer:
    headers = {} if name.startswith("plain") else {"Idempotency-Key": name}
    answer = service.ask("POST", "/api/v1/schedules", asked(name, **more), headers=headers, over=over)
    assert answer.status == 201, answer
    return answer


def test_what_was_answered_is_there_whole_and_once(stage: Stage, hook: Hook) -> None:
    stage.receiver()
    allowed = {"PROMPTYOSELF_CALLBACK_ALLOW": "127.0.0.1"}
    service = Service(stage, program=AGAIN_SOON, env=allowed)
    clients = Clients(service)
    called = create(service, "called", content=json.dumps({"callback_url": hook.url}))
    assert service.ask("POST", f"/api/v1/schedules/{called.body['id']}/run-now", {}).status == 200
    with ThreadPoolExecutor(CLIENTS + 2) as threads, service.events() as stream:
        following = threads.submit(read_to_end, stream)
        acts = [threads.submit(clients.create, client) for client in range(CLIENTS)]
        acts.append(threads.submit(clients.create_many))
        wait_for("creations, and a callback on its way", lambda: len(clients.made) > 60 and hook.keys, within_s=60)
        service.process.signal(signal.SIGKILL)
        service.process.wait()
        for act in acts:
            act.result()
        seen, last = told(following.result())

    service = Service(stage, program=AGAIN_SOON, env=allowed)

    for name, made in clients.made.items():
        found = service.ask("GET", f"/api/v1/schedules/{made.body['id']}")
        assert (found.status, found.body["schedule"]["name"], found.headers["etag"]) == (
            200,
            name,
            made.headers["etag"],
        )
    keyed = {name for name in clients.sent if name.startswith("keyed")}
    for name in sorted(keyed):
        create(service, name)  # again: whether it was answered or not, it is there once
    wait_for("the callback again", lambda: len(hook.keys) > 1, within_s=60)
    assert len(set(hook.keys)) == len(set(hook.bodies)) == 1, hook.keys
    names = _names(stage)
    assert {names[name] for name in keyed | clients.made.keys()} == {1}
    assert {names[name] for name in clients.sent} <= {0, 1}, "what was not answered is there once, or not"
    assert {count for name, count in names.items() if name.startswith("bulk")} <= {BATCH}
    _assert_resumes_exactly(service, stage, seen, last)


def _names(stage: Stage) -> Counter[str]:
    with stage.store() as store, store.reading() as tx:
        return Counter(str(one.definition.name) for one in tx.schedules(ScheduleFilter(limit=1_000_000)))


def _assert_resumes_exactly(service: Service, stage: Stage, seen: list[int], last: int) -> None:
    """Check that what was told before the kill, and from there on, is the whole journal, in order, once."""
    with stage.store() as store, store.reading() as tx:
        newest = tx.newest_fact_id()
    with service.events(last) as stream:
        begun = read_until(stream, f"id: {newest}\n".encode())
        service.process.signal(signal.SIGTERM)
        later, end = told(begun + read_to_end(stream))
    assert service.process.wait() == 0, service.process.stderr
    assert end >= newest
    assert seen + later == list(range(1, end + 1)), "an event was lost, doubled or told out of order"
