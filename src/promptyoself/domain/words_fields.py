"""A cron expression field by field in words, for those who want to know which part says what."""

from __future__ import annotations

from typing import Final, NamedTuple

from promptyoself.domain.cron import DAY, FIELDS, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Cron, Field, values
from promptyoself.domain.phrases import MONTHS, join, runs
from promptyoself.domain.words_cron import is_even_step, month_days, week_days

_EVERY: Final = {
    SECOND: "every second",
    MINUTE: "every minute",
    HOUR: "every hour",
    DAY: "any day",
    MONTH: "every month",
    WEEKDAY: "any day",
}


class FieldInWords(NamedTuple):
    """One field: its name, its value as the program reads it (names as numbers, `?` as `*`), and what that means."""

    name: str
    value: str
    means: str


def fields_in_words(rule: Cron) -> list[FieldInWords]:
    """Return the fields in words, first to last; seconds that are 0 are left out, as five fields leave them out."""
    found = [FieldInWords(of.name, field, _means(field, of)) for field, of in zip(rule.fields, FIELDS, strict=True)]
    return found[1:] if rule.fields[0] == "0" else found


def _means(field: str, of: Field) -> str:
    if of is DAY:
        return month_days(field) or _EVERY[DAY]
    if of is WEEKDAY:
        return week_days(field) or _EVERY[WEEKDAY]
    found = values(field, of)
    if len(found) == of.high - of.low + 1:
        return _EVERY[of]
    if is_even_step(field, of) and len(found) > 1:
        return f"every {int(field[2:])} {of.name}s"
    return join(runs(found, MONTHS if of is MONTH else ()))
