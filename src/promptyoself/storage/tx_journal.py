"""The journal as a whole, and many rows at once: the port `JournalTx`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptyoself.domain import limits
from promptyoself.domain.errors import Conflict, StoreError
from promptyoself.domain.models import Fact
from promptyoself.domain.ports_journal import Told
from promptyoself.storage import rows
from promptyoself.storage.rows import Row
from promptyoself.storage.statements import Statements

if TYPE_CHECKING:
    from promptyoself.domain.models import Definition
    from promptyoself.domain.ports import NewSchedule


class JournalStatements(Statements):
    """See `JournalTx` for what each method promises."""

    def facts_after(self, after: int, *, limit: int) -> list[Told]:
        """Return the facts with a higher id, in the order of their ids."""
        values = {"after": after, "limit": min(max(limit, 0), limits.LIST_MAX)}
        return self._all("facts_after", values, _told)

    def newest_fact_id(self) -> int:
        """Return the id that was given out last."""
        return self._given_out("newest_fact")

    def add_schedules(self, new: Sequence[NewSchedule]) -> list[int]:
        """Store many schedules. Nobody else writes meanwhile, so the ids are those that follow."""
        for definition in {one.definition.policy.skip_on: one.definition for one in new}.values():
            self._keep_calendar(definition)
        before = self._given_out("newest_schedule")
        try:
            self._insert_all("add_schedule", map(rows.new_schedule_values, new))
        except StoreError as error:
            if self._is_key_taken(error):
                raise Conflict("an agent has a schedule with one of the keys already") from error
            raise
        if self._given_out("newest_schedule") != before + len(new):
            raise StoreError(f"{self._location} gave ids that do not follow one another")
        return list(range(before + 1, before + len(new) + 1))

    def add_facts(self, facts: Sequence[Fact]) -> None:
        """Append to the journal, in order."""
        self._insert_all("add_fact", map(rows.fact_values, facts))

    def _keep_calendar(self, definition: Definition) -> None:
        """Store a definition's calendar, unless it is there."""
        skip_on = definition.policy.skip_on
        if skip_on is not None and self._first("calendar", {"key": skip_on.key}) is None:
            from promptyoself.storage.calendars import content_of

            self._change("add_calendar", {"key": skip_on.key, "name": skip_on.name, "content": content_of(skip_on)})

    def _given_out(self, name: str) -> int:
        row = self._first(name, {})
        return 0 if row is None else int(row["seq"])


def _told(row: Row) -> Told:
    return Told(fact=rows.fact_of(row), agent_id=row["agent_id"], owner=row["owner"], timezone=row["trigger_timezone"])
