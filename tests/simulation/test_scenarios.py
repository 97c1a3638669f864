"""Named scenarios, each a claim that the issue makes, in simulated time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from promptyoself.application.passes import Entry
from promptyoself.application.requests import ScheduleRequest
from promptyoself.domain import limits
from promptyoself.domain.models import DeliveryKind, DeliveryState, ScheduleState
from tests.simulation.letta import RunState, Weather
from tests.simulation.process import Perils
from tests.simulation.world import World

Make = Callable[..., World]

# A process that is killed leaves coroutines that it never came to start.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[World] = []

    def world(*, agents: int = 1, weather: Weather | None = None) -> World:
        one = World(1, agents=agents, weather=weather)
        one.loop.callbacks_max = 5_000_000
        made.append(one)
        return one

    yield world
    for one in made:
        one.close()


def every(
    world: World, seconds: int, *, agent: str = "agent-1", overlap: str | None = None, catch_up: str | None = None
) -> int:
    asked = ScheduleRequest(
        agent_id=agent, prompt=f"every {seconds} s", every=f"{seconds}s", overlap=overlap, catch_up=catch_up
    )
    return world.register(asked)[0].id


def once(world: World, seconds: float, *agents: str) -> list[int]:
    """Register a prompt for each of these agents, all due so many seconds from now."""
    at = (world.clock.now() + timedelta(seconds=seconds)).isoformat()
    asked = [ScheduleRequest(agent_id=agent, prompt=f"once for {agent}", time=at) for agent in agents]
    return [made.id for made in world.register(*asked)]


def fires_received(world: World, schedule_id: int) -> list[float]:
    """Return the fire times of what arrived, in seconds of the world."""
    stored = {run.key for run in world.letta.runs if run.state is RunState.STORED}
    claims = [claim for claim in world.claims() if claim.schedule_id == schedule_id and claim.key in stored]
    return [(claim.fire_at - world.wall(0)).total_seconds() for claim in claims]


def play(world: World, seconds: float, *later: tuple[float, Callable[[], object]]) -> None:
    """Let the world go on for so long; each of `later` happens so many seconds from now."""
    for delay, act in later:
        world.loop.call_later(delay, act)
    world.drive(asyncio.sleep(seconds))


def test_letta_away_for_ten_minutes_delays_and_neither_pauses_nor_kills(make: Make) -> None:
    world = make(agents=3)
    regular = every(world, 60, overlap="queue", catch_up="all")
    singles = [once(world, 100 + 30 * n, f"agent-{n % 3 + 1}")[0] for n in range(12)]
    world.serving()
    play(world, 900, (30, lambda: world.letta.go_away(is_killed=True)), (630, world.letta.come_back))
    assert fires_received(world, regular) == [60.0 * k for k in range(1, 15)]
    assert all(len(fires_received(world, one)) == 1 for one in singles)
    assert {claim.state for claim in world.claims()} == {DeliveryState.DELIVERED}
    assert not [one for one in world.stored() if one.state is ScheduleState.PAUSED]
    assert len(world.letta.refused_wide) <= limits.BREAKER_REFUSALS + 3
    assert max(run.began_s for run in world.letta.runs if run.began_s < 700) < 675


def test_every_two_seconds_for_an_hour_never_drifts_however_slow_the_agent(make: Make) -> None:
    world = make(weather=Weather(run_s=(3.0, 15.0)))
    schedule_id = every(world, 2)
    world.serving()
    play(world, 3600)
    fires = sorted((claim.fire_at - world.wall(0)).total_seconds() for claim in world.claims())
    assert fires == [2.0 * k for k in range(1, len(fires) + 1)]
    assert len(fires) >= 1799
    assert len(fires_received(world, schedule_id)) > 300


def test_a_hung_and_a_failing_agent_delay_nobody_else(make: Make) -> None:
    world = make(agents=20, weather=Weather(run_s=(0.5, 1.0), is_blocking=True))
    world.letta.hanging.add("agent-1")
    world.letta.failing.add("agent-2")
    for number in range(1, 21):
        every(world, 30, agent=f"agent-{number}")
    world.serving()
    play(world, 600)
    late = [
        run.began_s - (claim.fire_at - world.wall(0)).total_seconds()
        for claim in world.claims()
        for run in world.letta.runs
        if run.key == claim.key and run.agent_id not in {"agent-1", "agent-2"}
    ]
    assert len(late) >= 18 * 19
    assert max(late) < 5.0


def test_an_agent_that_calls_execute_within_its_own_run_gets_an_answer(make: Make) -> None:
    world = make(weather=Weather(run_s=(60.0, 60.0)))
    once(world, 5, "agent-1")
    once(world, 10, "agent-1")
    world.serving()
    answers: list[tuple[float, list[Entry]]] = []

    async def call() -> None:
        answers.append((0.0, await world.process().execute(timedelta(seconds=30))))
        answers[-1] = (world.loop.time(), answers[-1][1])

    play(world, 20)
    world.drive(call())
    answered_s, entries = answers[0]
    assert answered_s < 21.0
    assert [entry.outcome for entry in entries] == ["busy"]


def test_two_passes_at_once_over_a_thousand_prompts_deliver_each_once(make: Make) -> None:
    world = make(agents=50, weather=Weather(run_s=(0.01, 0.05)))
    once(world, 1, *world.agents * 20)

    async def both() -> None:
        await asyncio.sleep(2)
        passes: list[Awaitable[list[Entry]]] = [world.process().execute(timedelta(seconds=600)) for _ in range(2)]
        await asyncio.gather(*passes)

    world.drive(both())
    came = Counter(run.schedule_id for run in world.letta.runs if run.state is RunState.STORED)
    assert len(came) == 1000
    assert set(came.values()) == {1}
    assert not world.letta.complaints


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_set_by_an_hour_loses_and_doubles_nothing(make: Make, hours: int) -> None:
    world = make()
    schedule_id = every(world, 60)
    world.serving()
    play(world, 300, (150, lambda: world.clock.step(timedelta(hours=hours))))
    fires = fires_received(world, schedule_id)
    assert len(set(fires)) == len(fires)
    if hours > 0:  # the newest missed one stands for the others, and the grid goes on
        assert fires == [60.0, 120.0, 3720.0, *(3600.0 + 60.0 * k for k in range(3, 5))]
        assert "It stands for 59 earlier" in world.letta.runs[2].envelope
    else:  # what fired has fired; the next one is due when the clock shows its time
        assert fires == [60.0, 120.0]
        play(world, 3600)
        assert fires_received(world, schedule_id)[:4] == [60.0, 120.0, 180.0, 240.0]


def test_a_process_stopped_beyond_its_lease_sends_nothing_for_lanes_it_lost(make: Make) -> None:
    world = make(agents=10)
    once(world, 10, *world.agents)
    stopped = world.serving()
    world.perils = Perils(claim_stall=1.0, stall_s=(120.0, 120.0))
    play(world, 20)
    assert stopped.is_stalled
    world.perils = Perils()
    world.serving()
    play(world, 60)
    assert Counter(run.agent_id for run in world.letta.runs) == dict.fromkeys(world.agents, 1)
    play(world, 300)
    assert any(event.endswith("p1 goes on") for event in world.events)
    assert not [one for one in world.letta.tries if one.executor == stopped.id]


def test_a_run_now_makes_no_fire_time_overlap(make: Make) -> None:
    world = make(weather=Weather(run_s=(20.0, 20.0)))
    schedule_id = every(world, 60)
    world.serving()
    # Noticed within CHANGE_POLL (12 s here), so that its run is still going on at 60.
    play(world, 115, (44, lambda: world.run_now(schedule_id)))
    kinds = {claim.kind: claim.state for claim in world.claims()}
    assert kinds == {
        DeliveryKind.RUN_NOW: DeliveryState.DELIVERED,
        DeliveryKind.SCHEDULED: DeliveryState.DELIVERED,
    }


@pytest.mark.slow
def test_a_burst_of_ten_thousand_lanes_takes_a_bounded_number_of_tasks(make: Make) -> None:
    world = make(agents=10_000, weather=Weather(run_s=(0.5, 1.0), is_blocking=True))
    once(world, 10, *world.agents)
    process = world.serving()
    counts: list[int] = []

    def count() -> None:
        counts.append(process.alive)
        world.loop.call_later(0.05, count)

    play(world, 30, (10.0, count))
    arrived = {run.agent_id for run in world.letta.runs if run.state is RunState.STORED}
    assert 1000 < len(arrived) < 10_000  # the burst was going on all the while
    assert max(counts) <= 2 * limits.LANES_PREFETCH
