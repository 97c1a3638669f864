"""The two engines put together, each with its own timers: lanes of one machine, and lanes of a fleet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from promptyoself.domain import limits
from promptyoself.domain.values import dataclass

if TYPE_CHECKING:
    import asyncio

    from promptyoself.application.dispatcher import Dispatcher
    from promptyoself.application.gate import Gate
    from promptyoself.domain.models import Executor
    from promptyoself.domain.ports import Clock, Store, Tx, Writer


class Engine(Protocol):
    """Runs lanes until told to stop."""

    def wake(self) -> None:
        """Something may have become due: look now. From the event loop only."""
        ...

    def slot_granted(self, target: str) -> None:
        """A runner got its slot."""
        ...

    async def run(self, stopping: asyncio.Event) -> bool:
        """Deliver until `stopping` is set, then finish what is in flight; True when all of it finished in time."""
        ...


class Planner(Protocol):
    """Plans a batch of due schedules."""

    def __call__(
        self, first: Callable[[Tx], object] | None = None, then: Callable[[Tx], object] | None = None
    ) -> Awaitable[int]:
        """Say how many it held; `first` is run before and `then` after it, in the same transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What both are made of."""

    writer: Writer
    clock: Clock
    gate: Gate
    dispatcher: Dispatcher
    plan: Planner
    executor: Executor
    interval: timedelta
    retention: timedelta


def local_engine(parts: Parts, *, store: Store) -> Engine:
    """Return the engine of a file, which other processes of this machine may share."""
    from promptyoself.lanes.local import LocalLanes, Work
    from promptyoself.lanes.timers import ApTimers

    return LocalLanes(
        store=store,
        writer=parts.writer,
        clock=parts.clock,
        timers=ApTimers(),
        work=Work(
            plan=parts.plan,
            run_lane=parts.dispatcher.run_lane,
            open_targets=parts.gate.open_targets,
            waiting=parts.gate.waiting,
            stop=parts.dispatcher.stop,
        ),
        executor=parts.executor,
        interval=parts.interval,
        retention=parts.retention,
    )


def fleet_engine(
    parts: Parts,
    *,
    signs: Writer,
    conninfo: str,
    owner: UUID,
    targets: list[str],
    most: int,
    lanes_max: int | None,
    on_started: Callable[[], None],
) -> Engine:
    """Return the engine of a node. `most` requests may be open at each target, over the whole fleet.

    `signs` writes the node's signs of life; nothing that takes long goes through it, and the caller closes it.
    `owner` is nobody else's, and new at each start; at most `lanes_max` lanes run here at once (LANES_ACTIVE_MAX when
    None); `on_started` is called when it begins to claim. Raises ConfigError when PgQueuer is not installed, or not the
    one that the engine is written for.
    """
    try:
        from promptyoself.lanes.pgqueuer import FleetLanes, FleetWork
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "pgqueuer":
            raise
        from promptyoself.fleet import not_installed

        raise not_installed("pgqueuer") from exc
    from promptyoself.application.ahead import Ahead
    from promptyoself.lanes.timers_steady import SteadyTimers

    async def run_lane(lane: str, carried: set[int]) -> bool:
        return await parts.dispatcher.run_lane(lane, carried=carried)

    return FleetLanes(
        writer=parts.writer,
        signs=signs,
        clock=parts.clock,
        timers=SteadyTimers(parts.clock),
        work=FleetWork(
            plan=parts.plan,
            run_lane=run_lane,
            ahead=lambda targets: Ahead(
                parts.dispatcher,
                gate=parts.gate,
                clock=parts.clock,
                targets=targets,
                most=limits.FLEET_CLAIMED_AT_ONCE_MAX,
            ),
            open_targets=parts.gate.open_targets,
            waiting=parts.gate.waiting,
            in_flight=parts.gate.in_flight,
            allow=parts.gate.allow,
            stop=parts.dispatcher.stop,
            most=dict.fromkeys(targets, most),
            lanes_max=limits.LANES_ACTIVE_MAX if lanes_max is None else lanes_max,
            started=on_started,
        ),
        executor=parts.executor,
        owner=owner,
        conninfo=conninfo,
        interval=parts.interval,
        retention=parts.retention,
    )
