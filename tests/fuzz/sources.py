"""Files of other programs, and of our own export, as hostile texts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from random import Random

from promptyoself.application.calendars import calendar_warnings, read_calendar
from promptyoself.application.requests import define
from promptyoself.application.transfer.crontab import read_crontab
from promptyoself.application.transfer.documents import parse_json
from promptyoself.application.transfer.entries import Reading
from promptyoself.application.transfer.exported import read_exported
from promptyoself.application.transfer.importing import resolved
from promptyoself.application.transfer.letta_cron import read_letta_cron
from promptyoself.application.transfer.older import OlderFile, read_older
from promptyoself.domain.errors import InvalidInput, PromptyoselfError, TriggerNeverFires
from promptyoself.domain.holidays import Holidays
from promptyoself.domain.triggers import next_fire_at, zone
from tests.fuzz.claims import BrokenClaim, refusal_is_a_sentence, sentence, timed, trigger_answers
from tests.fuzz.given import DEFAULTS, NOWS

ENTRIES_LOOKED_AT = 3


def source(read: Callable[[str], Reading]) -> Callable[[str, Random], object]:
    """Return a reader of one kind of file: what it takes can be registered or is refused, entry by entry."""

    def checked(text: str, chance: Random) -> object:
        now = chance.choice(NOWS)
        reading = timed(read, text)
        for refusal in reading.refused:
            refusal_is_a_sentence(InvalidInput(refusal.reason))
        for warning in (*reading.warnings, *(told for entry in reading.entries for told in entry.warnings)):
            sentence("warning", warning, 20_000)
        whole = timed(resolved, reading, DEFAULTS, agent_id=None, timezone=None, target=None)
        for entry in islice(whole.entries, ENTRIES_LOOKED_AT):
            try:
                trigger = timed(define, entry.request, DEFAULTS, now=now).trigger
            except PromptyoselfError as error:
                refusal_is_a_sentence(error)
            else:
                trigger_answers(trigger, now=now)
            if entry.trigger is not None:
                with suppress(TriggerNeverFires):
                    timed(next_fire_at, entry.trigger, after=now)
        if not reading.entries and not reading.refused and reading.warnings == () and text.strip().startswith("0 9"):
            raise BrokenClaim("a line with a rule is neither taken nor refused")
        return len(reading.entries)

    return checked


def _older(text: str) -> Reading:
    rows = parse_json(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "table" in row for row in rows):
        raise InvalidInput("a test's own file has rows of a table alone")
    return read_older(OlderFile(rows=rows, is_in_use=False))


def calendar(text: str, chance: Random) -> object:
    """Read a calendar of holidays; what is kept of it is the same when it is read back."""
    now = chance.choice(NOWS)
    holidays = timed(read_calendar, text, name="holidays.ics", now=now)
    if Holidays.from_members(holidays.members()) != holidays:
        raise BrokenClaim(f"{holidays.key} is another calendar when it is read back")
    for warning in calendar_warnings(holidays, now=now):
        sentence("warning", warning, 400)
    timed(holidays.reason_for, now, zone("Europe/Riga"))
    return holidays


crontab = source(read_crontab)
letta_cron = source(lambda text: read_letta_cron(parse_json(text)))
exported = source(lambda text: read_exported(parse_json(text)))
older = source(_older)
