"""One transaction at a database, whichever its dialect: the port `Tx`, method by method.

Over 500 lines, as many as the port takes: what stands apart in it (access, callbacks, journal, requests) has modules.

Two things are kept by every write to deliveries, in the same transaction, so that a search for work costs the
same with ten deliveries and with a million (docs/decisions/0004):

- the turn within a schedule (`is_head`): its earliest unfinished delivery, leaving aside what a pause holds back;
- the next look at a lane (`next_due_at`): in-flight deliveries first, else those whose turn it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreError
from promptyoself.domain.models import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Executor,
    Fact,
    InboxMessage,
    NewDelivery,
    Schedule,
    ScheduleState,
    StopSwitch,
    TargetHealth,
    ZoneRecord,
)
from promptyoself.domain.ports import DeliveryFilter, GuardUsage, NewSchedule, ScheduleFilter
from promptyoself.storage import rows
from promptyoself.storage.rows import Row, Values, instant, micros, micros_or_none
from promptyoself.storage.statements import ID_MAX, Model, T
from promptyoself.storage.tx_access import AccessStatements
from promptyoself.storage.tx_callbacks import CallbackStatements
from promptyoself.storage.tx_journal import JournalStatements
from promptyoself.storage.tx_requests import RequestStatements
from promptyoself.storage.tx_restored import RestoredStatements
from promptyoself.storage.tx_watch import WatchStatements

if TYPE_CHECKING:
    from promptyoself.domain.holidays import Holidays

_PRUNED: Final = (
    "prune_facts",
    "prune_messages",
    "prune_callbacks",
    "prune_claims",
    "prune_tokens",
    "prune_executors",
    "prune_calendars",
)
"""Statements of retention besides that of deliveries; each deletes up to a limit of its table."""


class SqlTx(
    JournalStatements, AccessStatements, CallbackStatements, RequestStatements, RestoredStatements, WatchStatements
):
    """One transaction; see `Tx` for what each method promises."""

    def store_uid(self) -> str:
        """Return the uid that this database was given when it was made."""
        return self._one("store_uid", {}, _text("value")) or ""

    # -- schedules ------------------------------------------------------------------------------------------

    def add_schedule(self, new: NewSchedule) -> Schedule:
        """Store a schedule: active, revision 1. Raises Conflict when its agent has the key already."""
        self._keep_calendar(new.definition)
        values = rows.new_schedule_values(new)
        with self._telling_of_taken_keys(values):
            schedule_id = self._insert("add_schedule", values)
        return Schedule(
            id=schedule_id or 0,
            uid=new.uid,
            definition=new.definition,
            provenance=new.provenance,
            revision=1,
            state=ScheduleState.ACTIVE,
            state_reason=None,
            paused_until=None,
            next_fire_at=new.next_fire_at,
            last_fire_at=None,
            fire_count=0,
            finals_in_row=0,
            created_at=new.created_at,
            updated_at=new.created_at,
        )

    def schedule(self, schedule_id: int) -> Schedule | None:
        """Return the schedule, or None. The transaction holds the one write lock."""
        return self._by_id("schedule", schedule_id, self._schedule_of)

    def schedule_by_uid(self, uid: str) -> Schedule | None:
        """Return the schedule with this uid, in whatever state, or None."""
        return self._one("schedule_by_uid", {"uid": uid}, self._schedule_of)

    def schedule_by_key(self, agent_id: str, key: str) -> Schedule | None:
        """Return the schedule of this agent with this key, in whatever state, or None."""
        return self._one("schedule_by_key", {"agent_id": agent_id, "key": key}, self._schedule_of)

    def schedules(self, where: ScheduleFilter) -> list[Schedule]:
        """List schedules by id, at most LIST_MAX."""
        name = "schedules"
        if where.next_from is not None or where.next_until is not None:
            name = "schedules_coming"
        elif where.agent_id is not None:
            name = "schedules_of_agent"
        elif where.owner is not None:
            name = "schedules_of_owner"
        return self._all(name, _filter_values(where), self._schedule_of)

    def schedules_soonest(self, where: ScheduleFilter) -> list[Schedule]:
        """List those that fire by their next fire time, at most LIST_MAX."""
        return self._all("schedules_soonest", _filter_values(where), self._schedule_of)

    def schedules_resting(self, where: ScheduleFilter) -> list[Schedule]:
        """List those that have no next fire time, the newest first, at most LIST_MAX."""
        return self._all("schedules_resting", _filter_values(where), self._schedule_of)

    def schedules_counted(self, where: ScheduleFilter) -> int:
        """Count them, up to the filter's limit, at most LIST_MAX."""
        return self._one("schedules_counted", _filter_values(where), _number("found")) or 0

    def schedules_due(self, *, now: datetime, limit: int) -> list[Schedule]:
        """Return active schedules due, and paused ones whose pause has run out; oldest first."""
        return self._all("schedules_due", {"now": micros(now), "limit": page(limit)}, self._schedule_of)

    def save_schedule(self, schedule: Schedule) -> None:
        """Write every column that may change; a pause, or its end, reaches its lanes at once.

        Raises StoreError when it was never stored, Conflict when its new key is its agent's already.
        """
        was = self._state_of(schedule.id)
        if was is None:
            raise StoreError(f"schedule {schedule.id} is not in {self._location}")
        self._keep_calendar(schedule.definition)
        values = rows.schedule_values(schedule)
        with self._telling_of_taken_keys(values):
            self._change("save_schedule", values)
        if (was == ScheduleState.PAUSED) != (schedule.state is ScheduleState.PAUSED):
            self._refresh_lanes(self._pass_turn(schedule.id, DeliveryKind.SCHEDULED))

    def _state_of(self, schedule_id: int) -> str | None:
        return self._one("schedule_state", {"id": schedule_id}, _text("state"))

    def guard_usage(self, owner: str, *, since: datetime) -> GuardUsage:
        """Count the active schedules, creations and deliveries since; skipped and cancelled ones do not count."""
        values = {"owner": owner, "since": micros(since)}
        used = self._first("guard_usage", values)
        assert used is not None  # noqa: S101  a SELECT without FROM has one row
        return GuardUsage(
            active=used["active"], created_last_hour=used["created"], deliveries_last_hour=used["deliveries"]
        )

    def live_descendants(self, root_uid: str) -> int:
        """Count active and paused schedules of a chain, its root aside."""
        return self._one("live_descendants", {"root_uid": root_uid}, _number("live")) or 0

    def _schedule_of(self, row: Row) -> Schedule:
        key = row["skip_on"]
        return rows.schedule_of(row, self._calendar(key) if key is not None else None)

    def _calendar(self, key: str) -> Holidays:
        """Return a calendar; what a key stands for never changes, so one that was read is kept."""
        from promptyoself.storage.calendars import kept

        return kept(key, lambda: self._one("calendar", {"key": key}, _text("content")))

    @contextmanager
    def _telling_of_taken_keys(self, values: Values) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            if self._is_key_taken(error):
                raise Conflict(
                    f"agent {values['agent_id']} has a schedule with the key {values['key']!r} already",
                    hint="edit that one, or choose another key",
                ) from error
            raise

    # -- deliveries -----------------------------------------------------------------------------------------

    def add_delivery(self, new: NewDelivery, *, retry_until: datetime) -> Delivery | None:
        """Store an occurrence, making its lane; None when (schedule, revision, kind, fire_at) is there already."""
        first = rows.first_delivery(0, new, retry_until=retry_until)
        values = rows.delivery_values(first)
        self._keep_lane(new.lane, new.target)
        delivery_id = self._insert("add_delivery", values)
        if delivery_id is None:
            return None
        if not new.state.is_final:
            lanes = self._pass_turn(new.schedule_id, new.kind)
            self._refresh_lanes(lanes | {new.lane} if new.state.is_in_flight else lanes)
        return rows.first_delivery(delivery_id, new, retry_until=retry_until)

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return the delivery, or None. The transaction holds the one write lock."""
        return self._by_id("delivery", delivery_id, rows.delivery_of)

    def deliveries(self, where: DeliveryFilter) -> list[Delivery]:
        """List deliveries, newest first, at most LIST_MAX."""
        values = {
            "schedule_id": where.schedule_id,
            "agent_id": where.agent_id,
            "owner": where.owner,
            "states": rows.json_array(where.states),
            "before_id": ID_MAX if where.before_id is None else where.before_id,
            "limit": page(where.limit),
        }
        name = "deliveries"
        if where.schedule_id is not None:
            name = "deliveries_of_schedule"
        elif where.agent_id is not None:
            name = "deliveries_of_agent"
        elif where.owner is not None:
            name = "deliveries_of_owner"
        elif where.states and not any(state.is_final for state in where.states):
            name = "deliveries_unfinished"
        return self._all(name, values, rows.delivery_of)

    def unfinished_deliveries(self, schedule_id: int) -> list[Delivery]:
        """Return the schedule's deliveries that are not final, by fire time."""
        return self._all("unfinished_deliveries", {"schedule_id": schedule_id}, rows.delivery_of)

    def snoozed(self, *, now: datetime) -> dict[int, datetime]:
        """Return by schedule when the first of what was put off, and is pending, comes; later than `now`."""
        return dict(self._all("snoozed", {"now": micros(now)}, _snoozed))

    def save_delivery(self, delivery: Delivery, *, was: Delivery) -> bool:
        """Write the columns that may change, if state and lease token are still as in `was`."""
        values = rows.delivery_values(delivery)
        guard = {"was_state": str(was.state), "was_lease_token": was.lease_token}
        if not self._change("save_delivery", values | guard):
            return False
        lanes = {delivery.lane}
        if may_move_the_turn(delivery.state, was.state):
            lanes |= self._pass_turn(delivery.schedule_id, delivery.kind)
        self._refresh_lanes(lanes)
        return True

    def delivery_in_progress(self, agent_id: str, *, since: datetime) -> Delivery | None:
        """Return the newest delivery to this agent that was sent after `since` and is in flight."""
        return self._one("delivery_in_progress", {"agent_id": agent_id, "since": micros(since)}, rows.delivery_of)

    def hasten_target(self, target: str, *, now: datetime) -> int:
        """Make due at once what waits because the target refused all, as its reason says; count them."""
        from promptyoself.domain.retry import TARGET_WIDE  # only an executor needs it: commands start without

        values = {"target": target, "now": micros(now), "prefix": TARGET_WIDE}
        hastened = self._change("hasten_target", values)
        if hastened:
            self._change("refresh_hastened_lanes", values)
        return hastened

    def _keep_lane(self, lane: str, target: str) -> None:
        """Make a lane, unless it is there."""
        self._change("add_lane", {"lane": lane, "target": target})

    def _pass_turn(self, schedule_id: int, kind: DeliveryKind) -> set[str]:
        """See to it that the right delivery of a schedule and kind has the turn; return the lanes that this changed."""
        values = {"schedule_id": schedule_id, "kind": str(kind)}
        wanted = self._first("head_wanted", values)
        if wanted is not None and wanted["is_head"]:
            return set()
        now = self._first("head_now", values)
        changes = [(head, is_head) for head, is_head in ((now, 0), (wanted, 1)) if head is not None]
        for head, is_head in changes:
            self._change("set_head", {"id": head["id"], "is_head": is_head})
        return {head["lane"] for head, _ in changes}

    def _refresh_lanes(self, lanes: Iterable[str]) -> None:
        for lane in lanes:
            self._change("refresh_lane", {"lane": lane})

    # -- attempts -------------------------------------------------------------------------------------------

    def add_attempt(self, delivery_id: int, *, executor_id: str, otid: str, started_at: datetime) -> Attempt:
        """Store an attempt as open; its number is one more than the last."""
        values = {
            "delivery_id": delivery_id,
            "executor_id": executor_id,
            "otid": otid,
            "started_at": micros(started_at),
        }
        attempt = self._one("attempt", {"id": self._insert("add_attempt", values)}, rows.attempt_of)
        if attempt is None:
            raise StoreError(f"delivery {delivery_id} is not in {self._location}")
        return attempt

    def finish_attempt(
        self,
        attempt_id: int,
        *,
        outcome: AttemptOutcome,
        finished_at: datetime | None,
        error_code: str | None = None,
        status: int | None = None,
        run_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Write how an attempt went. A run id or status known before is kept when none is given."""
        values = {
            "id": attempt_id,
            "outcome": str(outcome),
            "finished_at": micros_or_none(finished_at),
            "error_code": error_code,
            "status": status,
            "run_id": run_id,
            "detail": detail,
        }
        if not self._change("finish_attempt", values):
            raise StoreError(f"attempt {attempt_id} is not in {self._location}")

    def attempts(self, delivery_id: int) -> list[Attempt]:
        """Return all attempts, first to last."""
        return self._all("attempts", {"delivery_id": delivery_id}, rows.attempt_of)

    # -- lanes ----------------------------------------------------------------------------------------------

    def ready_lanes(self, *, now: datetime, limit: int, targets: Sequence[str] | None = None) -> list[str]:
        """Return free lanes that have something due, longest due first; in-flight ones only, while all is stopped."""
        values = {"now": micros(now), "limit": page(limit), "targets": rows.json_array(targets)}
        name = "ready_lanes_stopped" if self._is_stopped(now) else "ready_lanes"
        return self._all(name, values, _text("lane"))

    def lease_lane(self, lane: str, *, token: str, executor_id: str, now: datetime, until: datetime) -> bool:
        """Take a lane if it is free, or keep it if the token is its own; False when another holds it."""
        values = {
            "lane": lane,
            "token": token,
            "executor_id": executor_id,
            "now": micros(now),
            "until": micros(until),
        }
        return self._change("lease_lane", values) == 1

    def next_in_lane(self, lane: str, *, now: datetime) -> Delivery | None:
        """Return what the lane must do now: what is in flight first, else what is due by fire time."""
        in_flight = self._one("in_flight_in_lane", {"lane": lane}, rows.delivery_of)
        if in_flight is not None:
            return in_flight if in_flight.due_at <= now else None
        if self._is_stopped(now):
            return None
        return self._one("pending_in_lane", {"lane": lane, "now": micros(now)}, rows.delivery_of)

    def release_lane(self, lane: str, *, token: str) -> bool:
        """Give the lane back, if the token is still its own."""
        return self._change("release_lane", {"lane": lane, "token": token}) == 1

    def renew_lanes(self, executor_id: str, *, until: datetime) -> int:
        """Move the lease end of every lane this executor holds; count them. Cut what ends later than `until` to it."""
        self._change("cut_leases", {"until": micros(until)})
        return self._change("renew_lanes", {"executor_id": executor_id, "until": micros(until)})

    def lane_holder(self, lane: str, *, now: datetime) -> str | None:
        """Return the executor that holds the lane now, or None."""
        return self._one("lane_holder", {"lane": lane, "now": micros(now)}, _text("executor_id"))

    def next_wake_at(self, *, now: datetime, due_after: datetime = limits.INSTANT_MIN) -> datetime | None:
        """Return the earliest instant at which something may become due; in the past when something is."""
        name = "next_wake_at_stopped" if self._is_stopped(now) else "next_wake_at"
        return self._one(name, {"now": micros(now), "after": micros(due_after)}, _instant_or_none("wake_at"))

    def _is_stopped(self, now: datetime) -> bool:
        return self._first("is_stopped", {"now": micros(now)}) is not None

    # -- journal --------------------------------------------------------------------------------------------

    def add_fact(self, fact: Fact) -> None:
        """Append to the journal."""
        self._change("add_fact", rows.fact_values(fact))

    def facts(self, *, schedule_id: int | None = None, delivery_id: int | None = None, limit: int) -> list[Fact]:
        """Return the newest facts, oldest of them first, at most LIST_MAX."""
        values = {"schedule_id": schedule_id, "delivery_id": delivery_id, "limit": page(limit)}
        name = "facts"
        if schedule_id is not None:
            name = "facts_of_schedule"
        elif delivery_id is not None:
            name = "facts_of_delivery"
        return self._all(name, values, rows.fact_of)[::-1]

    # -- executors, health, switch --------------------------------------------------------------------------

    def heartbeat(self, executor: Executor) -> None:
        """Insert or refresh an executor's row."""
        self._change("heartbeat", rows.executor_values(executor))

    def remove_executor(self, executor_id: str) -> None:
        """Forget an executor that stopped."""
        self._change("remove_executor", {"id": executor_id})

    def executors(self, *, alive_since: datetime) -> list[Executor]:
        """Return executors whose heartbeat is not older, longest running first."""
        return self._all("executors", {"alive_since": micros(alive_since)}, rows.executor_of)

    def save_target_health(self, health: TargetHealth) -> None:
        """Write what is known of a target as a whole."""
        values = {
            "target": health.target,
            "is_open": int(health.is_open),
            "reason": health.reason,
            "since": micros(health.since),
        }
        self._change("save_target_health", values)

    def target_health(self) -> list[TargetHealth]:
        """Return all that is known, by the target's name."""
        return self._all("target_health", {}, rows.health_of)

    def stop_switch(self) -> StopSwitch | None:
        """Return the switch as it was set, also when its `until` has passed; None when it is not set."""
        return self._one("stop_switch", {}, rows.switch_of)

    def set_stop_switch(self, switch: StopSwitch | None) -> None:
        """Stop all deliveries, or let them go on."""
        if switch is None:
            self._change("clear_stop_switch", {})
        else:
            since, until = micros(switch.since), micros_or_none(switch.until)
            self._change("set_stop_switch", {"reason": switch.reason, "since": since, "until": until})

    def zone_record(self) -> ZoneRecord | None:
        """Return the version of the zone database that next fires were worked out with; None before the first."""
        return self._one("zone_record", {}, rows.zone_record_of)

    def set_zone_record(self, record: ZoneRecord) -> None:
        """Write that version; the latest word counts."""
        self._change("set_zone_record", {"version": record.version, "since": str(micros(record.since))})

    # -- inbox ----------------------------------------------------------------------------------------------

    def add_message(self, message: InboxMessage) -> InboxMessage:
        """Store a message, its id ignored; when the otid is there already, return the stored one."""
        self._insert("add_message", rows.message_values(message))
        stored = self.message_by_otid(message.otid)
        assert stored is not None  # noqa: S101  stored now, or before
        return stored

    def messages(self, agent_id: str, *, include_acked: bool = False, limit: int = 100) -> list[InboxMessage]:
        """Return an agent's messages, oldest first, at most LIST_MAX."""
        name = "messages" if include_acked else "messages_unread"
        return self._all(name, {"agent_id": agent_id, "limit": page(limit)}, rows.message_of)

    def message_by_otid(self, otid: str) -> InboxMessage | None:
        """Return the message sent under this otid, or None."""
        return self._one("message_by_otid", {"otid": otid}, rows.message_of)

    def ack_message(self, message_id: int, *, agent_id: str | None, now: datetime) -> InboxMessage | None:
        """Mark a message as read (once; later calls keep the first time); None when there is none such.

        With an `agent_id` only that agent's message is found; None (an operator) finds anybody's.
        """
        message = self._by_id("message", message_id, rows.message_of)
        if message is None or agent_id not in (None, message.agent_id):
            return None
        self._change("ack_message", {"id": message_id, "agent_id": agent_id, "now": micros(now)})
        return self._by_id("message", message_id, rows.message_of)

    # -- housekeeping ---------------------------------------------------------------------------------------

    def prune(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` rows of what is old; count them. Schedules stay.

        That is final deliveries (attempts and lanes left empty go with them, uncounted), facts, read messages, ended
        callbacks, expired claims, tokens revoked or expired, executors not heard of since, and calendars out of use.
        """
        values: Values = {"before": micros(before)}
        left = page(limit)
        left -= self._prune_deliveries(values | {"limit": left})
        for name in _PRUNED:
            if left:
                left -= self._change(name, values | {"limit": left})
        return page(limit) - left

    def counts(self) -> dict[str, int]:
        """Count rows for doctor: `schedules_<state>`, `deliveries_<state>`, `facts`, `lanes`, `messages_unread`."""
        found = {row["what"]: row["rows"] for row in self._rows("counts", {})}
        words = [f"schedules_{state}" for state in ScheduleState] + [f"deliveries_{state}" for state in DeliveryState]
        return dict.fromkeys(words, 0) | found

    def _prune_deliveries(self, values: Values) -> int:
        old = self._rows("deliveries_to_prune", values)
        if not old:
            return 0
        pruned = self._change("prune_deliveries", {"ids": rows.json_array([row["id"] for row in old])})
        self._prune_lanes(sorted({row["lane"] for row in old}))
        return pruned

    def _prune_lanes(self, lanes: Sequence[str]) -> None:
        self._change("prune_lanes", {"lanes": rows.json_array(lanes)})

    def _by_id(self, name: str, id: int, model: Model[T]) -> T | None:
        # A number that no row can have is asked for by a slip of a finger; it is not found, and no failure.
        return self._one(name, {"id": id}, model) if 0 < id <= ID_MAX else None


def may_move_the_turn(state: DeliveryState, was: DeliveryState) -> bool:
    """Finishing and reviving move the turn; so does a return to pending, if its schedule was paused meanwhile."""
    return state.is_final != was.is_final or (state is DeliveryState.PENDING and was is not DeliveryState.PENDING)


def _filter_values(where: ScheduleFilter) -> Values:
    return {
        "agent_id": where.agent_id,
        "owner": where.owner,
        "states": rows.json_array(where.states),
        "kinds": rows.json_array(where.kinds),
        "target": where.target,
        "key": where.key,
        "name_part": where.name_part,
        "next_from": micros_or_none(where.next_from),
        "next_until": micros_or_none(where.next_until),
        "after_id": where.after_id,
        "limit": page(where.limit),
    }


def page(limit: int) -> int:
    """Return how many rows a page may have: at most LIST_MAX, and a negative number would mean no limit to SQLite."""
    return min(max(limit, 0), limits.LIST_MAX)


def _text(column: str) -> Model[str]:
    def text(row: Row) -> str:
        return str(row[column])

    return text


def _number(column: str) -> Model[int]:
    def number(row: Row) -> int:
        return int(row[column])

    return number


def _instant_or_none(column: str) -> Model[datetime | None]:
    def found(row: Row) -> datetime | None:
        return None if row[column] is None else instant(row[column])

    return found


def _snoozed(row: Row) -> tuple[int, datetime]:
    return row["schedule_id"], instant(row["comes_at"])
