"""Steps of many lanes: the same as one lane after the other, each act for itself, and nobody waits for a row."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import psycopg
import pytest

from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate
from promptyoself.domain import retry
from promptyoself.domain.answers import (
    Absent,
    Accepted,
    Busy,
    Done,
    Failed,
    FollowResult,
    Message,
    Refused,
    SendResult,
    Sent,
    SettleResult,
    Unclear,
    Undecided,
)
from promptyoself.domain.answers import (
    Final as Gone,
)
from promptyoself.domain.errors import StoreBusy, StoreError
from promptyoself.domain.models import (
    CatchUp,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    Overlap,
    Policy,
    ScheduleState,
)
from promptyoself.domain.ports import Clock, Tx, Writer
from promptyoself.domain.values import replace
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_queries import statements
from promptyoself.storage.postgres_steps import Steps, StepWriter
from promptyoself.storage.postgres_steps_tx import Known, StepTx
from promptyoself.storage.writer import Act, ActQueue, InlineWriter
from tests.factories import MINUTE, NOW, a_new_delivery, a_new_schedule
from tests.fakes.time import FakeChance
from tests.postgres.stores import CleanStores

T = TypeVar("T")
WAIT_FOR_S: Final = 30
LANES: Final = [f"inbox agent-{number}" for number in range(6)]
TABLES: Final = {
    # Ids of attempts are drawn ahead; facts of one instant come in the order of the acts.
    "schedules": "SELECT * FROM schedules ORDER BY id",
    "deliveries": "SELECT * FROM deliveries ORDER BY id",
    "lanes": "SELECT * FROM lanes ORDER BY lane",
    "attempts": "SELECT (to_jsonb(attempts) - 'id')::text FROM attempts ORDER BY delivery_id, number",
    "facts": "SELECT kind, at, schedule_id, delivery_id, actor, detail FROM facts ORDER BY 2, 3, 4, 1, 6",
    "tokens of lanes": "SELECT dedupe_key, status FROM pgqueuer ORDER BY 1",
    "callbacks": "SELECT delivery_id, payload FROM callbacks ORDER BY 1",
}


HELD: Final = {
    "lanes": b"SELECT 1 FROM lanes WHERE lane = %s FOR UPDATE",
    "schedules": b"SELECT 1 FROM schedules WHERE 'inbox ' || agent_id = %s FOR UPDATE",
    "deliveries": b"SELECT 1 FROM deliveries JOIN schedules ON schedules.id = schedule_id WHERE lane = %s FOR UPDATE",
}


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> Any:  # noqa: ANN401  an instant
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOW).total_seconds()


class SteadyChance(FakeChance):
    """Whose fraction does not depend on who asks first."""

    def fraction(self) -> float:
        return 0.5


class OneLoopSteps:
    """The writer without threads: all acts that come in one turn of the loop are one step."""

    def __init__(self, store: PostgresStore, clock: Clock) -> None:
        self._work = Steps(store, clock, cast("ActQueue", None))
        self._work.again = cast("ActQueue", self)
        self._waiting: list[Act[Any]] = []
        self.steps: list[int] = []
        """How many acts each step ran."""

    async def write(self, act: Callable[[Tx], T], *, lane: str | None = None) -> T:
        made: Act[T] = Act(act, asyncio.get_running_loop().create_future(), lane=lane or "")
        self.put_again(made)
        return await made.answer

    def put_again(self, act: Act[Any]) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(loop.call_soon, self._step)
        self._waiting.append(act)

    async def read(self, act: Callable[[Tx], T]) -> T:
        raise NotImplementedError

    def _step(self) -> None:
        batch, self._waiting = self._waiting, []
        later = self._work(batch)
        self.steps.append(len(batch) - len(later))
        for act in batch:
            if act not in later:
                act.settle()


class Moody:
    """A target whose answer depends on the delivery and on how often it was asked, and on nothing else."""

    def __init__(self, seed: int, look: Callable[[], None]) -> None:
        self._seed = seed
        self._look = look
        self._asked: dict[str, int] = {}

    @property
    def name(self) -> str:
        return "inbox"

    async def send(self, message: Message) -> SendResult:
        self._look()
        answers: list[SendResult] = [
            Done(), Done(), Done(reply_excerpt='a "quoted" \\ reply'), Busy(detail="it thinks"), Accepted(run_id="run"),
            Refused(code="connect", detail="nobody listens"), Failed(code="llm", detail="failed", run_id="r"),
            Gone(code="gone", detail="no such agent", status=404), Unclear(code="cut", detail="the line, cut {}"),
        ]  # fmt: skip
        return cast("SendResult", self._of(f"send {message.delivery_id}", answers))

    async def follow(self, sent: Sent) -> FollowResult:
        return cast("FollowResult", self._of(f"follow {sent.otid}", [Done(), Failed(code="llm", detail="failed")]))

    async def settle(self, sent: Sent) -> SettleResult:
        return cast("SettleResult", self._of(f"settle {sent.otid}", [Absent(), Done(), Undecided(detail="?")]))

    def _of(self, what: str, answers: list[Any]) -> Any:  # noqa: ANN401  one of them
        asked = self._asked[what] = self._asked.get(what, 0) + 1
        return answers[(sum(map(ord, what)) * 31 + asked * 17 + self._seed * 7) % len(answers)]

    async def cancel_run(self, sent: Sent) -> None:
        del sent

    async def probe(self) -> Refused | None:
        return None

    async def close(self) -> None:
        """Nothing is open."""


def fill(store: PostgresStore, seed: int) -> None:
    """Schedules of all kinds, some with several deliveries, some paused, held or cancelled, spread over lanes."""
    with store.transaction() as tx:
        for number in range(18):
            kind = (number * 5 + seed) % 9
            policy = Policy(catch_up=CatchUp.ALL, overlap=Overlap.QUEUE if kind % 2 else Overlap.SKIP)
            if kind == 7:
                policy = replace(policy, expires_after=timedelta(seconds=1))
            new = a_new_schedule(
                f"uid-{number}", agent_id=f"agent-{number % len(LANES)}", policy=policy,
                next_fire_at=None if kind in (1, 4) else NOW + 60 * MINUTE,
            )  # fmt: skip
            schedule = tx.add_schedule(new)
            for place in range(1 + 2 * (kind in (3, 8))):
                fire_at = NOW - (number % 5 + 1) * MINUTE + place * timedelta(seconds=1)
                tx.add_delivery(
                    a_new_delivery(schedule, fire_at=fire_at, planned_at=fire_at), retry_until=NOW + 60 * MINUTE
                )
            if kind == 5:
                run = a_new_delivery(schedule, fire_at=NOW, planned_at=NOW, kind=DeliveryKind.RUN_NOW)
                tx.add_delivery(run, retry_until=NOW + 60 * MINUTE)
                tx.save_schedule(replace(schedule, state=ScheduleState.PAUSED))
            if kind == 6:
                tx.save_schedule(replace(schedule, state=ScheduleState.CANCELLED))


def differing(store: PostgresStore) -> list[Any]:
    """Return what lanes say, should a new look at their deliveries say something else."""
    query = b"SELECT lane, next_due_at, is_in_flight FROM lanes ORDER BY lane"
    with psycopg.connect(store.conninfo) as connection:
        said = connection.execute(query).fetchall()
        connection.execute(statements()["refresh_lane"], {"lanes": [row[0] for row in said]})
        found = connection.execute(query).fetchall()
        connection.rollback()
    return [] if found == said else said


async def played(store: PostgresStore, writer: Writer, clock: SetClock, seed: int) -> None:
    """Run every lane until nothing has been due for long; look at the lanes whenever something is sent."""
    wrong: list[Any] = []
    target = {"inbox": Moody(seed, lambda: wrong.extend(differing(store)))}
    gate = Gate(
        targets=target, writer=writer, clock=clock, on_change=lambda: None, on_grant=lambda _: None, most=4 + seed % 5
    )
    dispatcher = Dispatcher(
        writer=writer, targets=target, gate=gate, clock=clock, chance=SteadyChance("x"), executor_id="one"
    )
    for _ in range(40):
        with store.reading() as tx:
            due = tx.ready_lanes(now=clock.at, limit=100)
        await asyncio.gather(*(dispatcher.run_lane(lane) for lane in due))
        clock.at += timedelta(minutes=2) if not due else timedelta(seconds=3)
    await gate.close()
    assert not wrong


def tables(store: PostgresStore) -> dict[str, list[Any]]:
    with psycopg.connect(store.conninfo) as connection:
        return {name: connection.execute(query.encode()).fetchall() for name, query in TABLES.items()}


@pytest.fixture
def make_store(clean_stores: CleanStores) -> Iterator[Callable[[], PostgresStore]]:
    with clean_stores.of_one_test() as make:
        yield make


@pytest.mark.parametrize("seed", range(4))
def test_many_lanes_a_step_leave_the_tables_as_one_after_the_other_does(
    make_store: Callable[[], PostgresStore], seed: int
) -> None:
    found = []
    for is_stepped in (False, True):
        store, clock = make_store(), SetClock()
        fill(store, seed)
        writer: Writer = OneLoopSteps(store, clock) if is_stepped else InlineWriter(store)
        asyncio.run(played(store, writer, clock, seed))
        found.append(tables(store))
    for name in TABLES:
        assert found[1][name] == found[0][name], name
    assert len(found[0]["facts"]) > 30


# -- acts of one step -------------------------------------------------------------------------------------------


class Stand:
    """A store with one due delivery in each of six lanes, and steps over it."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store
        with store.transaction() as tx:
            for number in range(len(LANES)):
                schedule = tx.add_schedule(a_new_schedule(f"uid-{number}", agent_id=f"agent-{number}"))
                tx.add_delivery(a_new_delivery(schedule, fire_at=NOW, planned_at=NOW), retry_until=NOW + MINUTE)

    def states(self) -> list[str]:
        with psycopg.connect(self.store.conninfo) as connection:
            return [row[0] for row in connection.execute("SELECT state FROM deliveries ORDER BY lane").fetchall()]


@pytest.fixture
def stand(make_store: Callable[[], PostgresStore]) -> Stand:
    return Stand(make_store())


def claim(lane: str, *, then: Callable[[Tx], object] | None = None) -> Callable[[Tx], str]:
    """Return an act that leases a lane and its delivery, and does something more."""

    def act(tx: Tx) -> str:
        assert tx.lease_lane(lane, token="t", executor_id="one", now=NOW, until=NOW + MINUTE)
        delivery = tx.next_in_lane(lane, now=NOW)
        assert delivery is not None
        assert tx.schedule(delivery.schedule_id) is not None
        assert tx.save_delivery(retry.lease(delivery, token="t", now=NOW), was=delivery)
        tx.add_attempt(delivery.id, executor_id="one", otid="o", started_at=NOW)
        tx.add_fact(Fact(kind=FactKind.ACCEPTED, at=NOW, delivery_id=delivery.id, actor="one"))
        if then is not None:
            then(tx)
        return lane

    return act


def fail(tx: Tx) -> None:
    del tx
    raise ValueError("its own fault")


def count_then_fail(tx: Tx) -> None:
    assert tx.counts()["deliveries_leased"] > 0  # an ordinary statement, which sees what is kept
    fail(tx)


@pytest.mark.parametrize("failing", [fail, count_then_fail])
def test_an_act_that_raises_is_undone_alone(stand: Stand, failing: Callable[[Tx], None]) -> None:
    async def scene() -> list[object]:
        writer = OneLoopSteps(stand.store, SetClock())
        acts = [claim(lane, then=failing if number in (1, 4) else None) for number, lane in enumerate(LANES)]
        answers = [writer.write(act, lane=lane) for act, lane in zip(acts, LANES, strict=True)]
        return list(await asyncio.gather(*answers, return_exceptions=True))

    answers = asyncio.run(scene())
    assert [type(answer) for answer in answers] == [str, ValueError, str, str, ValueError, str]
    assert stand.states() == ["leased", "pending", "leased", "leased", "pending", "leased"]
    found = tables(stand.store)
    assert (len(found["attempts"]), len(found["facts"])) == (4, 4)
    assert [row[4] for row in found["lanes"]] == ["t", None, "t", "t", None, "t"]


def test_a_step_wants_no_lane_at_its_commit_that_an_act_wanted_in_vain(stand: Stand) -> None:
    def skip_in_another_lane(tx: Tx) -> None:
        delivery = tx.next_in_lane(LANES[1], now=NOW)
        assert delivery is not None
        assert tx.save_delivery(replace(delivery, state=DeliveryState.SKIPPED, finished_at=NOW), was=delivery)

    with psycopg.connect(stand.store.conninfo) as other:
        other.execute("SELECT FROM lanes WHERE lane = %s FOR NO KEY UPDATE", [LANES[1]])
        with stand.store.bracket(lambda connection, at: StepTx(connection, at, Known())) as tx:
            tx.wait_at_most("500ms")  # who has that lane could wait for this one: a circle
            tx.fetch([LANES[0]], until=NOW)
            with pytest.raises(StoreBusy):
                tx.run(skip_in_another_lane)
            tx.run(claim(LANES[0]))
    assert stand.states() == ["leased"] + ["pending"] * 5


def test_an_ordinary_statement_within_a_step_sees_and_keeps_what_was_written(stand: Stand) -> None:
    seen = []

    async def scene() -> None:
        writer = OneLoopSteps(stand.store, SetClock())
        acts = [claim(lane, then=lambda tx: seen.append(tx.counts()["deliveries_leased"])) for lane in LANES]
        await asyncio.gather(*(writer.write(act, lane=lane) for act, lane in zip(acts, LANES, strict=True)))

    asyncio.run(scene())
    assert seen == [1, 2, 3, 4, 5, 6]
    assert stand.states() == ["leased"] * 6


def test_a_step_ends_after_a_few_ordinary_acts_for_the_others_answers_wait_for_its_commit(stand: Stand) -> None:
    async def scene() -> list[int]:
        writer = OneLoopSteps(stand.store, SetClock())
        acts = [claim(lane, then=lambda tx: tx.counts()) for lane in LANES]
        answers = [writer.write(act, lane=lane) for act, lane in zip(acts, LANES, strict=True)]
        assert await asyncio.wait_for(asyncio.gather(*answers), WAIT_FOR_S) == LANES
        return writer.steps

    assert asyncio.run(scene()) == [4, 2]
    assert stand.states() == ["leased"] * 6


def test_a_lane_in_hand_is_not_fetched_again_while_what_was_written_is_kept_back(stand: Stand) -> None:
    async def scene() -> list[object]:
        writer = OneLoopSteps(stand.store, SetClock())
        lanes = [*LANES[:4], LANES[3], LANES[5]]
        acts: list[Callable[[Tx], object]] = [claim(lane) for lane in lanes]
        acts[0] = claim(LANES[0], then=lambda tx: tx.counts())  # from here on lanes are fetched three at a time
        acts[4] = lambda tx: tx.release_lane(LANES[3], token="t")
        answers = await asyncio.gather(*(writer.write(act, lane=lane) for act, lane in zip(acts, lanes, strict=True)))
        assert writer.steps == [6]
        return list(answers)

    assert asyncio.run(scene()) == [*LANES[:4], True, LANES[5]]
    assert stand.states() == ["leased"] * 4 + ["pending", "leased"]
    assert [row[4] for row in tables(stand.store)["lanes"]] == ["t", "t", "t", None, None, "t"]


def test_a_schedule_in_hand_is_not_fetched_again_with_another_of_its_lanes(stand: Stand) -> None:
    with stand.store.transaction() as tx:
        schedule = tx.schedule(4)
        assert schedule is not None
        by_hand = a_new_delivery(schedule, kind=DeliveryKind.RUN_NOW, lane="inbox elsewhere", fire_at=NOW)
        tx.add_delivery(by_hand, retry_until=NOW + MINUTE)

    def count(tx: Tx) -> None:
        now = tx.schedule(4)
        assert now is not None
        tx.save_schedule(replace(now, finals_in_row=3))

    async def scene() -> None:
        writer = OneLoopSteps(stand.store, SetClock())
        lanes = [*LANES[:4], "inbox elsewhere", LANES[5]]
        thens = [lambda tx: tx.counts(), None, None, count, None, None]
        acts = [claim(lane, then=then) for lane, then in zip(lanes, thens, strict=True)]
        await asyncio.gather(*(writer.write(act, lane=lane) for act, lane in zip(acts, lanes, strict=True)))
        assert writer.steps == [6]

    asyncio.run(scene())
    with stand.store.reading() as tx:
        assert [one.finals_in_row for one in (tx.schedule(4), tx.schedule(5)) if one is not None] == [3, 0]


def test_what_a_dead_runner_has_left_is_taken_over_in_one_step(make_store: Callable[[], PostgresStore]) -> None:
    found, steps = [], []
    for is_stepped in (False, True):
        stand, clock = Stand(make_store()), SetClock()
        for lane in LANES:
            with stand.store.transaction() as tx:
                claim(lane)(tx)
        clock.at += 2 * MINUTE  # their leases have ended
        stepping = OneLoopSteps(stand.store, clock)
        asyncio.run(played(stand.store, stepping if is_stepped else InlineWriter(stand.store), clock, seed=4))
        assert not {"leased", "unknown"}.intersection(stand.states())
        found.append(tables(stand.store))
        steps.append(stepping.steps[:1])
    assert found[0] == found[1]
    assert steps == [[], [len(LANES)]]


@pytest.mark.parametrize("held", HELD)
def test_who_has_a_row_in_hand_holds_up_its_own_lane_alone(stand: Stand, held: str) -> None:
    async def scene(release: Callable[[], None]) -> None:
        writer = StepWriter(stand.store, SetClock())
        acts = {lane: asyncio.ensure_future(writer.write(claim(lane), lane=lane)) for lane in LANES}
        rest = [act for lane, act in acts.items() if lane != LANES[2]]
        assert await asyncio.wait_for(asyncio.gather(*rest), WAIT_FOR_S) == [one for one in LANES if one != LANES[2]]
        assert not acts[LANES[2]].done()
        release()
        assert await asyncio.wait_for(acts[LANES[2]], WAIT_FOR_S) == LANES[2]
        await writer.close()

    with ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(stand.store.conninfo))
        other.execute(HELD[held], [LANES[2]])
        asyncio.run(scene(other.rollback))
    assert stand.states() == ["leased"] * 6


def test_a_lane_given_back_has_a_token_as_long_as_something_is_due(stand: Stand) -> None:
    def turn(lane: str) -> Callable[[Tx], None]:
        def act(tx: Tx) -> None:
            assert tx.lease_lane(lane, token="t", executor_id="one", now=NOW, until=NOW + MINUTE)
            delivery = tx.next_in_lane(lane, now=NOW)
            assert delivery is not None
            if lane == LANES[1]:
                over = replace(delivery, state=DeliveryState.SKIPPED, finished_at=NOW)
                assert tx.save_delivery(over, was=delivery)
            assert tx.release_lane(lane, token="t")

        return act

    async def scene() -> None:
        writer = OneLoopSteps(stand.store, SetClock())
        await asyncio.gather(*(writer.write(turn(lane), lane=lane) for lane in LANES))

    asyncio.run(scene())
    assert [row[0] for row in tables(stand.store)["tokens of lanes"]] == [LANES[0], *LANES[2:]]


def waits(store: PostgresStore) -> bool:
    """Wait until a transaction waits for a lock of another."""
    pause = threading.Event()
    with psycopg.connect(store.conninfo, autocommit=True) as connection:
        for _ in range(WAIT_FOR_S * 50):
            if connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None:
                return True
            pause.wait(0.02)
    return False


def test_an_act_that_no_step_could_run_does_not_wait_for_what_is_planned_meanwhile(stand: Stand) -> None:
    has_ended = threading.Event()

    def plan(tx: Tx) -> bool:
        del tx
        return has_ended.wait(WAIT_FOR_S)

    async def scene(release: Callable[[], None]) -> None:
        writer = StepWriter(stand.store, SetClock())
        planning = asyncio.ensure_future(writer.write(plan))
        act = asyncio.ensure_future(writer.write(claim(LANES[2]), lane=LANES[2]))
        assert await asyncio.to_thread(waits, stand.store)  # steps never wait: it has been handed on
        release()
        assert await asyncio.wait_for(act, WAIT_FOR_S) == LANES[2]
        assert not planning.done()
        has_ended.set()
        assert await planning
        await writer.close()

    with psycopg.connect(stand.store.conninfo) as other:
        other.execute(HELD["lanes"], [LANES[2]])
        asyncio.run(scene(other.rollback))


def test_an_act_that_wants_more_than_its_lane_lets_go_of_all_for_who_has_that(stand: Stand) -> None:
    tried = threading.Event()
    reports: list[int] = []

    def want(tx: Tx) -> None:
        reports.append(1)
        tried.set()
        assert tx.delivery(4) is not None  # another lane's, whose schedule a command has

    async def scene(command: Callable[[], None]) -> None:
        writer = StepWriter(stand.store, SetClock())
        act = asyncio.ensure_future(writer.write(claim(LANES[0], then=want), lane=LANES[0]))
        await asyncio.to_thread(command)
        assert await asyncio.wait_for(act, WAIT_FOR_S) == LANES[0]
        await writer.close()

    with psycopg.connect(stand.store.conninfo) as other:
        other.execute(HELD["schedules"], [LANES[3]])
        other.execute("SET LOCAL lock_timeout = '800ms'")

        def command() -> None:
            assert tried.wait(WAIT_FOR_S)
            assert waits(stand.store)
            other.execute(HELD["lanes"], [LANES[0]])  # an act that went on waiting would be waiting in a circle
            other.rollback()

        asyncio.run(scene(command))
    assert len(reports) > 1
    assert stand.states() == ["leased", *["pending"] * 5]


def test_who_leases_a_lane_by_itself_waits_for_its_schedule_before_it_has_the_lane(stand: Stand) -> None:
    def lease() -> None:
        with stand.store.transaction() as tx:
            claim(LANES[0])(tx)

    leasing = threading.Thread(target=lease)
    with psycopg.connect(stand.store.conninfo) as other:
        other.execute(HELD["schedules"], [LANES[0]])
        leasing.start()
        assert waits(stand.store)
        assert other.execute(HELD["lanes"] + b" NOWAIT", [LANES[0]]).fetchone() is not None
    leasing.join(WAIT_FOR_S)
    assert stand.states() == ["leased", *["pending"] * 5]


def test_a_close_finishes_what_is_queued_and_refuses_what_comes_later(stand: Stand) -> None:
    async def scene() -> None:
        writer = StepWriter(stand.store, SetClock())
        acts = [asyncio.ensure_future(writer.write(claim(lane), lane=lane)) for lane in LANES]
        counted = asyncio.ensure_future(writer.write(lambda tx: tx.counts()["deliveries_dead"]))
        await asyncio.sleep(0)
        await writer.close()
        assert await asyncio.gather(*acts) == LANES
        assert await counted == 0
        with pytest.raises(StoreError):
            await writer.write(claim(LANES[0]), lane=LANES[0])

    asyncio.run(scene())
    assert not [one for one in threading.enumerate() if one.name.startswith("promptyoself-stepper")]


# -- what is known from one step to the next ------------------------------------------------------------------


def look(lane: str) -> Callable[[Tx], Delivery | None]:
    """Return an act that reads what a lane has in flight."""
    return lambda tx: tx.next_in_lane(lane, now=NOW)


def reasoned(tx: Tx) -> None:
    """Change more of the delivery, by a statement of which a step knows nothing."""
    tx.counts()
    (delivery,) = tx.unfinished_deliveries(1)
    assert tx.save_delivery(replace(delivery, reason="changed again"), was=delivery)


def run_steps(stand: Stand, *acts: Callable[[Tx], T], between: Callable[[], object] = lambda: None) -> list[T]:
    """Run each act in a step of its own, all by one writer."""

    async def scene() -> list[T]:
        writer, answers = OneLoopSteps(stand.store, SetClock()), []
        for act in acts:
            answers.append(await writer.write(act, lane=LANES[0]))
            between()
        return answers

    return asyncio.run(scene())


def stored(stand: Stand) -> Delivery | None:
    with stand.store.reading() as tx:
        return tx.delivery(1)


def test_what_a_step_has_written_is_not_read_again(stand: Stand) -> None:
    asked: list[str] = []
    ask = StepTx._asked

    def noted(tx: StepTx, name: str, values: dict[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        asked.append(name)
        return ask(tx, name, values)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StepTx, "_asked", noted)
        _, seen = run_steps(stand, cast("Callable[[Tx], Delivery | None]", claim(LANES[0])), look(LANES[0]))
    assert asked.count("step_deliveries") == 1
    assert seen == stored(stand)


@pytest.mark.parametrize("by_whom", ["another", "an ordinary statement of the same step"])
def test_what_somebody_else_has_written_meanwhile_is_seen(stand: Stand, by_whom: str) -> None:
    def ask_for_end() -> None:
        with stand.store.transaction() as tx:
            delivery = tx.delivery(1)
            assert delivery is not None
            assert tx.save_delivery(replace(delivery, cancel_requested=True), was=delivery)

    claiming = claim(LANES[0], then=None if by_whom == "another" else reasoned)
    between = ask_for_end if by_whom == "another" else lambda: None
    _, seen = run_steps(
        stand, cast("Callable[[Tx], Delivery | None]", claiming), look(LANES[0]), between=cast("Any", between)
    )
    assert seen is not None
    assert seen.cancel_requested or seen.reason == "changed again"
    assert seen == stored(stand)


def test_what_was_undone_is_not_taken_for_what_is_stored(stand: Stand) -> None:
    def change_and_fail(tx: Tx) -> None:
        delivery = tx.next_in_lane(LANES[0], now=NOW)
        assert delivery is not None
        assert tx.save_delivery(replace(delivery, reason="undone"), was=delivery)
        count_then_fail(tx)

    async def scene() -> Delivery | None:
        writer = OneLoopSteps(stand.store, SetClock())
        acts: list[Callable[[Tx], object]] = [claim(LANES[0]), change_and_fail]
        done = await asyncio.gather(*(writer.write(act, lane=LANES[0]) for act in acts), return_exceptions=True)
        assert [type(one) for one in done] == [str, ValueError]
        return await writer.write(look(LANES[0]), lane=LANES[0])

    seen = asyncio.run(scene())
    assert seen == stored(stand)
    assert seen is not None
    assert seen.reason is None


def test_a_new_connection_may_lead_to_another_server_whose_versions_mean_something_else(stand: Stand) -> None:
    known = Known()
    before = stand.store.connections_made
    known.begin(before)
    with stand.store.bracket(lambda connection, at: StepTx(connection, at, known)) as tx:
        tx.fetch([LANES[0]], until=NOW)
        tx.run(claim(LANES[0]))
    known.begin(before)
    assert (list(known.deliveries), list(known.schedules)) == ([1], [1])
    with stand.store.transaction(), stand.store.transaction():  # two at once need one more
        assert stand.store.connections_made == before + 1
    known.begin(before + 1)
    assert (known.deliveries, known.schedules) == ({}, {})
