"""The engine of many machines: tokens, what dies and comes back, shares, and what PostgreSQL does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from promptyoself.application.ahead import Ahead
from promptyoself.application.dispatcher import Dispatcher
from promptyoself.application.gate import Gate
from promptyoself.application.planner import plan_batch
from promptyoself.domain.errors import ConfigError, StoreBusy, StoreMoved
from promptyoself.domain.models import OPERATOR, DeliveryState, Policy, Provenance, ScheduleState, StopSwitch
from promptyoself.domain.ports import Tx
from promptyoself.domain.triggers import TriggerKind, make_trigger
from promptyoself.lanes.pgqueuer_guard import OwnedBuilder, assert_fits
from promptyoself.lanes.pgqueuer_tokens import Tokens
from promptyoself.runtime import SystemChance, SystemClock
from promptyoself.storage.move_ends import moved
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_tx import PostgresTx
from promptyoself.storage.writer import InlineWriter
from tests.contract.engine_suite import lane_of, play
from tests.factories import a_new_delivery, a_new_schedule
from tests.lanes.node import LEASE, Node, NodeThread, post_prompts
from tests.lanes.post import Post
from tests.postgres.server import PostgresServer
from tests.postgres.stores import CleanStores

ONE, TWO = UUID(int=1), UUID(int=2)


@dataclass
class Fleet:
    """A store, a post, and nodes between them."""

    store: PostgresStore
    url: str
    post: Post = field(default_factory=Post)

    def node(self, name: str = "a", **options: Any) -> Node:  # noqa: ANN401  any option
        return Node(self.store, {"inbox": self.post.target(name)}, name=name, conninfo=self.url, **options)

    def beside(self, name: str, **options: Any) -> NodeThread:  # noqa: ANN401  any option
        """Make a node in a thread of its own, which can be frozen."""
        return NodeThread(lambda: self.node(name, **options))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def tokens(self) -> list[str]:
        """Return the lanes that have a token, in the order of the queue."""
        return [row[0] for row in self.rows("SELECT dedupe_key FROM pgqueuer ORDER BY id")]


@pytest.fixture
def fleet(clean_stores: CleanStores) -> Iterator[Fleet]:
    with clean_stores.of_one_test() as make:
        store = make()
        yield Fleet(store, clean_stores.url_of(store))


def hold(fleet: Fleet, agent: str = "a", *, token: str = "t", for_s: float = 60) -> bool:  # noqa: S107  a lease's token opens nothing
    now = SystemClock().now()
    with fleet.store.transaction() as tx:
        return tx.lease_lane(
            lane_of(agent), token=token, executor_id=token, now=now, until=now + timedelta(seconds=for_s)
        )


def finish(fleet: Fleet, tx: PostgresTx) -> None:
    """End all that is to be done for the schedules there are."""
    for (schedule_id,) in fleet.rows("SELECT id FROM schedules"):
        for was in tx.unfinished_deliveries(schedule_id):
            ended = replace(was, state=DeliveryState.CANCELLED, finished_at=SystemClock().now())
            assert tx.save_delivery(ended, was=was)


def arrive(tx: PostgresTx, agent: str = "a") -> None:
    """Add a prompt that is due."""
    schedule = tx.add_schedule(a_new_schedule("arriving", agent_id=agent, next_fire_at=None))
    at = SystemClock().now() - timedelta(seconds=1)
    assert tx.add_delivery(a_new_delivery(schedule, fire_at=at), retry_until=at + timedelta(hours=1))


def release(fleet: Fleet, agent: str = "a") -> None:
    with fleet.store.transaction() as tx:
        assert tx.release_lane(lane_of(agent), token="t")


def somebody_waits(fleet: Fleet) -> bool:
    """Wait until a transaction waits for a lock of another."""
    return is_soon(lambda: fleet.rows("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0] > 0)


def is_soon(holds: Callable[[], bool], *, within_s: float = 8) -> bool:
    """Look again and again until it holds: the database tells nobody of its locks."""
    pause, until_s = threading.Event(), SystemClock().monotonic() + within_s
    while not holds():
        if SystemClock().monotonic() > until_s:
            return False
        pause.wait(0.02)
    return True


def shares(fleet: Fleet) -> list[tuple[str, int]]:
    return fleet.rows("SELECT executor_id, reserved FROM shares ORDER BY 1")


class TestTokens:
    def test_one_for_each_lane_that_is_due_and_free_and_none_ahead_of_time(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["b", "a"], 2)
        post_prompts(fleet.store, ["later"], due_in=timedelta(hours=1))
        assert sorted(fleet.tokens()) == [lane_of("a"), lane_of("b")]
        assert fleet.rows("SELECT count(*) FROM pgqueuer WHERE execute_after > now()") == [(0,)]

    def test_while_all_is_stopped_there_are_none_and_then_at_once(self, fleet: Fleet) -> None:
        with fleet.store.transaction() as tx:
            tx.set_stop_switch(StopSwitch(reason="because", since=SystemClock().now(), until=None))
        post_prompts(fleet.store, ["a"])
        assert fleet.tokens() == []
        with fleet.store.transaction() as tx:
            tx.set_stop_switch(None)
        assert fleet.tokens() == [lane_of("a")]

    def test_what_is_undone_leaves_none(self, fleet: Fleet) -> None:
        def fail() -> None:
            with fleet.store.transaction() as tx:
                arrive(tx)
                tx.write_what_is_kept()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert fleet.tokens() == []

    def test_a_lane_given_back_loses_it_or_goes_to_the_back_of_the_queue(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a"])
        post_prompts(fleet.store, ["b"])
        assert hold(fleet)
        with fleet.store.transaction() as tx:
            assert tx.release_lane(lane_of("a"), token="t")
        assert fleet.tokens() == [lane_of("b"), lane_of("a")]
        assert hold(fleet)
        with fleet.store.transaction() as tx:
            finish(fleet, tx)
            assert tx.release_lane(lane_of("a"), token="t")
        assert fleet.tokens() == [lane_of("b")]

    def test_a_release_by_one_who_has_lost_the_lane_touches_none(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a", "b"])
        before = fleet.tokens()
        assert hold(fleet, token="new")
        with fleet.store.transaction() as tx:
            assert not tx.release_lane(lane_of("a"), token="old")
        assert fleet.tokens() == before

    def test_an_arrival_and_a_last_look_never_pass_each_other(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a"])
        assert hold(fleet)
        with fleet.store.transaction() as tx:
            finish(fleet, tx)
            assert tx.release_lane(lane_of("a"), token="t")
            tx.write_what_is_kept()  # the look is over, the commit still to come
            arriving = threading.Thread(target=post_prompts, args=(fleet.store, ["a"]))
            arriving.start()
            assert somebody_waits(fleet)
        arriving.join(10)
        assert fleet.tokens() == [lane_of("a")]

    def test_a_last_look_waits_for_an_arrival_and_sees_it(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a"])
        assert hold(fleet)
        with fleet.store.transaction() as tx:
            finish(fleet, tx)
        ending = threading.Thread(target=release, args=(fleet,))
        with fleet.store.transaction() as tx:
            arrive(tx)
            tx.write_what_is_kept()
            ending.start()
            assert somebody_waits(fleet)
        ending.join(10)
        assert fleet.tokens() == [lane_of("a")]

    def test_of_two_who_write_to_a_lane_at_once_neither_forgets_what_the_other_wrote(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a"], due_in=timedelta(hours=2))
        assert hold(fleet)

        def hasten() -> None:
            with fleet.store.transaction() as tx:
                (was,) = tx.unfinished_deliveries(1)
                assert tx.save_delivery(replace(was, due_at=was.due_at - timedelta(hours=1)), was=was)

        hastening = threading.Thread(target=hasten)
        with fleet.store.transaction() as tx:
            arrive(tx)
            tx.write_what_is_kept()
            hastening.start()
            assert somebody_waits(fleet)
        hastening.join(10)
        release(fleet)
        assert fleet.tokens() == [lane_of("a")]

    def test_a_nodes_sign_of_life_shortens_no_longer_lease_of_others(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a"])
        assert hold(fleet, for_s=30)
        before = fleet.rows("SELECT leased_until FROM lanes")
        with fleet.store.transaction() as tx:
            assert tx.renew_lanes("node", until=SystemClock().now() + LEASE) == 0
        assert fleet.rows("SELECT leased_until FROM lanes") == before

    def test_only_its_owner_gives_one_back_or_keeps_it_alive(self, fleet: Fleet) -> None:
        async def scene() -> None:
            mine, theirs = Tokens(fleet.url, ONE, LEASE), Tokens(fleet.url, TWO, LEASE)
            post_prompts(fleet.store, ["a"])
            (token,) = await mine.pick("inbox", most=5, with_abandoned=True)
            fleet.rows("UPDATE pgqueuer SET heartbeat = now() - interval '1 minute' RETURNING 1")
            assert [one.id for one in await theirs.pick("inbox", most=5, with_abandoned=True)] == [token.id]
            before = fleet.rows("SELECT heartbeat FROM pgqueuer")
            await mine.say_alive([token.id])
            assert fleet.rows("SELECT heartbeat FROM pgqueuer") == before
            with fleet.store.transaction() as tx:
                assert not tx.give_back_token(token.id, lane=token.lane, owner=str(ONE))
                assert tx.requeue_tokens(str(ONE), but=()) == 0
            await theirs.say_alive([token.id])
            assert fleet.rows("SELECT heartbeat FROM pgqueuer") != before
            with fleet.store.transaction() as tx:
                assert tx.give_back_token(token.id, lane=token.lane, owner=str(TWO))
            assert fleet.rows("SELECT status, id > 1 FROM pgqueuer") == [("queued", True)]
            await mine.close()
            await theirs.close()

        play(scene())

    def test_a_sweep_issues_what_is_missing_and_removes_what_has_nothing_to_do(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["a", "b"])
        fleet.rows("DELETE FROM pgqueuer WHERE dedupe_key = 'inbox a' RETURNING 1")
        fleet.rows("UPDATE lanes SET next_due_at = NULL WHERE lane = 'inbox b' RETURNING 1")
        now = SystemClock().now()
        with fleet.store.transaction() as tx:
            assert tx.issue_due_tokens(after=now - timedelta(hours=1), now=now, limit=10) == 1
            assert tx.issue_due_tokens(after=now - timedelta(hours=1), now=now, limit=10) == 0
            assert tx.drop_idle_tokens(now=now, limit=10) == 1
        assert fleet.tokens() == [lane_of("a")]

    def test_a_node_leaves_others_their_part_of_few_and_picks_many_at_once_of_many(self, fleet: Fleet) -> None:
        def picks() -> list[int]:  # all of one pick bear the time of its transaction
            return [count for (count,) in fleet.rows("SELECT count(*) FROM pgqueuer GROUP BY updated ORDER BY updated")]

        async def scene() -> None:
            post_prompts(fleet.store, [f"a{number}" for number in range(350)])
            fleet.post.opens = asyncio.Event()
            async with fleet.node(most=1000):
                await fleet.post.until(lambda: fleet.post.open_now == 350)
                assert picks() == [16, 32, 64, 128, 110]
                fleet.post.opens.set()
                await fleet.post.received(350)
                fleet.post.opens.clear()
                assert await asyncio.to_thread(is_soon, lambda: fleet.tokens() == [])
                post_prompts(fleet.store, [f"b{number}" for number in range(20)])
                await fleet.post.until(lambda: fleet.post.open_now == 20)
                assert picks() == [16, 4]
                fleet.post.opens.set()

        play(scene())

    def test_picking_writes_no_log_and_what_others_wrote_is_pruned(self, fleet: Fleet) -> None:
        async def scene() -> None:
            post_prompts(fleet.store, ["a"], 5)
            async with fleet.node():
                await fleet.post.received(5)
            assert fleet.rows("SELECT count(*) FROM pgqueuer_log") == [(0,)]

        play(scene())
        for created in ("now()", "now() - interval '1 year'"):
            self._note(fleet, created)
        with fleet.store.transaction() as tx:
            assert tx.prune_token_log(before=SystemClock().now() - timedelta(hours=1), limit=4) == 4
            assert tx.prune_token_log(before=SystemClock().now() - timedelta(hours=1), limit=4) == 3
        self._note(fleet, "now() - interval '1 year'")

        async def retention() -> None:
            async with fleet.node() as node:
                await node.prune()

        play(retention())
        young = (
            "SELECT count(*) FROM pgqueuer_log",
            "SELECT count(*) FROM pgqueuer_statistics",
            "SELECT count(*) FROM shares",
        )
        assert [fleet.rows(count) for count in young] == [[(5,)], [(1,)], [(1,)]]

    def _note(self, fleet: Fleet, created: str) -> None:
        """Write as many rows as another program of the carrier's may, and a share whose executor is no more."""
        fleet.rows(
            f"""
            WITH share AS (
                INSERT INTO shares VALUES ('inbox', gen_random_uuid(), 0, extract(epoch FROM {created}) * 1000000)),
            counted AS (
                INSERT INTO pgqueuer_statistics (created, count, priority, status, entrypoint)
                VALUES ({created}, 1, 0, 'picked', gen_random_uuid()))
            INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)
            SELECT {created}, n, 'picked', 0, 'inbox' FROM generate_series(1, 5) n RETURNING 1
            """  # noqa: S608  ours
        )


def test_a_node_whose_database_has_moved_away_ends_and_says_where_it_went(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    there = tmp_path / "there.db"
    url = postgres.new_database()  # its own: no other test may have it afterwards
    fleet = Fleet(PostgresStore.open(url, new_uid=lambda: "ab" * 16), url)

    async def scene() -> None:
        async with fleet.node() as node:
            await fleet.post.received(1)
            await asyncio.to_thread(
                moved,
                url,
                str(there),
                new_id=lambda: "m",
                clock=node.clock,
                wait=timedelta(seconds=20),
                tell=lambda _: None,
            )
            with pytest.raises(StoreMoved, match=f"was moved to {there}"):
                await asyncio.wait_for(node.running, 20)

    with closing(fleet.store):
        post_prompts(fleet.store, ["a"])
        play(scene())


LONG = timedelta(seconds=60)
"""No lease runs out, and no look comes by itself, while a test lasts."""


def promise(
    fleet: Fleet,
    agents: Sequence[str],
    target: str = "inbox",
    *,
    expires_after: timedelta | None = None,
    owner: str = OPERATOR,
) -> datetime:
    """Store schedules that are due and not planned: each fires once, at the instant that is returned."""
    now = SystemClock().now()
    at = now + timedelta(milliseconds=50)
    with fleet.store.transaction() as tx:
        for number, agent in enumerate(agents):
            once = make_trigger(TriggerKind.ONCE, at.isoformat(), timezone="UTC", now=now)
            what = {"agent_id": agent, "trigger": once, "target": target, "policy": Policy(expires_after=expires_after)}
            what["provenance"] = Provenance(owner=owner)
            tx.add_schedule(a_new_schedule(f"of-{agent}-{number}", next_fire_at=at, **what))
    # By the database's own clock, which issues tokens.
    assert is_soon(lambda: fleet.rows(f"SELECT clock_timestamp() > '{at.isoformat()}'") == [(True,)])
    return at


class Planner:
    """A node's part that plans, with nothing behind it that delivers."""

    def __init__(self, fleet: Fleet, targets: Sequence[str], *, slots: int = 8) -> None:
        self.fleet = fleet
        self.targets = targets
        self.clock = SystemClock()
        writer = InlineWriter(fleet.store)
        self.gate = Gate(
            targets={target: fleet.post.target("one", target) for target in targets},
            writer=writer,
            clock=self.clock,
            on_change=lambda: None,
            on_grant=lambda _: None,
            most=slots,
        )
        self.dispatcher = Dispatcher(
            writer=writer,
            targets={},
            gate=self.gate,
            clock=self.clock,
            chance=SystemChance(),
            executor_id="one",
            lease=LEASE,
        )
        self.ahead = self.ready()

    def ready(self) -> Ahead:
        return Ahead(self.dispatcher, gate=self.gate, clock=self.clock, targets=self.targets, most=4)

    def plan(
        self, look: Callable[[PostgresTx], object] = lambda _: None, *, at: datetime | None = None
    ) -> list[tuple[str, str]]:
        """Plan what was promised, and claim of it what may be; return all lanes, and what is in each afterwards."""
        with self.fleet.store.transaction() as tx:
            tx.claim_at(self.targets)
            assert plan_batch(tx, now=at or self.clock.now(), store_uid=self.fleet.store.uid).opened
            look(tx)
            self.ahead.claim(tx)
        return self.fleet.rows(
            "SELECT lane, state || coalesce(' by ' || executor_id, '') || coalesce(' attempt ' || number, '')"
            " FROM deliveries JOIN lanes USING (lane) LEFT JOIN attempts USING (executor_id)"
            " WHERE attempts.delivery_id IS NULL OR attempts.delivery_id = deliveries.id ORDER BY deliveries.id"
        )


OURS = "leased by one attempt 1"


def stop_all(fleet: Fleet) -> None:
    with fleet.store.transaction() as tx:
        tx.set_stop_switch(StopSwitch(reason="test", since=SystemClock().now(), until=None))


def make_lane(fleet: Fleet) -> None:
    """Have a lane with nothing to do."""
    fleet.rows("INSERT INTO lanes (lane, target) VALUES ('inbox a', 'inbox') RETURNING 1")


def come_later(fleet: Fleet) -> None:
    """Have something to do in the lane in a minute."""
    at = SystemClock().now() + timedelta(minutes=1)
    with fleet.store.transaction() as tx:
        schedule = tx.add_schedule(a_new_schedule("later", agent_id="a", next_fire_at=None))
        assert tx.add_delivery(a_new_delivery(schedule, fire_at=at), retry_until=at + timedelta(hours=1))


def have_it_held(fleet: Fleet) -> None:
    make_lane(fleet)
    assert hold(fleet)


class TestClaimedWithTheirPlan:
    def test_a_node_that_plans_has_it_in_hand_and_nobody_needs_a_token(self, fleet: Fleet) -> None:
        promise(fleet, ["a", "b"])
        planner = Planner(fleet, ["inbox"])
        assert planner.plan() == [(lane_of("a"), OURS), (lane_of("b"), OURS)]
        lanes = "SELECT is_in_flight, lease_token IS NOT NULL, next_due_at <= leased_until FROM lanes"
        assert (fleet.tokens(), set(fleet.rows(lanes))) == ([], {(1, True, True)})
        runs = planner.ahead.runs()
        assert [lane for lane, _ in runs] == [lane_of("a"), lane_of("b")]
        for _, running in runs:
            running.close()

    def test_what_it_has_claimed_is_durable_when_it_is_sent(self, fleet: Fleet) -> None:
        """A planner's commit does not wait for the disk; a claim's does."""
        promise(fleet, ["a"])
        said = []

        def look(tx: PostgresTx) -> None:
            said.append(tx._connection.execute(b"SHOW synchronous_commit").fetchone())
            planner.ahead.claim(tx)
            tx.write_what_is_kept()
            said.append(tx._connection.execute(b"SHOW synchronous_commit").fetchone())

        planner = Planner(fleet, ["inbox"])
        planner.plan(look)
        assert [one["synchronous_commit"] for one in said if one] == ["off", "on"]

    @pytest.mark.parametrize(
        ("agents", "targets", "look"),
        [
            ("abcde", ["inbox"], lambda _: None),  # every node has its part of many
            ("a", ["letta"], lambda _: None),
            ("a", [], lambda _: None),
            ("a", ["inbox"], lambda tx: tx.ready_lanes(now=SystemClock().now(), limit=9)),  # written before the commit
            ("aa", ["inbox"], lambda _: None),
        ],
    )
    def test_otherwise_tokens_are_queued_as_ever(
        self, fleet: Fleet, agents: str, targets: list[str], look: Callable[[PostgresTx], object]
    ) -> None:
        promise(fleet, agents)
        assert Planner(fleet, targets).plan(look) == [(lane_of(agent), "pending") for agent in agents]
        assert sorted(fleet.tokens()) == sorted({lane_of(agent) for agent in agents})

    @pytest.mark.parametrize("before", [stop_all, come_later, have_it_held])
    def test_nothing_is_claimed_where_the_lane_is_not_free_for_it(
        self, fleet: Fleet, before: Callable[[Fleet], None]
    ) -> None:
        before(fleet)
        promise(fleet, ["a"])
        states = [state for _, state in Planner(fleet, ["inbox"]).plan() if state.startswith(("pending", "leased"))]
        assert {state.partition(" by ")[0] for state in states} == {"pending"}

    def test_one_whose_schedule_has_an_earlier_one_in_another_lane_waits_for_its_turn(self, fleet: Fleet) -> None:
        promise(fleet, ["a"])
        with fleet.store.transaction() as tx:
            (schedule,) = tx.schedules_due(now=SystemClock().now(), limit=1)
        with fleet.store.transaction() as tx:  # as planned before its agent was changed
            earlier = replace(
                a_new_delivery(schedule, fire_at=SystemClock().now() - timedelta(minutes=1)), lane=lane_of("old")
            )
            assert tx.add_delivery(earlier, retry_until=earlier.fire_at + timedelta(hours=1))
        fleet.rows("DELETE FROM pgqueuer RETURNING 1")
        fleet.rows("UPDATE deliveries SET state = 'leased', lease_token = 't' RETURNING 1")  # it is being sent
        states = dict(Planner(fleet, ["inbox"]).plan())
        assert states == {lane_of("old"): "leased", lane_of("a"): "pending"}

    def test_of_two_that_an_agent_has_made_itself_none_overtakes_the_first(self, fleet: Fleet) -> None:
        """What is planned of the first is written before it is counted what the agent may still have sent."""
        promise(fleet, "aa", owner="a")
        assert Planner(fleet, ["inbox"]).plan() == [(lane_of("a"), "pending")] * 2
        assert fleet.tokens() == [lane_of("a")]

    def test_what_a_pause_held_back_goes_before_what_is_planned_as_it_ends(self, fleet: Fleet) -> None:
        now = SystemClock().now()
        with fleet.store.transaction() as tx:
            schedule = tx.add_schedule(a_new_schedule("paused", agent_id="a", next_fire_at=now + timedelta(hours=1)))
            held = a_new_delivery(schedule, fire_at=now - timedelta(minutes=1))
            assert tx.add_delivery(held, retry_until=now + timedelta(hours=1))
            tx.save_schedule(replace(schedule, state=ScheduleState.PAUSED, state_reason="test", paused_until=now))
        fleet.rows("DELETE FROM pgqueuer RETURNING 1")
        promise(fleet, ["a"])
        assert Planner(fleet, ["inbox"]).plan() == [(lane_of("a"), "pending")] * 2

    def test_what_ends_unsent_leaves_its_lane_free(self, fleet: Fleet) -> None:
        """It was not too late yet when it was planned."""
        planner = Planner(fleet, ["inbox"])
        planner.plan(at=promise(fleet, ["a"], expires_after=timedelta(microseconds=1)))
        assert fleet.rows("SELECT state, reason FROM deliveries") == [("skipped", "expired: expires_after has passed")]
        lanes = "SELECT lease_token, next_due_at, is_in_flight FROM lanes"
        assert (fleet.tokens(), fleet.rows(lanes)) == ([], [(None, None, 0)])
        for _, running in planner.ahead.runs():
            play(running)
        assert planner.gate.in_flight("inbox") == 0

    def test_who_waits_in_the_queue_of_a_target_is_not_overtaken(self, fleet: Fleet) -> None:
        post_prompts(fleet.store, ["first"])
        promise(fleet, ["a"])
        promise(fleet, ["b"], target="letta")
        states = dict(Planner(fleet, ["inbox", "letta"]).plan())
        assert (states[lane_of("a")], states[lane_of("b").replace("inbox", "letta")]) == ("pending", OURS)
        assert fleet.tokens() == [lane_of("first"), lane_of("a")]

    def test_no_more_is_claimed_than_there_are_slots(self, fleet: Fleet) -> None:
        promise(fleet, ["a", "b", "c"])
        states = [state for _, state in Planner(fleet, ["inbox"], slots=2).plan()]
        assert sorted(states) == [OURS, OURS, "pending"]

    def test_what_is_undone_is_in_nobodys_hands(self, fleet: Fleet) -> None:
        promise(fleet, ["a"])
        planner = Planner(fleet, ["inbox"])

        def fail(tx: PostgresTx) -> None:
            planner.ahead.claim(tx)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            planner.plan(fail)
        assert fleet.rows("SELECT lane FROM lanes") == fleet.rows("SELECT id FROM deliveries") == []
        assert planner.gate.in_flight("inbox") == 4
        play(planner.ahead.give_up())
        assert planner.gate.in_flight("inbox") == 0

    @pytest.mark.parametrize("quicker", [hold, come_later], ids=["has the lane", "has given it more to do"])
    def test_where_somebody_was_quicker_nothing_is_stored_and_it_is_planned_again(
        self, fleet: Fleet, quicker: Callable[[Fleet], object]
    ) -> None:
        make_lane(fleet)
        promise(fleet, ["a"])
        with pytest.raises(StoreBusy):
            Planner(fleet, ["inbox"]).plan(lambda _: quicker(fleet))
        assert fleet.rows("SELECT count(*) FROM attempts") == [(0,)]
        assert fleet.rows("SELECT count(*) FROM facts WHERE kind = 'fired'") == [(0,)]
        states = Planner(fleet, []).plan()
        assert [state.partition(" by ")[0] for _, state in states].count("pending") == 1 + (quicker is come_later)

    def test_what_was_stored_without_an_answer_is_given_back(self, fleet: Fleet) -> None:
        promise(fleet, ["a"])
        planner = Planner(fleet, ["inbox"])
        assert planner.plan() == [(lane_of("a"), OURS)]
        play(planner.ahead.give_up())
        assert (fleet.tokens(), planner.gate.in_flight("inbox")) == ([lane_of("a")], 0)
        assert fleet.rows("SELECT lease_token FROM lanes") == [(None,)]

    def test_what_comes_to_be_stored_only_after_that_is_given_back_too(self, fleet: Fleet) -> None:
        """A server may still be at a commit whose connection is gone: a lane that is new is not there until its end."""

        async def scene() -> None:
            promise(fleet, ["a"])
            planner = Planner(fleet, ["inbox"])
            with fleet.store.transaction() as tx:
                tx.claim_at(["inbox"])
                plan_batch(tx, now=SystemClock().now(), store_uid=fleet.store.uid)
                planner.ahead.claim(tx)
                tx.write_what_is_kept()
                await planner.ahead.give_up()
            assert fleet.rows("SELECT executor_id FROM lanes") == [("one",)]
            assert await asyncio.to_thread(is_soon, lambda: fleet.rows("SELECT executor_id FROM lanes") == [(None,)])
            assert fleet.tokens() == [lane_of("a")]

        play(scene())

    def test_what_its_planner_died_with_is_taken_over_after_a_lease(self, fleet: Fleet) -> None:
        async def scene() -> None:
            promise(fleet, ["a"])
            assert Planner(fleet, ["inbox"]).plan() == [(lane_of("a"), OURS)]
            async with fleet.node("b", lease=LEASE):
                await fleet.post.received(1, within_s=8)
            assert fleet.tokens() == []

        play(scene())

    @pytest.mark.parametrize(("most", "is_at_once"), [(8, True), (3, False)])
    def test_a_node_with_slots_free_sends_what_it_plans_by_itself(
        self, fleet: Fleet, most: int, *, is_at_once: bool
    ) -> None:
        async def scene() -> None:
            held = threading.Event()
            fleet.post.answers["a"].append(held)
            async with fleet.node("a", most=most) as node:
                assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("a", most)])
                await asyncio.to_thread(promise, fleet, ["a"])
                await fleet.post.until(lambda: fleet.post.open_now == 1)
                assert (await asyncio.to_thread(fleet.tokens) == []) is is_at_once
                held.set()
                await fleet.post.received(1)
                assert await asyncio.to_thread(is_soon, lambda: fleet.tokens() == [])
                assert await asyncio.to_thread(is_soon, lambda: node.gate.in_flight("inbox") == 0)

        play(scene())

    def test_what_is_claimed_while_a_node_stops_is_sent(self, fleet: Fleet) -> None:
        async def scene() -> None:
            fleet.rows("INSERT INTO lanes (lane, target) VALUES ('inbox a', 'inbox') RETURNING 1")
            async with fleet.node("a", most=8) as node:
                assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("a", 8)])
                with psycopg.connect(fleet.url) as connection:
                    connection.execute("SELECT FROM lanes FOR UPDATE")
                    await asyncio.to_thread(promise, fleet, ["a"])
                    assert await asyncio.to_thread(somebody_waits, fleet)
                    stopping = asyncio.ensure_future(node.stop())
                    assert await asyncio.wait({stopping}, timeout=0.5) == (set(), {stopping})
                assert await stopping
            assert fleet.rows("SELECT state FROM deliveries") == [("delivered",)]
            assert (fleet.tokens(), len(fleet.post.prompts)) == ([], 1)

        play(scene())


class TestSignals:
    def test_a_new_token_is_heard_of(self, fleet: Fleet) -> None:
        async def scene() -> None:
            async with fleet.node(lease=LONG):
                post_prompts(fleet.store, ["a"])
                await fleet.post.received(1)
                post_prompts(fleet.store, ["b"])
                await fleet.post.received(2, within_s=6)

        play(scene())

    def test_a_token_that_was_picked_and_answered_to_nobody_goes_back(self, fleet: Fleet) -> None:
        async def scene() -> None:
            post_prompts(fleet.store, ["a"])
            async with fleet.node(lease=LONG) as node:  # it has not begun to look
                picked = f"SET status = 'picked', queue_manager_id = '{node.lanes._owner}', heartbeat = now()"
                fleet.rows(f"UPDATE pgqueuer {picked} RETURNING 1")
                await fleet.post.received(1, within_s=6)

        play(scene())

    def test_a_node_that_starts_leaves_others_time_to_say_that_they_live(self, fleet: Fleet) -> None:
        async def scene() -> None:
            post_prompts(fleet.store, ["a"])
            silent = "heartbeat = now() - interval '1 minute'"
            picked = f"SET status = 'picked', queue_manager_id = '{ONE}', {silent}"
            fleet.rows(f"UPDATE pgqueuer {picked} RETURNING 1")
            begun_s = SystemClock().monotonic()
            async with fleet.node(lease=LEASE * 3):
                await fleet.post.received(1, within_s=10)
            assert SystemClock().monotonic() - begun_s >= LEASE.total_seconds() * 3 / 4

        play(scene())

    def test_a_token_of_a_lane_that_another_holds_is_given_back_at_once(self, fleet: Fleet) -> None:
        async def scene() -> None:
            post_prompts(fleet.store, ["a", "b"])
            assert hold(fleet)
            async with fleet.node(lease=LONG):
                await fleet.post.received(1)
                assert await asyncio.to_thread(is_soon, lambda: fleet.tokens() == [])

        play(scene())


class TestLostNodes:
    def test_what_a_dead_node_held_is_taken_over_and_nothing_is_sent_twice(self, fleet: Fleet) -> None:
        async def scene() -> None:
            held = threading.Event()
            fleet.post.answers["a"].append(held)
            with fleet.beside("dead") as dead:
                post_prompts(fleet.store, ["a"], 2)
                await fleet.post.until(lambda: fleet.post.open_now == 1)
                dead.freeze()
                held.set()
                async with fleet.node("b"):
                    await fleet.post.until(lambda: fleet.post.of("a") == ["0", "1"], within_s=8)
                    assert fleet.post.by_node == {"dead": 1, "b": 1}

        play(scene())

    def test_a_node_stopped_between_claim_and_send_sends_nothing_of_what_it_lost(self, fleet: Fleet) -> None:
        async def scene() -> None:
            with fleet.beside("slow", lease=LEASE) as slow:
                slow.node.after_claim = slow.freeze_here
                post_prompts(fleet.store, ["a"])
                assert await asyncio.to_thread(is_soon, slow.is_frozen)
                async with fleet.node("b"):
                    await fleet.post.received(1, within_s=8)
                    post_prompts(fleet.store, ["a"])
                    await fleet.post.received(2)
                    slow.resume()
                    post_prompts(fleet.store, ["b"])
                    await fleet.post.received(3)
            assert fleet.post.by_node["slow"] <= 1  # of the last, perhaps
            assert [agent for agent, _ in fleet.post.prompts] == ["a", "a", "b"]
            assert fleet.post.overlaps == []
            assert fleet.tokens() == []

        play(scene())

    def test_a_fault_in_planning_ends_the_engine_for_all_to_see(self, fleet: Fleet) -> None:
        async def scene() -> None:
            node = fleet.node(plan_fault=RuntimeError("nobody foresaw this"))
            async with node:
                with pytest.raises(RuntimeError, match="nobody foresaw this"):
                    await node.running
            with fleet.store.reading() as tx:
                assert tx.executors(alive_since=SystemClock().now() - timedelta(hours=1)) == []

        play(scene())


class TestShares:
    def test_nodes_divide_what_a_target_takes_and_the_rest_grow_when_one_dies(self, fleet: Fleet) -> None:
        async def scene() -> None:
            fleet.post.takes_s = 0.05
            with fleet.beside("dead", most=4) as dead:
                async with fleet.node("b", most=4) as b, fleet.node("c", most=4) as c:
                    assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("b", 2), ("c", 1), ("dead", 1)])
                    post_prompts(fleet.store, [f"agent-{number}" for number in range(60)])
                    await fleet.post.received(60)
                    assert fleet.post.open_most == 4
                    assert sorted(fleet.post.by_node) == ["b", "c", "dead"]
                    dead.freeze()
                    divided = [node.lanes._shares for node in (b, c)]
                    assert await asyncio.to_thread(is_soon, lambda: [one.of("inbox") for one in divided] == [2, 2])
                    assert await c.stop()
                    assert await asyncio.to_thread(is_soon, lambda: divided[0].of("inbox") == 4)

        play(scene())

    def test_more_is_never_reserved_than_may_be_open(self, fleet: Fleet) -> None:
        now = SystemClock().now()

        def share(name: str, using: int = 0, after_s: float = 0) -> int | None:
            at = now + timedelta(seconds=after_s)
            with fleet.store.transaction() as tx:
                return tx.share_of_target(
                    "inbox", executor_id=name, most=10, using=using, now=at, until=at + timedelta(seconds=12)
                )

        assert share("a") == 10
        assert share("b") == 0
        assert share("a", using=10) == 5  # still reserved: they are open
        assert (share("b"), shares(fleet)) == (0, [("a", 10), ("b", 0)])
        assert share("a", using=7) == 5
        assert (share("b"), shares(fleet)) == (3, [("a", 7), ("b", 3)])
        assert share("c") == 0
        assert (share("a", using=4), share("b", using=3), share("c")) == (4, 3, 3)
        assert share("b", using=3, after_s=13) == 10  # nobody else lives
        with fleet.store.transaction() as tx:
            tx.give_up_shares("b")
        assert share("c", after_s=13) == 10

    def test_what_was_asked_for_while_a_node_did_not_listen_is_divided_when_it_does(self, fleet: Fleet) -> None:
        ended = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"

        def ask_unheard() -> bool:
            assert is_soon(lambda: shares(fleet) == [("b", 4)])
            assert is_soon(lambda: fleet.rows(f"SELECT count(*) {ended}") == [(1,)])
            now = SystemClock().now()
            with fleet.store.transaction() as tx:
                share = partial(tx.share_of_target, "inbox", executor_id="a", most=4, using=0)
                assert is_soon(lambda: share(now=now, until=now + 9 * LEASE) == 0)  # none while "b" divides as well
                fleet.rows(f"SELECT pg_terminate_backend(pid, 5000) {ended}")
            return is_soon(lambda: shares(fleet) == [("a", 0), ("b", 2)])

        async def scene() -> None:
            async with fleet.node("b", most=4, lease=timedelta(minutes=1)):  # no sign of life divides meanwhile
                assert await asyncio.to_thread(ask_unheard)

        play(scene())

    def test_what_is_over_is_freed_when_answers_have_come_in_and_not_with_the_next_sign_of_life(
        self, fleet: Fleet
    ) -> None:
        async def scene() -> None:
            held = threading.Event()
            for agent in "abcd":
                fleet.post.answers[agent].append(held)
            async with fleet.node("b", most=4, lease=LONG):
                post_prompts(fleet.store, ["a", "b", "c", "d"])
                await fleet.post.until(lambda: fleet.post.open_now == 4)
                async with fleet.node("a", most=4, lease=LONG):
                    assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("a", 0), ("b", 4)])
                    held.set()
                    assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("a", 2), ("b", 2)])

        play(scene())

    def test_lanes_that_wait_at_a_node_whose_share_is_gone_are_carried_by_others(self, fleet: Fleet) -> None:
        async def scene() -> None:
            held = threading.Event()
            fleet.post.answers["a"].append(held)
            async with fleet.node("b", most=1, lease=LONG) as b:
                post_prompts(fleet.store, ["a"])
                await fleet.post.until(lambda: fleet.post.open_now == 1)
                post_prompts(fleet.store, ["c", "d"])
                assert await asyncio.to_thread(is_soon, lambda: b.gate.waiting("inbox") == 2)
                async with fleet.node("a", most=1, lease=LONG):  # all that may be open is the first's by name
                    assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("a", 0), ("b", 1)])
                    assert await asyncio.to_thread(is_soon, lambda: b.gate.waiting("inbox") == 0)
                    held.set()
                    await fleet.post.received(3)
                    assert fleet.post.by_node == {"a": 2, "b": 1}

        play(scene())

    def test_of_two_that_divide_at_once_one_comes_again(self, fleet: Fleet) -> None:
        now = SystemClock().now()
        with fleet.store.transaction() as one, fleet.store.transaction() as two:
            share = partial(PostgresTx.share_of_target, target="inbox", most=4, using=0, now=now, until=now + LEASE)
            assert (share(one, executor_id="a"), share(two, executor_id="b")) == (4, None)


class TestDatabase:
    def test_cut_connections_are_made_anew(self, fleet: Fleet) -> None:
        async def scene() -> None:
            async with fleet.node():
                post_prompts(fleet.store, ["a"])
                await fleet.post.received(1)
                fleet.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                post_prompts(fleet.store, ["b"])
                await fleet.post.received(2)
                post_prompts(fleet.store, ["c"])
                await fleet.post.received(3)

        play(scene())

    def test_who_has_reached_it_again_does_not_fail_by_a_connection_of_before(
        self, fleet: Fleet, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scene() -> None:
            tokens = Tokens(fleet.url, ONE, LONG)
            assert await tokens.pick("inbox", most=1, with_abandoned=False) == []
            cut = fleet.rows(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'promptyoself engine'"
            )
            assert cut == [(True,)]
            post_prompts(fleet.store, ["a"])
            async with fleet.node(lease=LONG) as node:  # it has not begun to look
                node.lanes._tokens = tokens
                await fleet.post.received(1)
            assert [one for one in caplog.messages if "store_failed" in one] == []

        play(scene())

    def test_after_a_restart_of_the_server_all_go_on_with_what_they_have(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scene(server: PostgresServer) -> None:
            url = server.new_database()
            fleet = Fleet(PostgresStore.open(url, new_uid=lambda: f"{1:032x}"), url)
            held = threading.Event()
            fleet.post.answers["a"].append(held)
            async with fleet.node("a") as a, fleet.node("b") as b:
                post_prompts(fleet.store, ["a"], 2)
                await fleet.post.until(lambda: fleet.post.open_now == 1)
                await asyncio.to_thread(server.stop, "immediate")
                held.set()
                await asyncio.sleep(LEASE.total_seconds() * 1.5)  # every lease is over by then
                await asyncio.to_thread(server.start)
                post_prompts(fleet.store, ["b"])
                await fleet.post.received(3, within_s=5)
                assert (await a.stop(), await b.stop()) == (True, True)
            assert fleet.post.of("a") == ["0", "1"]
            assert fleet.tokens() == []
            back = [one for one in caplog.messages if one.startswith("executor.store_is_back")]
            assert len(back) >= 2  # each node says so
            fleet.store.close()

        with PostgresServer() as server:
            play(scene(server))


class TestGuard:
    def test_another_pgqueuer_is_refused_in_a_sentence(self) -> None:
        assert_fits()
        assert_fits(installed="1.6.9")
        for installed in ("1.7.0", "1.5.2", "1.60.0", "2.0"):
            with pytest.raises(ConfigError, match=f"PgQueuer {installed} is installed"):
                assert_fits(installed=installed)

    def test_other_statements_are_refused_in_a_sentence(self) -> None:
        with pytest.raises(ConfigError, match="the statement that picks is another") as refused:
            assert_fits(builder=OwnedBuilder(ONE))
        assert "pip install" in (refused.value.hint or "")


class TestTheEnd:
    """What a node leaves when it stops."""

    def test_no_sign_of_life_comes_after_the_last_word(self, fleet: Fleet) -> None:
        """One that was under way is stored, though nobody waits for it: what it says must not outlive the node."""
        held, going_on = threading.Event(), threading.Event()

        def wait(tx: Tx) -> bool:
            del tx
            held.set()
            return going_on.wait(8)

        async def scene() -> None:
            async with fleet.node() as node:
                assert await asyncio.to_thread(is_soon, lambda: shares(fleet) == [("a", 64)])
                assert node.signs is not None
                holding = asyncio.ensure_future(node.signs.write(wait))
                assert await asyncio.to_thread(held.wait, 8)
                beating = asyncio.ensure_future(node.timers.acts["heartbeat"]())
                await asyncio.sleep(0)  # it is queued
                beating.cancel()
                node.stopping.set()
                await asyncio.wait({node.running}, timeout=0.3)  # should it not wait, it has said its last word by then
                going_on.set()
                assert await node.running
                assert await holding

        play(scene())
        assert (fleet.rows("SELECT id FROM executors"), shares(fleet)) == ([], [])
