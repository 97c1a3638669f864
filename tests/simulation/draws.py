"""What chance gives a world: where it lives, which rules its callers think of, and which hours they keep quiet."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from tests.simulation.places import MINUTE, PLACES, PLAIN, Crontab, Night, Place
from tests.simulation.promises import Rule

_DRAWS_MAX = 6
_NIGHT_MAX = 8 * MINUTE
"""Longer nights would cost more than they show: a world waits for their end."""
_NEAR = 150
"""Seconds within which a fixed time of a new rule lies."""


def place_of(seed: int) -> tuple[Place, datetime]:
    """Return where a world lives, and when it begins: half of them shortly before a clock change or a midnight."""
    rng = random.Random(f"place {seed}")
    if rng.random() < 0.5:
        return PLAIN, PLAIN.about
    place = rng.choice(PLACES)
    return place, place.about - timedelta(seconds=rng.choice([20, 35, 65, 80]))


def rule(rng: random.Random, place: Place, *, now: datetime, ends_at: datetime) -> Rule:
    """Return a rule that fires at least once after `now`; most of its fires are before `ends_at`."""
    end_at = max(ends_at, now + timedelta(seconds=40))
    if place.is_change:  # which its rules have to see
        end_at = max(end_at, place.about + timedelta(seconds=45))
    kind = rng.random()
    if kind < 0.25:
        return Rule(since=now, end_at=end_at, at=now + timedelta(seconds=rng.randint(3, 80)))
    if kind < (0.75 if place.is_change else 0.4):
        for _ in range(_DRAWS_MAX):
            crontab = _crontab(rng, place, now=now)
            for until in (end_at, now + 2 * MINUTE):
                fires = crontab.fires(place, since=now, until=until)
                if fires:
                    return Rule(since=now, end_at=until, cron=crontab.text, by_table=fires)
    every = timedelta(seconds=rng.choice([10, 15, 20, 30, 45]))
    is_start = rng.random() < 0.5
    anchor = now + timedelta(seconds=rng.randint(1, 20)) if is_start else now
    end_at = max(end_at, anchor + every)
    return Rule(since=now, end_at=end_at, every=every, anchor=anchor, is_start=is_start)


def _crontab(rng: random.Random, place: Place, *, now: datetime) -> Crontab:
    """Return a rule about one to three times near `now`: fixed, or with a star in minute or hour."""
    near = [place.wall(now + timedelta(seconds=rng.randint(-60, _NEAR))) for _ in range(rng.randint(1, 3))]
    if place.is_change and rng.random() < 0.6:  # around the very change: of a repeated hour both ends
        near = [place.wall(place.about + MINUTE * number) for number in rng.sample(range(-1, 2), rng.randint(2, 3))]
    skipped = place.skipped()
    if skipped and rng.random() < 0.6:
        near.append(rng.choice(skipped))
    minutes, hours = (tuple(sorted(found)) for found in ({w.minute for w in near}, {w.hour for w in near}))
    star = rng.random()
    return Crontab(
        seconds=rng.choice([(0,), (0,), (0,), (0, 30), (10, 20, 45)]),
        minutes=None if star < 0.15 else minutes,
        hours=None if 0.1 < star < 0.35 else hours,
        weekdays=tuple(sorted({w.weekday() for w in near})) if rng.random() < 0.2 else None,
    )


def night(rng: random.Random, place: Place, *, base: datetime) -> Night | None:
    """Return quiet hours that begin or end while a world goes on, and end soon; None when chance finds none."""
    for _ in range(_DRAWS_MAX):
        begins = base + (MINUTE * rng.randint(-3, 2) if rng.random() < 0.6 else -timedelta(hours=rng.randint(1, 10)))
        walls = [place.wall(begins), place.wall(base + MINUTE * rng.randint(1, 4))]
        skipped = place.skipped()
        if skipped and rng.random() < 0.3:
            walls[rng.randint(0, 1)] = rng.choice(skipped)
        days = None
        if rng.random() < 0.5:
            days = frozenset(rng.sample(range(7), 2)) | ({walls[0].weekday()} if rng.random() < 0.7 else set())
        begin, end = (wall.hour * 60 + wall.minute for wall in walls)
        found = Night(place=place, begin=begin, end=end, days=days, is_skip=rng.random() < 0.4)
        ends = found.touches(base, base + _NIGHT_MAX)
        if begin != end and all(end_at <= base + _NIGHT_MAX for end_at in ends):
            return found
    return None
