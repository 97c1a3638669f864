"""Steps of many lanes against a transaction for each act: random acts get the same answers, and leave the same tables.

Each world is its seed's. `STEP_WORLDS=400 STEP_FIRST=1000` plays so many, from that seed on.
"""

from __future__ import annotations

import os
import random  # noqa: TID251  each world is its seed's
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast

import psycopg
import pytest

from promptyoself.domain.errors import StoreError
from promptyoself.domain.models import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Fact,
    FactKind,
    Schedule,
    ScheduleState,
    StopSwitch,
)
from promptyoself.domain.ports import Tx
from promptyoself.domain.values import replace
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_steps import Steps
from promptyoself.storage.writer import Act, ActQueue
from tests.factories import MINUTE, NOW, a_new_delivery, a_new_schedule
from tests.postgres.stores import CleanStores
from tests.storage.test_steps import LANES, SetClock, tables

FIRST: Final = int(os.environ.get("STEP_FIRST", "0"))
WORLDS: Final = int(os.environ.get("STEP_WORLDS", "0"))
SEEDS: Final = range(FIRST, FIRST + WORLDS) if WORLDS else (0,)
"""Unless more are asked for, one that finds much of what was broken on purpose."""
BATCHES: Final = 5
ACTS_MAX: Final = 9
FAR: Final = timedelta(days=365 * 100)
"""Later than any clock, the server's too: what comes then is not due for anybody."""
TOKENS: Final = ("a", "b")


class Fault(Exception):
    """What an act raises by itself."""


class World:
    """What the acts of one world know: the same random choices, whoever runs them."""

    def __init__(self, store: PostgresStore, seed: int) -> None:
        self.store = store
        self.clock = SetClock()
        self.begun: dict[int, Attempt] = {}
        """The newest attempt at each delivery, as its runner remembers it: what was undone nobody does."""
        self.fresh: dict[int, Attempt] = {}
        """Those of the act under way."""
        chance = random.Random(seed)
        with store.transaction() as tx:
            for number in range(5):
                schedule = tx.add_schedule(
                    a_new_schedule(
                        f"uid-{number}", agent_id=f"agent-{number % 4}", next_fire_at=chance.choice([None, NOW + FAR])
                    )
                )
                for place in range(chance.choice([1, 1, 2, 3])):
                    fire_at = NOW - (number + 1) * MINUTE + place * timedelta(seconds=1)
                    kind = chance.choice([DeliveryKind.SCHEDULED, DeliveryKind.SCHEDULED, DeliveryKind.RUN_NOW])
                    lane = chance.choice([schedule.lane, schedule.lane, LANES[4]])
                    tx.add_delivery(
                        a_new_delivery(schedule, fire_at=fire_at, planned_at=fire_at, kind=kind, lane=lane),
                        retry_until=NOW + FAR,
                    )
            first = tx.schedule(1)
            for place, lane in enumerate(LANES):  # so that each is there
                over = a_new_delivery(first, fire_at=NOW - (9 + place) * MINUTE, lane=lane, state=DeliveryState.SKIPPED)
                tx.add_delivery(over, retry_until=NOW)


def plain(value: Any) -> Any:  # noqa: ANN401  an answer, as far as it must be the same
    if isinstance(value, Attempt):
        return replace(value, id=0)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def act_of(world: World, seed: int, lane: str) -> Callable[[Tx], list[Any]]:
    """Return an act that does some of what acts do, chosen by its seed alone; it answers what it was answered."""

    def act(tx: Tx) -> list[Any]:
        chance = random.Random(seed)
        heard: list[Any] = []
        scene = Scene(world, tx, chance, lane)
        world.fresh = {}
        doings = [DOINGS[name] for name in chance.choices(list(DOINGS), list(WEIGHTS.values()), k=chance.randint(1, 7))]
        for doing in doings:
            try:
                heard.append(plain(doing(scene)))
            except StoreError as error:
                heard.append(type(error).__name__)
        if chance.random() < 0.15:
            raise Fault
        world.begun |= world.fresh
        return heard

    return act


@dataclass
class Scene:
    """What an act has to go by."""

    world: World
    tx: Tx
    chance: random.Random
    lane: str
    seen: dict[int, Delivery] = field(default_factory=dict)


def lease(at: Scene) -> object:
    until = at.chance.choice([NOW + FAR, NOW + FAR, NOW - MINUTE])
    return at.tx.lease_lane(
        at.lane, token=at.chance.choice(TOKENS), executor_id="one", now=at.world.clock.at, until=until
    )


def release(at: Scene) -> object:
    return at.tx.release_lane(at.lane, token=at.chance.choice(TOKENS))


def look_on(at: Scene) -> object:
    found = at.tx.next_in_lane(at.lane, now=at.world.clock.at)
    if found is not None:
        at.seen[found.id] = found
    return found


def look_at(at: Scene) -> object:
    found = at.tx.delivery(at.chance.choice([*at.seen, *at.seen, *at.seen, at.chance.randint(1, 12)]))
    if found is not None:
        at.seen[found.id] = found
    return found


def look_at_schedule(at: Scene) -> object:
    return _schedule(at)


def _schedule(at: Scene) -> Schedule | None:
    return at.tx.schedule(at.chance.choice([*(one.schedule_id for one in at.seen.values()), at.chance.randint(1, 5)]))


def _one(at: Scene) -> Delivery | None:
    return at.chance.choice(list(at.seen.values())) if at.seen else None


def claim(at: Scene) -> object:
    """As a dispatcher does."""
    leased = at.tx.lease_lane(at.lane, token="a", executor_id="one", now=at.world.clock.at, until=NOW + FAR)
    was = at.tx.next_in_lane(at.lane, now=at.world.clock.at)
    if not leased or was is None or was.state is not DeliveryState.PENDING:
        return was
    now = replace(
        was,
        state=DeliveryState.LEASED,
        lease_token="a",
        sent_at=at.world.clock.at,
        first_sent_at=was.first_sent_at or NOW,
    )
    if not at.tx.save_delivery(now, was=was):
        return False
    at.seen[now.id] = now
    attempt = at.tx.add_attempt(now.id, executor_id="one", otid="o", started_at=at.world.clock.at)
    at.world.fresh[now.id] = attempt
    return attempt


def record(at: Scene) -> object:
    """As a dispatcher does: whatever an answer may make of what is in flight."""
    was = _one(at) or at.tx.next_in_lane(at.lane, now=at.world.clock.at)
    if was is None or not was.state.is_in_flight:
        return None
    current = at.tx.delivery(was.id)
    schedule = at.tx.schedule(was.schedule_id)
    if current is None or schedule is None or not current.state.is_in_flight:
        return current
    state = at.chance.choice(
        [
            DeliveryState.DELIVERED,
            DeliveryState.DEAD,
            DeliveryState.PENDING,
            DeliveryState.ACCEPTED,
            DeliveryState.UNKNOWN,
        ]
    )
    now = _in_state(current, state, at.chance)
    if not at.tx.save_delivery(now, was=current):
        return False
    at.seen[now.id] = now
    attempt = (at.world.begun | at.world.fresh).get(now.id)
    if attempt is not None:
        at.tx.finish_attempt(
            attempt.id,
            outcome=AttemptOutcome.REFUSED,
            finished_at=at.world.clock.at,
            detail="so",
            run_id=at.chance.choice([None, "r"]),
        )
    at.tx.add_fact(Fact(kind=FactKind.REFUSED, at=NOW, delivery_id=now.id, actor="one"))
    if state.is_final:
        saved = replace(schedule, finals_in_row=schedule.finals_in_row + 1)
        at.tx.save_schedule(saved)
        if not at.tx.unfinished_deliveries(schedule.id) and saved.state is ScheduleState.ACTIVE:
            at.tx.save_schedule(replace(saved, state=ScheduleState.COMPLETED))
    return now


def _in_state(was: Delivery, state: DeliveryState, chance: random.Random) -> Delivery:
    return replace(
        was,
        state=state,
        lease_token=chance.choice(TOKENS) if state.is_in_flight else None,
        due_at=chance.choice([NOW - 3 * MINUTE, NOW, NOW + FAR]),
        finished_at=NOW if state.is_final else None,
        reason=chance.choice([None, "because"]),
        refusals=chance.randint(0, 2),
        first_sent_at=was.first_sent_at or NOW,
    )


def save(at: Scene) -> object:
    """Whatever, and perhaps of what is no longer so."""
    was = _one(at)
    if was is None:
        return None
    now = _in_state(was, at.chance.choice(list(DeliveryState)), at.chance)
    is_saved = at.tx.save_delivery(now, was=was)
    if is_saved and at.chance.random() < 0.7:
        at.seen[now.id] = now
    return is_saved


def save_schedule(at: Scene) -> object:
    was = _schedule(at)
    if was is None:
        return None
    state = at.chance.choice([was.state, was.state, *ScheduleState])
    now = replace(was, state=state, fire_count=was.fire_count + 1, updated_at=at.world.clock.at)
    if at.chance.random() < 0.2:
        now = replace(now, revision=was.revision + 1, definition=replace(was.definition, prompt="another"))
    at.tx.save_schedule(now)
    return now


def begin(at: Scene) -> object:
    one = _one(at)
    if one is None or one.first_sent_at is None:
        return None
    attempt = at.world.fresh[one.id] = at.tx.add_attempt(
        one.id, executor_id="two", otid="o", started_at=at.world.clock.at
    )
    return attempt


def finish(at: Scene) -> object:
    one = _one(at)
    attempt = None if one is None else (at.world.begun | at.world.fresh).get(one.id)
    if attempt is not None:
        at.tx.finish_attempt(
            attempt.id, outcome=AttemptOutcome.BUSY, finished_at=None, status=at.chance.choice([None, 409])
        )
    return None


def look_at_attempts(at: Scene) -> object:
    one = _one(at)
    return None if one is None else at.tx.attempts(one.id)


def look_at_unfinished(at: Scene) -> object:
    return at.tx.unfinished_deliveries(
        at.chance.choice([*(one.schedule_id for one in at.seen.values()), at.chance.randint(1, 5)])
    )


def tell(at: Scene) -> object:
    at.tx.add_fact(Fact(kind=FactKind.FIRED, at=NOW, actor="one", schedule_id=at.chance.randint(1, 5)))
    return None


def count(at: Scene) -> object:
    return at.tx.counts()


def journal(at: Scene) -> object:
    return [one.kind for one in at.tx.facts(limit=3)]


def open_one(at: Scene) -> object:
    schedule = at.tx.schedule(at.chance.randint(1, 5))
    if schedule is None:
        return None
    fire_at = at.chance.choice([NOW - at.chance.randint(0, 6) * MINUTE, NOW + FAR])
    to = at.chance.choice([schedule.lane, at.lane, LANES[5]])
    new = a_new_delivery(schedule, fire_at=fire_at, planned_at=fire_at, lane=to, revision=schedule.revision)
    added = at.tx.add_delivery(new, retry_until=NOW + FAR)
    return None if added is None else replace(added, id=0)


def stop(at: Scene) -> object:
    is_on = at.chance.random() < 0.5
    at.tx.set_stop_switch(StopSwitch(reason=None, since=NOW, until=None) if is_on else None)
    return is_on


def hasten(at: Scene) -> object:
    return at.tx.hasten_target("inbox", now=at.world.clock.at)


DOINGS: Final[dict[str, Callable[[Scene], object]]] = {
    one.__name__: one
    for one in (
        lease, release, look_on, look_at, look_at_schedule, claim, record, save, save_schedule, begin, finish,
        look_at_attempts, look_at_unfinished, tell, count, journal, open_one, stop, hasten,
    )
}  # fmt: skip
WEIGHTS: Final = dict.fromkeys(DOINGS, 3.0) | {
    "look_on": 10, "claim": 16, "record": 16, "release": 8, "look_at": 5, "save": 4, "save_schedule": 3,
    "count": 0.7, "journal": 0.7, "stop": 0.3, "hasten": 0.3, "open_one": 0.7,
}  # fmt: skip


def batches(seed: int) -> Iterator[list[tuple[int, str]]]:
    chance = random.Random(seed)
    for _ in range(BATCHES):
        yield [(chance.getrandbits(40), chance.choice(LANES[:5])) for _ in range(chance.randint(1, ACTS_MAX))]


class Again(list[Act[Any]]):
    """Acts that come again."""

    def put_again(self, act: Act[Any]) -> None:
        self.append(act)


def in_steps(
    world: World, steps: Steps, again: Again, batch: list[tuple[int, str]]
) -> tuple[list[tuple[int, str]], list[object]]:
    """Run a batch in as many steps as it takes; return in which order its acts ran, and what each answered."""
    acts = [Act(act_of(world, seed, lane), cast("Any", None), lane=lane) for seed, lane in batch]
    names = {id(act): name for act, name in zip(acts, batch, strict=True)}
    left, order, answers = list(acts), [], {}
    for _ in range(99):
        if not left:
            break
        again.clear()
        steps(left)
        for act in left:
            if act not in again:
                order.append(names[id(act)])
                answers[names[id(act)]] = type(act.error).__name__ if act.error is not None else act.value
        left = list(again)
    assert not left
    return order, [answers[name] for name in order]


def alone(world: World, order: list[tuple[int, str]]) -> list[object]:
    answers: list[object] = []
    for seed, lane in order:
        try:
            with world.store.transaction() as tx:
                answers.append(act_of(world, seed, lane)(tx))
        except (StoreError, Fault) as error:
            answers.append(type(error).__name__)
    return answers


@pytest.fixture
def make_store(clean_stores: CleanStores) -> Iterator[Callable[[], PostgresStore]]:
    with clean_stores.of_one_test() as make:
        yield make


LOST = """
SELECT lane FROM lanes
WHERE next_due_at < 2000000000000000 AND (lease_token IS NULL OR leased_until < 2000000000000000)
    AND (is_in_flight = 1 OR NOT EXISTS (SELECT 1 FROM stop_switch))
    AND NOT EXISTS (SELECT 1 FROM pgqueuer WHERE dedupe_key = lanes.lane)
"""


def lost(store: PostgresStore) -> list[Any]:
    """Return lanes for which nobody would be woken."""
    with psycopg.connect(store.conninfo) as connection:
        return connection.execute(LOST).fetchall()


def play(make_store: Callable[[], PostgresStore], seed: int) -> None:
    stepped, ordinary = World(make_store(), seed), World(make_store(), seed)
    steps = Steps(stepped.store, stepped.clock, cast("ActQueue", None))
    again = Again()
    steps.again = cast("ActQueue", again)
    for number, batch in enumerate(batches(seed)):
        order, answers = in_steps(stepped, steps, again, batch)
        expected = alone(ordinary, order)
        for name, got, wanted in zip(order, answers, expected, strict=True):
            assert got == wanted, (seed, number, name)
        found = tables(stepped.store)
        assert not lost(stepped.store), (seed, number)
        assert not lost(ordinary.store), (seed, number)
        for table, rows in tables(ordinary.store).items():
            if table != "tokens of lanes":  # one that is not needed does no harm
                assert found[table] == rows, (seed, number, table)
    stepped.store.close()
    ordinary.store.close()


def test_acts_of_a_step_are_answered_and_stored_as_one_after_the_other(make_store: Callable[[], PostgresStore]) -> None:
    for seed in SEEDS:
        play(make_store, seed)
