"""After a restore: what is refused, what is written, and which deliveries are looked for before they are sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

import pytest

from promptyoself.application.earlier_life import EarlierLife
from promptyoself.application.restored import Restored, note_restored
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.answers import Absent, Accepted, Failed, Final, Undecided
from promptyoself.domain.errors import Conflict, Forbidden, InvalidInput
from promptyoself.domain.models import Executor, FactKind
from promptyoself.domain.ports import Tx
from tests.application.stage import ME, OPERATOR, Stage, played
from tests.factories import MINUTE, NOW, a_fact

SECOND = timedelta(seconds=1)
FAILED = Failed(code="llm_error", detail="the model failed")


def restored(stage: Stage, *, in_use_until: datetime | None = None, caller: Caller = OPERATOR) -> Restored:
    return stage.tx(
        lambda tx: note_restored(tx, in_use_until=in_use_until, location="it.db", caller=caller, now=stage.now)
    )


# -- what is asked before it is sent ------------------------------------------------------------------------


@played
async def test_what_was_due_in_the_earlier_life_is_looked_for_and_what_comes_later_is_not(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    restored(stage)
    await stage.deliver()
    assert (stage.states(), stage.target.sent) == (["delivered"], [])
    assert stage.target.asked == [f"settle {stage.delivery().key}#0"]
    await stage.fire()
    assert (stage.states(), len(stage.target.sent), len(stage.target.asked)) == (["delivered"] * 2, 1, 1)


@played
async def test_what_is_planned_after_a_restore_for_a_time_before_it_is_looked_for(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.pass_time(minutes=60)
    restored(stage)
    await stage.pass_time(seconds=30)
    assert await stage.plan() == 1
    await stage.deliver()
    assert (stage.states(), stage.target.sent) == (["delivered"], [])


@played
async def test_what_the_earlier_life_never_sent_is_sent(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    restored(stage)
    stage.target.settles.append(Absent())
    await stage.deliver()
    assert (stage.states(), len(stage.target.sent)) == (["delivered"], 1)


@played
async def test_a_run_of_the_copy_that_failed_since_is_looked_for_under_its_next_otid(stage: Stage) -> None:
    """The earlier life, too, saw it fail, and sent it again."""
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(Accepted(run_id="run-1"))
    stage.target.follows += [FAILED]
    dying = stage.begin(stage.executor("dying").run_lane(stage.ready()[0]))
    await stage.in_flight(lambda: stage.delivery().failures == 1)
    await dying
    restored(stage, in_use_until=stage.delivery().fire_at)
    await stage.pass_time(seconds=limits.BACKOFF_FIRST.total_seconds() * 2)
    await stage.deliver()
    assert (stage.states(), len(stage.target.sent)) == (["delivered"], 1)
    assert stage.target.asked[-1] == f"settle {stage.delivery().key}#1"


@played
async def test_one_that_is_revived_by_hand_is_looked_for(stage: Stage) -> None:
    """The earlier life may have revived it as well."""
    stage.register(every="60m")
    await stage.due()
    stage.target.sends.append(Final(code="http_422", detail="no such model"))
    await stage.deliver()
    assert stage.states() == ["dead"]
    restored(stage)
    await stage.pass_time(minutes=30)
    stage.retry(1)
    await stage.deliver()
    assert (stage.states(), len(stage.target.sent)) == (["delivered"], 1)


@played
async def test_while_its_target_cannot_be_asked_nothing_of_it_is_sent(stage: Stage) -> None:
    stage.register(every="60m")
    await stage.due()
    restored(stage)
    stage.target.settles.append(Undecided(detail="it is away", is_unreachable=True))
    await stage.deliver()
    assert (stage.states(), stage.target.sent, stage.delivery().error_code) == (["pending"], [], "not_asked")


@played
async def test_an_executor_that_was_away_hears_of_a_restore(stage: Stage) -> None:
    """It had read that there was none, and went on at the restored database when it could reach it."""
    stage.register(every="5m")
    await stage.fire()
    assert len(stage.target.sent) == 1
    await stage.due()
    restored(stage)
    await stage.deliver()
    assert len(stage.target.sent) == 1


@played
async def test_the_database_is_not_asked_about_it_at_each_claim(stage: Stage) -> None:
    stage.register(every="60m")
    earlier, asked = EarlierLife(stage.clock), list[datetime]()

    class Asked:
        def in_use_until(self) -> datetime | None:
            asked.append(stage.now)
            return None

    for _ in range(21):
        earlier.ended_at(cast("Tx", Asked()))
        await stage.pass_time(seconds=1)
    assert asked == [NOW, NOW + 10 * SECOND, NOW + 20 * SECOND]


# -- the word itself ----------------------------------------------------------------------------------------


@played
async def test_the_end_of_the_earlier_life_moves_on_and_never_back(stage: Stage) -> None:
    begun_at = stage.now
    stage.register(every="60m")
    await stage.pass_time(minutes=10)
    assert restored(stage, in_use_until=begun_at + MINUTE).in_use_until == begun_at + MINUTE
    again = restored(stage)
    assert (again.in_use_until, again.was_known_until) == (stage.now, begun_at + MINUTE)
    assert restored(stage, in_use_until=begun_at).in_use_until == stage.now


@played
async def test_the_end_that_was_told_stands_also_when_the_journal_is_older(stage: Stage) -> None:
    """Retention has taken the fact that told of it."""
    stage.register(every="60m")
    await stage.pass_time(minutes=10)
    stage.tx(lambda tx: tx.set_in_use_until(stage.now))
    assert restored(stage, in_use_until=stage.now - MINUTE).in_use_until == stage.now


@played
async def test_the_earlier_life_did_not_end_before_its_own_journal(stage: Stage) -> None:
    stage.tx(lambda tx: tx.add_fact(a_fact(at=stage.now)))
    assert restored(stage, in_use_until=stage.now - MINUTE).in_use_until == stage.now


@played
async def test_it_is_in_the_journal(stage: Stage) -> None:
    stage.register(every="60m")
    restored(stage)
    fact = stage.facts()[-1]
    assert (fact.kind, fact.actor) == (FactKind.RESTORED, "operator via cli")
    assert fact.detail == {"until": stage.now.isoformat(), "count": 0}
    assert fact.id > limits.IDS_LEFT_OUT_MIN


@played
async def test_it_is_refused_while_an_executor_may_be_at_work(stage: Stage) -> None:
    stage.register(every="60m")
    one = Executor(id="x:1", host="x", pid=1, version="1", mode="serve", started_at=NOW, heartbeat_at=stage.now)
    stage.tx(lambda tx: tx.heartbeat(one))
    with pytest.raises(Conflict, match=r"executor x:1 may be at work") as refused:
        restored(stage)
    gone_at = stage.now.replace(microsecond=0) + limits.EXECUTOR_ALIVE_FOR + SECOND
    assert gone_at.isoformat() in (refused.value.hint or "")
    assert stage.tx(lambda tx: tx.in_use_until()) is None
    await stage.pass_time(seconds=31)
    assert restored(stage).in_use_until == stage.now


@played
async def test_it_is_refused_while_a_lane_is_held(stage: Stage) -> None:
    """`execute` gives no other sign of life."""
    stage.register(every="60m")
    await stage.due()
    held = stage.delivery().lane
    until = stage.now + 20 * SECOND
    stage.tx(lambda tx: tx.lease_lane(held, token="t", executor_id="pass", now=stage.now, until=until))
    with pytest.raises(Conflict, match=r"executor pass may be at work"):
        restored(stage)
    await stage.pass_time(seconds=20)
    assert restored(stage).due.deliveries == 1


@played
async def test_what_cannot_be_meant_is_refused(stage: Stage) -> None:
    with pytest.raises(Conflict, match="nothing has ever been stored in it"):
        restored(stage)
    stage.register(every="60m")
    with pytest.raises(InvalidInput, match="still to come"):
        restored(stage, in_use_until=stage.now + SECOND)
    with pytest.raises(Forbidden):
        restored(stage, caller=ME)
    assert stage.tx(lambda tx: tx.in_use_until()) is None
