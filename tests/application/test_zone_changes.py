"""A new zone database: next fires move, nothing fires twice, nothing is lost, and the journal says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from promptyoself.application.zone_changes import ZoneWatch, rezone_batch
from promptyoself.domain import limits
from promptyoself.domain.models import FactKind, ScheduleState, ZoneRecord
from promptyoself.zone_files import ZoneFiles
from tests.application.stage import Stage, played
from tests.fakes.zones import WITH_DST, WITHOUT_DST, lay, pretended

JULY = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NINE_OLD, NINE_NEW = datetime(2026, 7, 2, 6, tzinfo=UTC), datetime(2026, 7, 2, 7, tzinfo=UTC)
NINE: dict[str, Any] = {"cron": "0 9 * * *", "timezone": "Europe/Riga"}


class Land:
    """Riga in July, before and after its government abolishes daylight saving time."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.folder = stage, folder
        self.goes("2026a", WITH_DST)
        self.set_clock(JULY)

    def goes(self, version: str | None, rule: str) -> None:
        lay(self.folder, version, Europe__Riga=rule, UTC="UTC0")

    def set_clock(self, at: datetime) -> None:
        self.stage.clock.step(at - self.stage.now)

    def watch(self) -> ZoneWatch:
        """Return the watch of an executor that starts now, in a process of its own."""
        ZoneFiles().forget()
        return ZoneWatch(writer=self.stage.writer, clock=self.stage.clock, zones=ZoneFiles())

    async def starts(self) -> None:
        await self.watch().look()

    @property
    def record(self) -> ZoneRecord | None:
        return self.stage.tx(lambda tx: tx.zone_record())

    @property
    def moved(self) -> list[int | None]:
        return [one.schedule_id for one in self.stage.facts() if one.kind is FactKind.ZONE_DATA_CHANGED]


def in_riga(scene: Callable[[Stage, Land], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def told(stage: Stage) -> None:
        with pretended() as folder:
            await scene(stage, Land(stage, folder))

    told.__name__, told.__doc__ = scene.__name__, scene.__doc__
    return played(told)


@contextmanager
def logged(caplog: list[logging.LogRecord]) -> Iterator[None]:
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            caplog.append(record)

    logger, keep = logging.getLogger("promptyoself.application.zone_changes"), Keep()
    logger.addHandler(keep)
    try:
        yield
    finally:
        logger.removeHandler(keep)


@in_riga
async def test_the_next_fire_moves_with_the_clocks_and_the_journal_says_so(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    await land.starts()
    assert land.record is not None
    assert (land.record.since, land.moved) == (JULY, [])
    assert stage.schedule().next_fire_at == NINE_OLD
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert stage.schedule().next_fire_at == NINE_NEW
    assert land.record is not None
    assert land.record.version.startswith("2026b")
    assert land.moved == [1, None]
    [fact] = [one for one in stage.facts(1) if one.kind is FactKind.ZONE_DATA_CHANGED]
    assert str(fact.detail["before"]).startswith("2026a")
    assert (fact.detail["was"], fact.detail["next"]) == ("2026-07-02T08:00:00+02:00", "2026-07-02T09:00:00+02:00")


@in_riga
async def test_what_has_no_wall_time_there_stays(stage: Stage, land: Land) -> None:
    stage.register(every="24h", timezone="Europe/Riga")
    stage.register(cron="0 9 * * *", timezone="UTC")
    stage.register(time="2026-07-02T09:00:00+03:00", timezone="Europe/Riga")
    stage.register(cron="30 * * * *", timezone="Europe/Riga")
    before = [stage.schedule(number) for number in (1, 2, 3, 4)]
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert [stage.schedule(number) for number in (1, 2, 3, 4)] == before
    assert land.moved == []


@in_riga
async def test_a_one_off_keeps_its_wall_time_also_while_it_is_paused(stage: Stage, land: Land) -> None:
    for _ in range(2):
        stage.register(time="2026-07-02T09:00", timezone="Europe/Riga")
    stage.pause(2)
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert [stage.schedule(number).next_fire_at for number in (1, 2)] == [NINE_NEW] * 2
    assert stage.schedule().definition.trigger.anchor_at == NINE_NEW
    stage.resume(2)
    land.set_clock(NINE_NEW)
    await stage.plan()
    assert [one.fire_at for one in stage.deliveries()] == [NINE_NEW] * 2
    await stage.deliver()
    assert stage.schedule().state is ScheduleState.COMPLETED


@in_riga
async def test_a_rule_with_its_own_begin_moves_too(stage: Stage, land: Land) -> None:
    stage.register(rrule="DTSTART;TZID=Europe/Riga:20260601T090000\nRRULE:FREQ=DAILY;COUNT=90", timezone="Europe/Riga")
    assert stage.schedule().next_fire_at == NINE_OLD
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert stage.schedule().next_fire_at == NINE_NEW


@in_riga
async def test_what_has_fired_that_morning_does_not_fire_again_an_hour_later(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    land.set_clock(NINE_OLD)
    await stage.plan()
    land.set_clock(NINE_OLD + HOUR / 2)
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert stage.schedule().next_fire_at == NINE_NEW + DAY


@in_riga
async def test_one_whose_new_time_has_just_passed_comes_at_once(stage: Stage, land: Land) -> None:
    land.goes("2026a", WITHOUT_DST)
    ZoneFiles().forget()
    stage.register(**NINE)
    land.set_clock(NINE_NEW)
    await stage.plan()
    land.set_clock(NINE_NEW + DAY - HOUR / 2)
    land.goes("2026b", WITH_DST)
    await land.starts()
    assert stage.schedule().next_fire_at == NINE_OLD + DAY
    await stage.plan()
    assert [one.fire_at for one in stage.deliveries()][1:] == [NINE_OLD + DAY]
    assert stage.schedule().next_fire_at == NINE_OLD + 2 * DAY


@in_riga
async def test_what_was_due_and_unplanned_is_not_lost(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    land.set_clock(NINE_OLD + 3 * DAY + 2 * HOUR)
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    await stage.plan()
    [late] = stage.deliveries()
    assert (late.fire_at, late.missed) == (NINE_NEW + 3 * DAY, 3)


@in_riga
async def test_what_was_skipped_or_snoozed_does_not_come_back(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    stage.register(**NINE)
    stage.skip(1)
    stage.snooze(2, lasting=2 * HOUR)
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert [stage.schedule(number).next_fire_at for number in (1, 2)] == [NINE_NEW + DAY] * 2
    assert stage.deliveries(schedule_id=2)[0].due_at == NINE_OLD + 2 * HOUR


@in_riga
async def test_a_start_after_a_crash_in_the_middle_does_the_rest_and_nothing_twice(stage: Stage, land: Land) -> None:
    for _ in range(limits.ZONE_BATCH + 3):
        stage.register(**NINE)
    await land.starts()
    land.goes("2026b", WITHOUT_DST)
    ZoneFiles().forget()
    batch = stage.tx(lambda tx: rezone_batch(tx, after_id=0, before="2026a", after="2026b", now=stage.now))
    assert (batch.moved, batch.is_last) == (limits.ZONE_BATCH, False)
    assert land.record is not None
    assert land.record.version.startswith("2026a")
    await land.starts()
    assert len(land.moved) == limits.ZONE_BATCH + 3 + 1
    assert land.record.version.startswith("2026b")
    await land.starts()
    assert len(land.moved) == limits.ZONE_BATCH + 3 + 1


@in_riga
async def test_a_store_that_fails_is_made_up_for_at_the_next_look(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    await land.starts()
    land.goes("2026b", WITHOUT_DST)
    watch = land.watch()
    stage.writer.failures = 1
    await watch.look()
    assert stage.schedule().next_fire_at == NINE_OLD
    await watch.look()
    assert stage.schedule().next_fire_at == NINE_NEW


@in_riga
async def test_an_older_machine_changes_nothing_and_says_so_once(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    newer, moved = land.record, land.moved
    land.goes("2026a", WITH_DST)
    old, said = land.watch(), list[logging.LogRecord]()
    with logged(said):
        for _ in range(3):
            await old.look()
    assert (land.record, land.moved) == (newer, moved)
    assert stage.schedule().next_fire_at == NINE_NEW
    assert ["zone_data.older" in one.getMessage() for one in said] == [True]


@in_riga
async def test_a_process_that_ran_through_the_update_mends_what_it_planned_meanwhile(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    running = land.watch()
    await running.before_pass()
    record = land.record
    assert record is not None
    land.goes("2026b", WITHOUT_DST)
    # Another process has noted the new version; this one plans with what it read before.
    stage.tx(lambda tx: tx.set_zone_record(replace(record, version=ZoneFiles().version())))
    land.set_clock(NINE_OLD)
    await stage.plan()
    assert stage.schedule().next_fire_at == NINE_OLD + DAY
    await running.before_pass()
    assert stage.schedule().next_fire_at == NINE_OLD + DAY, "it has looked a moment ago"
    await stage.pass_time(minutes=1)
    await running.before_pass()
    assert stage.schedule().next_fire_at == NINE_NEW + DAY


@in_riga
async def test_two_databases_that_state_no_version_do_not_take_turns_for_ever(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    land.goes(None, WITH_DST)
    old = land.watch()
    await old.look()
    first = land.record
    land.goes(None, WITHOUT_DST)
    await land.starts()
    assert stage.schedule().next_fire_at == NINE_NEW
    assert land.record != first
    land.goes(None, WITH_DST)
    ZoneFiles().forget()  # the old one has never read anything else
    await old.look()
    assert stage.schedule().next_fire_at == NINE_NEW


@in_riga
async def test_a_zone_that_is_gone_holds_up_no_other(stage: Stage, land: Land) -> None:
    stage.register(**NINE)
    stage.register(**NINE)
    lost = stage.schedule(1)
    trigger = replace(lost.definition.trigger, timezone="Europe/Atlantis")
    stage.tx(lambda tx: tx.save_schedule(replace(lost, definition=replace(lost.definition, trigger=trigger))))
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert [stage.schedule(number).next_fire_at for number in (1, 2)] == [NINE_OLD, NINE_NEW]


@in_riga
async def test_a_schedule_whose_new_time_lies_beyond_its_end_completes(stage: Stage, land: Land) -> None:
    stage.register(**NINE, end_at=NINE_OLD.isoformat())
    land.goes("2026b", WITHOUT_DST)
    await land.starts()
    assert stage.schedule().state is ScheduleState.COMPLETED
