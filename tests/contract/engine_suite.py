"""What every engine must do: order, one at a time, fairness, waking, retries, breaker, switch, faults, and a clean end.

A subclass gives `place`, where nodes are opened on a store and a post of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

from promptyoself.domain.answers import Refused
from promptyoself.domain.errors import StoreError
from promptyoself.domain.models import StopSwitch
from promptyoself.domain.ports import Store, Tx
from promptyoself.runtime import SystemClock
from tests.lanes.node import Node, post_prompts
from tests.lanes.post import Post

BUSY = Refused(code="busy", detail="not now")


class Place(Protocol):
    """A store, a post, and nodes between them."""

    store: Store
    post: Post

    def node(self, name: str = "a", *, store: Store | None = None, **options: Any) -> Node:  # noqa: ANN401  any option
        """Make a node that delivers from the store to the post."""
        ...


def play(scene: Coroutine[Any, Any, None], *, within_s: float = 40) -> None:
    """Run a scene in real time, bounded."""
    asyncio.run(asyncio.wait_for(scene, within_s))


def lane_of(agent: str) -> str:
    """Return an agent's lane at the inbox."""
    return f"inbox {agent}"


class EngineContract:
    """The contract of engines."""

    def test_each_lane_in_order_and_one_at_a_time_and_everything_once(self, place: Place) -> None:
        async def scene() -> None:
            post_prompts(place.store, ["a", "b", "c", "d"], 20)  # more than one turn each
            place.post.takes_s = 0.001
            async with place.node():
                await place.post.received(80)
            assert [place.post.of(agent) for agent in "abcd"] == [[str(number) for number in range(20)]] * 4
            assert place.post.overlaps == []

        play(scene())

    def test_a_lane_with_much_to_do_goes_to_the_back_of_the_queue(self, place: Place) -> None:
        async def scene() -> None:
            post_prompts(place.store, ["hog"], 120)
            post_prompts(place.store, [f"other-{number}" for number in range(10)])
            async with place.node(most=1):
                await place.post.until(lambda: len({agent for agent, _ in place.post.prompts}) == 11)
            # One turn before them, and at most a second one among them.
            assert len(place.post.of("hog")) <= 40

        play(scene())

    def test_what_is_stored_elsewhere_or_comes_due_later_wakes_it(self, place: Place) -> None:
        async def scene() -> None:
            async with place.node():
                post_prompts(place.store, ["early"])
                await place.post.received(1)
                post_prompts(place.store, ["late"], due_in=timedelta(seconds=1.5))
                await place.post.received(2, within_s=5)

        play(scene())

    def test_what_is_refused_is_tried_again_when_its_time_has_come(self, place: Place) -> None:
        async def scene() -> None:
            place.post.answers["a"] += [BUSY, BUSY]
            post_prompts(place.store, ["a"])
            async with place.node():
                await place.post.received(3, within_s=8)
            assert place.post.of("a") == ["0"] * 3

        play(scene())

    def test_while_a_target_refuses_all_it_is_left_alone_and_then_gets_everything(self, place: Place) -> None:
        async def scene() -> None:
            agents = [f"agent-{number}" for number in range(12)]
            post_prompts(place.store, agents)
            place.post.is_down = True
            async with place.node(most=4) as node:
                await place.post.until(lambda: place.post.refused >= 3)
                place.post.is_down = False
                await place.post.received(12)
                assert node.gate.open_targets() == ["inbox"]
            assert place.post.refused <= 8
            assert sorted(agent for agent, _ in place.post.prompts) == sorted(agents)

        play(scene())

    def test_a_stop_of_all_deliveries_holds_them_back_until_its_end(self, place: Place) -> None:
        async def scene() -> None:
            now = SystemClock().now()
            switch = StopSwitch(reason="because", since=now, until=now + timedelta(seconds=1.5))
            with place.store.transaction() as tx:
                tx.set_stop_switch(switch)
            post_prompts(place.store, ["a", "b"], due_in=timedelta(seconds=-20))
            async with place.node() as node:
                await node.writer.read(_nothing)
                await place.post.received(2)
                assert SystemClock().now() >= switch.since + timedelta(seconds=1.5)
                with place.store.transaction() as tx:
                    tx.set_stop_switch(StopSwitch(reason="again", since=now, until=None))
                post_prompts(place.store, ["c"])
                with place.store.transaction() as tx:
                    tx.set_stop_switch(None)
                await place.post.received(3, within_s=5)

        play(scene())

    def test_a_lane_that_another_process_holds_is_left_to_it_until_it_gives_it_back(self, place: Place) -> None:
        async def scene() -> None:
            post_prompts(place.store, ["a", "b"])
            lane, now = lane_of("a"), SystemClock().now()
            with place.store.transaction() as tx:
                assert tx.lease_lane(lane, token="x", executor_id="execute", now=now, until=now + timedelta(minutes=1))
            async with place.node():
                await place.post.received(1)
                post_prompts(place.store, ["b"])
                await place.post.received(2)
                assert place.post.of("a") == []
                with place.store.transaction() as tx:
                    assert tx.release_lane(lane, token="x")
                await place.post.received(3, within_s=5)

        play(scene())

    def test_a_lane_of_a_process_that_died_is_taken_when_its_lease_is_over(self, place: Place) -> None:
        async def scene() -> None:
            post_prompts(place.store, ["a"])
            lane, now = lane_of("a"), SystemClock().now()
            until = now + timedelta(seconds=1.5)
            with place.store.transaction() as tx:
                assert tx.lease_lane(lane, token="x", executor_id="execute", now=now, until=until)
            async with place.node():
                await place.post.received(1, within_s=6)
                assert SystemClock().now() >= until

        play(scene())

    def test_a_fault_in_one_lane_stops_no_other(self, place: Place) -> None:
        async def scene() -> None:
            post_prompts(place.store, ["a", "b", "c"])
            async with place.node(faulty=lane_of("b")) as node:
                await place.post.received(2)
                post_prompts(place.store, ["a"])
                await place.post.received(3)
                assert await node.stop()
            assert place.post.of("b") == []

        play(scene())

    def test_a_store_that_was_away_is_gone_on_with(self, place: Place) -> None:
        async def scene() -> None:
            away = AwayStore(place.store)
            held = threading.Event()
            place.post.answers["a"].append(held)
            post_prompts(place.store, ["a"])
            async with place.node(store=away):
                await place.post.until(lambda: place.post.open_now == 1)
                away.is_away = True
                post_prompts(place.store, ["b"])
                held.set()
                await place.post.until(lambda: not place.post.open_now)
                await asyncio.to_thread(away.was_asked.wait, 10)
                away.is_away = False
                await place.post.received(2)
            assert place.post.of("a") == ["0"]  # its answer was recorded when the store was back

        play(scene())

    def test_a_stop_finishes_what_is_in_flight_and_leaves_the_rest_to_others(self, place: Place) -> None:
        async def scene() -> None:
            held = threading.Event()
            place.post.answers["a"].append(held)
            post_prompts(place.store, ["a", "b"], 2)
            async with place.node(most=1) as node:
                await place.post.until(lambda: place.post.open_now == 1 and place.post.prompts[-1][0] == "a")
                sent = len(place.post.prompts)
                node.stopping.set()
                await asyncio.sleep(0)
                held.set()
                assert await node.running
            assert len(place.post.prompts) == sent
            with place.store.reading() as tx:
                assert tx.executors(alive_since=SystemClock().now() - timedelta(hours=1)) == []
                assert [tx.lane_holder(lane_of(agent), now=SystemClock().now()) for agent in "ab"] == [None, None]
            async with place.node("b"):
                await place.post.received(4)
            assert [place.post.of(agent) for agent in "ab"] == [["0", "1"]] * 2

        play(scene())


class AwayStore:
    """A store that can be away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_away = False
        self.was_asked = threading.Event()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the store has
        return getattr(self._store, name)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Open a writing transaction, unless away."""
        self._refuse_when_away()
        with self._store.transaction() as tx:
            yield tx

    @contextmanager
    def bracket(self, make: Any) -> Iterator[Any]:  # noqa: ANN401  a writing transaction of any kind
        """Open a writing transaction of another kind, unless away."""
        self._refuse_when_away()
        store: Any = self._store
        with store.bracket(make) as tx:
            yield tx

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """Open a reading one, unless away."""
        self._refuse_when_away()
        with self._store.reading() as tx:
            yield tx

    def _refuse_when_away(self) -> None:
        if self.is_away:
            self.was_asked.set()
            raise StoreError("the store is away")


def _nothing(_tx: Tx) -> None:
    """Look, and that is all."""
