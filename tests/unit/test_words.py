"""Words say what an expression does: a table by hand, and no two expressions that read alike and fire differently."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from itertools import islice, product

import pytest

from promptyoself.domain.cron import parse_cron
from promptyoself.domain.errors import TriggerNeverFires
from promptyoself.domain.triggers import Trigger, TriggerKind, fire_times
from promptyoself.domain.words_cron import cron_in_words

STARTS = [datetime(2027, *day, 21, 30, tzinfo=UTC) for day in [(1, 1), (3, 27), (10, 30)]]
"""In Riga: any time, and the evenings before clocks change."""
FIRES_COMPARED = 150
MINUTES = ["0", "*/60", "0-0", "0,0", "*/45", "0,45", "0-59", "*", "*/1", "*/15", "0-45/15", "0-10", "*,5", "5,*/20"]
HOURS = ["3", "3-3", "*", "*/24", "0-23", "*/2", "0-22/2", "2,3", "*/5"]
DAYS = [
    "* * *",
    "? * ?",
    "1-31 * sun",
    "* * sun",
    "* * 7",
    "*/1 * 0",
    "28 * sun",
    "*/27 * sun",
    "28 * */7",
    "L * sun",
    "31 3 0",
]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/45 * * * *", "at minutes 0 and 45 (*/45) past every hour"),
        ("5 * * * *", "at minute 5 past every hour"),
        ("0 * * * *", "every hour, on the hour"),
        ("0 */2 * * *", "every 2 hours, on the hour"),
        ("0 */5 * * *", "on the hour, at hours 0, 5, 10, 15 and 20 (*/5)"),
        ("30 */2 * * *", "at minute 30 past every 2nd hour from 0 on"),
        ("*/15 9-17 * * *", "every 15 minutes past hours 9 to 17"),
        ("*/15 9-17 * * mon-fri", "every 15 minutes past hours 9 to 17 on Monday to Friday"),
        ("0-59 9 * * *", "at minutes 0 to 59 past hour 9 every day"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00 every day"),
        ("30 9-17 * * mon-fri", "every hour from 09:30 to 17:30 on Monday to Friday"),
        ("0 6,9-17,22 * * *", "every hour from 09:00 to 17:00 and at 06:00 and 22:00 every day"),
        ("0 9,17 * * *", "at 09:00 and 17:00 every day"),
        ("0,30 9,17 * * *", "at 09:00, 09:30, 17:00 and 17:30 every day"),
        ("*/45 3 * * sun", "at minutes 0 and 45 (*/45) past hour 3 on Sunday"),
        ("0,45 3 * * sun", "at 03:00 and 03:45 on Sunday"),
        ("*/60 3 * * *", "at minute 0 (*/60) past hour 3"),
        ("0 */24 * * *", "on the hour, at hour 0 (*/24)"),
        ("5,10 0-4 * * mon-fri", "at minutes 5 and 10 past hours 0 to 4 on Monday to Friday"),
        ("7/20 1,2 * * *", "at 01:07, 01:27, 01:47, 02:07, 02:27 and 02:47 every day"),
        ("* * * * * *", "every second"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("*/10 * 9 * * *", "every 10 seconds past hour 9"),
        ("0,30 5 9 * * *", "at seconds 0 and 30 past minute 5 of hour 9 every day"),
        ("30 0 9 * * *", "at 09:00:30 every day"),
        ("30 * * * * *", "every minute at second 30"),
        ("15 */5 * * * *", "every 5 minutes at second 15"),
        ("* 30 9 * * *", "every second past minute 30 of hour 9 every day"),
        ("*/5 */2 */3 * * *", "every 5 seconds past every 2nd minute from 0 on of every 3rd hour from 0 on"),
        ("0 9 13 * fri", "at 09:00 on day 13 of the month or on Friday"),
        ("0 9 13 * 5", "at 09:00 on day 13 of the month or on Friday"),
        ("0 9 */13 * fri", "at 09:00 on Friday, only when it is day 1, 14 or 27 of the month"),
        ("0 9 13 * */5", "at 09:00 on Friday and Sunday, only when it is day 13 of the month"),
        ("0 9 1,15 * *", "at 09:00 on days 1 and 15 of the month"),
        ("0 9 1,15,L * *", "at 09:00 on days 1 and 15, and the last day of the month"),
        ("0 9 L * *", "at 09:00 on the last day of the month"),
        ("0 9 LW * *", "at 09:00 on the last weekday (Monday to Friday) of the month"),
        ("0 9 15W * *", "at 09:00 on the weekday (Monday to Friday) nearest to day 15 of the month"),
        ("0 9 1W,15W * *", "at 09:00 on the weekday (Monday to Friday) nearest to day 1 and to day 15 of the month"),
        ("0 9 1-7 * *", "at 09:00 on days 1 to 7 of the month"),
        ("0 9 1-7 * mon", "at 09:00 on days 1 to 7 of the month or on Monday"),
        ("0 9 * * mon,wed,fri", "at 09:00 on Monday, Wednesday and Friday"),
        ("0 9 * * sat,sun", "at 09:00 on Saturday and Sunday"),
        ("0 9 * * sat-sun", "at 09:00 on Saturday and Sunday"),
        ("0 9 * * 5#2", "at 09:00 on the second Friday of the month"),
        ("0 9 * * friL", "at 09:00 on the last Friday of the month"),
        ("0 9 * * mon,friL", "at 09:00 on Monday and the last Friday of the month"),
        ("0 9 * * mon#1,mon#3", "at 09:00 on the first Monday and the third Monday of the month"),
        ("0 9 L * friL", "at 09:00 on the last day of the month or on the last Friday of the month"),
        ("0 9 * mar,oct *", "at 09:00 every day in March and October"),
        ("0 9 13 mar fri", "at 09:00 on day 13 of the month or on Friday, in March"),
        ("0 0 1 1 *", "at 00:00 on day 1 of the month in January"),
        ("0 0 1 1,3-5 *", "at 00:00 on day 1 of the month in January and March to May"),
        ("0 9 ? * mon-fri", "at 09:00 on Monday to Friday"),
        ("0 9 15 * ?", "at 09:00 on day 15 of the month"),
        ("@weekly", "at 00:00 on Sunday"),
        ("@hourly", "every hour, on the hour"),
        ("0 9 31 * *", "at 09:00 on day 31 of the month"),
        ("0 9 1-31 * mon", "at 09:00 every day"),
        ("0 9 * * 0-6", "at 09:00 every day"),
        ("0 */3 1 * *", "every 3 hours, on the hour, on day 1 of the month"),
        ("*/20 9 L 2 *", "every 20 minutes past hour 9 on the last day of the month in February"),
    ],
)
def test_an_expression_reads_as_it_fires(expression: str, words: str) -> None:
    assert cron_in_words(parse_cron(expression)) == words


def fires(expression: str) -> list[datetime]:
    rule = Trigger(kind=TriggerKind.CRON, expression=expression, timezone="Europe/Riga", anchor_at=STARTS[0])
    return [at for start in STARTS for at in islice(fire_times(rule, after=start), FIRES_COMPARED)]


def test_expressions_that_read_alike_fire_alike() -> None:
    alike: dict[str, list[str]] = defaultdict(list)
    for parts in product(MINUTES, HOURS, DAYS):
        try:
            alike[cron_in_words(parse_cron(" ".join(parts)))].append(" ".join(parts))
        except TriggerNeverFires:
            continue
    groups = {words: found for words, found in alike.items() if len(found) > 1}
    assert len(groups) > 100
    for words, found in groups.items():
        first = fires(found[0])
        for other in found[1:]:
            assert fires(other) == first, f"{words!r}: {found[0]!r} and {other!r}"
