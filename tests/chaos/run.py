"""One chaos run: a place, a receiver, nodes, callers, and what is done to them; and at its end, the verdict."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from tests.chaos.checker import Blow, Case, at_work, complaints, missing
from tests.chaos.ledger import Arrival, read_arrivals
from tests.chaos.nemesis import Act, Deed
from tests.chaos.nodes import LIMITS, RESUMED_S, Node, Scene, environment, faketime, wait_until_up
from tests.chaos.oracle import Command, Kind, Promise, Timeline
from tests.chaos.places import Place
from tests.e2e.stage import ROOT, Process, wait_for
from tests.ports import free_port

CALL_S: Final = 10.0
TRY_FOR_S: Final = 120.0
STOP_S: Final = LIMITS["LEASE"] + 1.5
PAUSE_S: Final = LIMITS["LEASE"] / 4
_MANY: Final = 1000
"""So many schedules take longer to register than a call may otherwise take."""
_BAD: Final = ("fails", "errors", "hangs", "drops_stored", "drops_unstored", "busy", "overloaded")
Manners = Mapping[str, Mapping[str, Any]]


class Run:
    """Everything of one run. It ends whatever it started."""

    mutants: ClassVar[tuple[str, ...]] = ()
    """Modules of tests/chaos/mutants that break every run of this process."""

    def __init__(
        self,
        folder: Path,
        place: Place,
        *,
        workers: int = 2,
        doors: int = 1,
        doors_deliver: bool = True,
        manners: Manners | None = None,
        keeps_tags: bool = True,
        mutants: tuple[str, ...] = (),
        limits: Mapping[str, float] | None = None,
        in_flight: int = 64,
    ) -> None:
        self.place: Final = place
        self.promises: Final[dict[str, Promise]] = {}
        self.timeline: Final = Timeline(datetime.now(UTC), time.monotonic())
        self._keeps_tags: Final = keeps_tags
        self._is_mutant: Final = bool(mutants)
        self._forgets = any(one.get("forgets") for one in (manners or {}).values())
        self._record: Final = folder / "received.jsonl"
        self._record.touch()
        self._counted: Final[Counter[str]] = Counter()
        """What has been written into the record, up to here."""
        self._counted_to = 0
        self._tags: Final = itertools.count(1)
        self._busy: Final[set[str]] = set()
        self._guard: Final = threading.Lock()
        self._doing: Final = ThreadPoolExecutor(24, thread_name_prefix="chaos")
        self._manners: Final[dict[str, Mapping[str, Any]]] = dict(manners or {})
        self._receiver: Final = self._start_receiver(folder)
        self._ports: Final = [free_port() for _ in range(doors)]
        self.scene: Final = Scene(
            folder,
            environment(
                folder,
                database=place.database,
                letta_url=f"http://127.0.0.1:{self._receiver_port}",
                mutants=(*self.mutants, *mutants),
                limits=limits or {},
                in_flight=in_flight,
            ),
        )
        serve = ("serve",) if doors_deliver else ("serve", "--no-deliveries")
        # All at once: whoever comes first makes the tables.
        token = self.scene.start(("token", "create", "--operator", "--name", "chaos"), {})
        self.doors: Final = [Node(self.scene, (*serve, "--port", str(port))) for port in self._ports]
        self.workers: Final = [Node(self.scene, place.worker) for _ in range(workers)]
        made = token.answer()
        assert made.get("status") == "success", made
        self._token: Final = str(made["token"])
        for node in self.nodes if place.worker == ("worker",) else self.doors:  # `execute --loop` does not say
            wait_until_up(node.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._doing.shutdown(wait=error is None, cancel_futures=True)
        for process in [*self.scene.processes, self._receiver]:
            process.end()

    @property
    def nodes(self) -> list[Node]:
        """Doors and workers."""
        return [*self.doors, *self.workers]

    def _start_receiver(self, folder: Path) -> Process:
        words = [str(self._record), "--manners", json.dumps(self._manners)]
        if not self._keeps_tags:
            words.append("--without-tags")
        process = Process(
            [sys.executable, "-m", "tests.chaos.receiver", *words], folder, {**os.environ, "PYTHONPATH": str(ROOT)}
        )
        self._receiver_port = int(wait_for("the receiver's port", lambda: process.stdout.strip(), within_s=30))  # noqa: PLW0108  read anew each time
        return process

    # -- callers --------------------------------------------------------------------------------------------

    def register(self, promises: Sequence[Promise]) -> None:
        """Register them by one request, again and again until it is answered."""
        for one in promises:
            one.registered_s = math.inf
            self.promises[one.tag] = one
        body = {"schedules": [_asked(one) for one in promises]}
        key = {"Idempotency-Key": f"chaos-{promises[0].tag}"}  # no second time, though the answer may be lost
        status, answer = self._until_answered("POST", "/api/v1/schedules/bulk", body, headers=key)
        if status == 422:
            for one in promises:
                del self.promises[one.tag]
            return
        assert status == 200, answer
        for one, schedule_id in zip(promises, answer["ids"], strict=True):
            one.schedule_id, one.registered_s = schedule_id, time.monotonic()

    def new_tag(self) -> str:
        """Return a name that no schedule of the run has."""
        return f"s{next(self._tags)}"

    def command(self, kind: Kind, promise: Promise) -> None:
        """Carry a command out, again and again until it is answered; a run-now is tried once."""
        at = f"/api/v1/schedules/{promise.schedule_id}"
        place = len(promise.commands)
        promise.commands.append(Command(kind, time.monotonic()))
        asked: tuple[str, str, object] = {
            Kind.EDITED: ("PATCH", at, {"prompt": promise.text()}),
            Kind.CANCELLED: ("DELETE", at, None),
            Kind.PAUSED: ("POST", f"{at}/pause", {}),
            Kind.RESUMED: ("POST", f"{at}/resume", {}),
            Kind.RUN_NOW: ("POST", f"{at}/run-now", {}),
        }[kind]
        status, answer = self._until_answered(*asked, once=kind is Kind.RUN_NOW)
        if status == 409 and answer.get("code") != "store_busy":
            del promise.commands[place]
        elif 200 <= status < 300:
            promise.commands[place] = Command(kind, promise.commands[place].sent_s, time.monotonic())
        else:
            assert status == 0, (status, answer)

    def _until_answered(
        self, method: str, path: str, body: object, *, headers: Mapping[str, str] | None = None, once: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """Return status and answer of the first door that gives one; 0 when `once` and it gave none."""
        until_s = time.monotonic() + TRY_FOR_S
        last: object = None
        for port in itertools.cycle(self._ports):
            try:
                status, answer = self._ask(port, method, path, body, headers or {})
                if status < 500 and status not in {408, 425, 429}:
                    return status, answer
                last = answer
            except (OSError, http.client.HTTPException, ValueError) as error:
                last = error
            if once:
                return 0, {}
            assert time.monotonic() < until_s, f"no door answers {method} {path}: {last}"
            time.sleep(0.1)
        raise AssertionError

    def _ask(
        self, port: int, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_S if len(self.promises) < _MANY else 60)
        try:
            given = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **headers}
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=given)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def is_ready(self, door: int) -> bool:
        """Return whether a door answers from its database; `/readyz` asks for more: all that is due planned."""
        try:
            return self._ask(self._ports[door], "GET", "/api/v1/schedules?limit=1", None, {})[0] == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def is_delivered(self, promise: Promise) -> bool:
        """Return whether a door knows that a one-off has been carried: its lane has been given back by then."""
        asked = f"/api/v1/deliveries?schedule_id={promise.schedule_id}&state=delivered"
        return bool(self._until_answered("GET", asked, None)[1]["deliveries"])

    def behave(self, manners: Manners) -> None:
        """Change how agents meet their prompts; agents that are not named keep their manners."""
        self._manners.update(manners)
        self._ask(self._receiver_port, "POST", "/test/manners", manners, {})

    def let_go(self) -> None:
        """Answer all questions that agents who hold them have been asked so far."""
        self._ask(self._receiver_port, "POST", "/test/let_go", {}, {})

    def halt(self) -> None:
        """Let nothing go out, whatever is due."""
        assert self._until_answered("POST", "/api/v1/pause", {"reason": "chaos"})[0] == 200

    def go_on(self) -> None:
        """Let all go out that was held back."""
        assert self._until_answered("POST", "/api/v1/resume", {})[0] == 200

    def execute(self, *, passes: int = 1) -> None:
        """Make so many single passes at the same time, and wait for their ends."""
        for one in [self.scene.start(("execute",), {}) for _ in range(passes)]:
            assert one.answer()["status"] == "success", one.stderr

    # -- troubles -------------------------------------------------------------------------------------------

    def play(self, acts: Iterable[Act], *, end_s: float) -> None:
        """Do what the plan says, each act at its time, then let all get well. Firing ends at `end_s` (monotonic)."""
        begun_s = time.monotonic()
        doing: list[Future[None]] = []
        for act in acts:
            time.sleep(max(0.0, begun_s + act.at_s - time.monotonic()))
            doing.append(self._doing.submit(self._do, act, end_s))
        for one in doing:
            one.result()
        self.behave({name: {**one, "kind": "fine"} for name, one in self._manners.items()})

    def _do(self, act: Act, end_s: float) -> None:
        draw = random.Random(act.draw)
        match act.deed:
            case Deed.KILL | Deed.TERM | Deed.PAUSE | Deed.STOP:
                self._with_node(draw, lambda node: self._strike(node, act, draw))
            case Deed.RESTART | Deed.CRASH:
                self._away(0.2 + act.long, mode="fast" if act.deed is Deed.RESTART else "immediate")
            case Deed.CUT:
                at_s = time.monotonic()
                self.place.cut()
                self.scene.blows.append(Blow("cut", at_s, time.monotonic()))
            case Deed.STALL:
                at_s = time.monotonic()
                self.place.stall(PAUSE_S * act.long)
                self.scene.blows.append(Blow("cut", at_s, time.monotonic()))
            case Deed.MANNERS:
                self._misbehave(draw)
            case Deed.ADD:
                agents = max(1, len({one.lane for one in self.promises.values()}))
                self.register(some_promises(self, draw, count=draw.randint(1, 10), agents=agents, end_s=end_s))
            case Deed.EDIT | Deed.CANCEL | Deed.HOLD | Deed.RUN_NOW:
                self._order(act, draw)

    _gone = threading.Lock()

    def _away(self, for_s: float, *, mode: str) -> None:
        with self._gone:
            at_s = time.monotonic()
            self.place.away(for_s, mode=mode)
            self.scene.blows.append(Blow("away", at_s, time.monotonic()))

    def away(self, for_s: float, *, mode: str = "fast") -> None:
        """Take the database away for so long."""
        self._away(for_s, mode=mode)

    @contextmanager
    def workers_stopped(self) -> Iterator[None]:
        """Stop all workers, and resume them at the end: it is for the body to wait until they have lost all."""
        stopped = list(self.workers)
        at_s = time.monotonic()
        for node in stopped:
            node.process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for node in stopped:
                node.process.signal(signal.SIGCONT)
            self.scene.blows.append(Blow("stop", at_s, time.monotonic() + RESUMED_S))

    def add_worker(self) -> None:
        """Start one worker more."""
        self.workers.append(Node(self.scene, self.place.worker))

    def start_again(self) -> None:
        """Start the nodes that have ended by themselves, as a service manager does: one may start into an outage."""
        for node in self.nodes:
            if node.busy.acquire(blocking=False):
                try:
                    if not node.process.is_alive:
                        node.start()
                finally:
                    node.busy.release()

    def _with_node(self, draw: random.Random, strike: Callable[[Node], None]) -> None:
        """Strike a node that nobody strikes; none, when all are being struck."""
        for node in draw.sample(self.nodes, len(self.nodes)):
            if node.busy.acquire(blocking=False):
                try:
                    strike(node)
                finally:
                    node.busy.release()
                return

    def _strike(self, node: Node, act: Act, draw: random.Random) -> None:
        skews = Deed.CRASH in self.place.deeds and faketime() is not None
        match act.deed:
            case Deed.KILL:
                node.kill()
                node.restart(draw, skews=skews)
            case Deed.TERM:
                node.terminate()
                node.restart(draw, skews=skews)
            case Deed.STOP:
                node.stop(STOP_S * (1 + act.long / 2), is_long=True)
            case _:
                node.stop(PAUSE_S * act.long, is_long=False)

    def _misbehave(self, draw: random.Random) -> None:
        lanes = {one.lane.partition(" ")[0] for one in self.promises.values()}
        agents = draw.sample(sorted(lanes), min(3, len(lanes)))
        manners = {
            name: {**one, "kind": "fine"} for name, one in self._manners.items() if one.get("kind", "fine") != "fine"
        }
        for agent in agents:
            quick = {"answer_s": draw.choice([0.0, 0.05, 0.5]), "run_s": draw.choice([0.0, 0.05, 1.0])}
            manners[agent] = {"kind": draw.choice(_BAD), "times": draw.choice([1, 1, 2]), **quick}
        self.behave(manners)

    def _order(self, act: Act, draw: random.Random) -> None:
        promise = self._take(draw)
        if promise is None:
            return
        try:
            match act.deed:
                case Deed.EDIT:
                    self.command(Kind.EDITED, promise)
                case Deed.CANCEL:
                    self.command(Kind.CANCELLED, promise)
                case Deed.RUN_NOW:
                    self.command(Kind.RUN_NOW, promise)
                case _:
                    self.command(Kind.PAUSED, promise)
                    time.sleep(4 * act.long)
                    self.command(Kind.RESUMED, promise)
        finally:
            self._busy.discard(promise.tag)

    def _take(self, draw: random.Random) -> Promise | None:
        """Choose a schedule that is registered, not cancelled, and that nobody commands just now."""
        with self._guard:
            free = [
                one
                for one in self.promises.values()
                if one.registered_s < math.inf and one.tag not in self._busy and not one.did(Kind.CANCELLED)
            ]
            chosen = draw.choice(free) if free else None
            if chosen is not None:
                self._busy.add(chosen.tag)
            return chosen

    # -- the end --------------------------------------------------------------------------------------------

    def arrivals(self) -> list[Arrival]:
        """Return what has come so far, of which the last line may still be half written."""
        whole, _, _ = self._record.read_text(encoding="utf-8").rpartition("\n")
        return read_arrivals(whole.splitlines())

    def stored(self) -> int:
        """Return how many prompts agents have got so far: cheap, for waits."""
        return self._count()["stored"]

    def held(self) -> int:
        """Return how many questions right before a send have been held so far."""
        return self._count()["held"]

    @staticmethod
    def sends_over(nodes: Iterable[Node]) -> int:
        """Return how many sends these nodes have come to an end with, whatever the end: by their logs."""
        return sum(node.process.stderr.count("delivery.sent ") for node in nodes)

    def _count(self) -> Counter[str]:
        """Count what has been written since the last look: all of a long record is read once, not at each look."""
        with self._record.open("rb") as record:
            record.seek(self._counted_to)
            new = record.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._counted_to += len(whole)
        for what in ("stored", "held"):
            self._counted[what] += whole.count(b'{"what": "%s"' % what.encode())
        return self._counted

    def case(self, *, is_over: bool = True) -> Case:
        """Return what the verdict rests on."""
        return Case(
            promises=self.promises,
            arrivals=self.arrivals(),
            blows=list(self.scene.blows),
            timeline=self.timeline,
            does_show=self._keeps_tags and not self._forgets,
            is_over=is_over,
        )

    def finish(self, *, within_s: float, linger_s: float = 3.0, not_before_s: float = 0.0) -> list[str]:
        """Wait until all has arrived, and a little for what should not (to `not_before_s` at least, monotonic).

        Return the complaints.
        """
        until_s = time.monotonic() + within_s
        last_s = max((self.timeline.seconds(one.end_at) for one in self.promises.values()), default=0.0)
        time.sleep(max(0.0, last_s - time.monotonic()))
        while time.monotonic() < until_s:
            case = self.case()
            if not missing(case) and not at_work(case):
                break
            if self._is_mutant and complaints(self.case(is_over=False)):  # what it was broken for is seen
                break
            self.start_again()
            time.sleep(0.5)
        until_s = max(time.monotonic() + linger_s, not_before_s)
        # A mutant's sin may take its time on a busy machine; that it is there is seen at once.
        while (left_s := until_s - time.monotonic()) > 0 and not (self._is_mutant and complaints(self.case())):
            time.sleep(min(left_s, 0.5))
        return complaints(self.case())


def some_promises(run: Run, draw: random.Random, *, count: int, agents: int, end_s: float) -> list[Promise]:
    """Draw schedules: intervals of 2 to 5 s that end at `end_s` (monotonic), and one-offs in between."""
    now_s = time.monotonic()
    made = []
    for _ in range(count):
        agent = f"agent-{draw.randrange(agents)}"
        lane = f"{agent} {agent}.c1" if draw.random() < 0.15 else agent
        start_at = run.timeline.at(now_s + draw.uniform(3, max(4.0, (end_s - now_s) / 2)))
        if draw.random() < 0.4:
            made.append(Promise(tag=run.new_tag(), lane=lane, start_at=start_at))
            continue
        every_s = draw.randint(2, 5)
        fires = 1 + max(0, int((end_s - run.timeline.seconds(start_at)) / every_s))
        start_at = start_at.replace(microsecond=0)
        made.append(Promise(tag=run.new_tag(), lane=lane, start_at=start_at, every_s=every_s, fires=fires))
    return made


def burst(
    run: Run, *, count: int, agents: int, due_in_s: float, apart_s: float = 0.001, name: str = "agent-"
) -> list[Promise]:
    """Return one-offs for so many agents in turn that come due one after the other."""
    first_at = run.timeline.at(time.monotonic() + due_in_s)
    return [
        Promise(
            tag=run.new_tag(), lane=f"{name}{number % agents}", start_at=first_at + timedelta(seconds=number * apart_s)
        )
        for number in range(count)
    ]


def _asked(one: Promise) -> dict[str, object]:
    """Return a promise as HTTP takes it."""
    agent, _, conversation = one.lane.partition(" ")
    body: dict[str, object] = {"agent_id": agent, "prompt": one.text(1), "name": one.tag, "skip_validation": True}
    if conversation:
        body["conversation"] = conversation
    if one.every_s is None:
        return {**body, "time": one.start_at.isoformat()}
    rule = {"every": f"{one.every_s}s", "start_at": one.start_at.isoformat(), "end_at": one.end_at.isoformat()}
    return {**body, **rule, "catch_up": "all", "overlap": "queue"}
