"""The zone that a phrase names: an IANA name in any case, or UTC. Abbreviations are refused, for none is unique."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from promptyoself.domain.errors import InvalidTimezone
from promptyoself.domain.localtime import zone
from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import Phrase, Token
from promptyoself.domain.plain.vocabulary import ABBREVIATIONS, ALSO, WEEKDAYS

UTC: Final = "UTC"
_OFFSET: Final = re.compile(r"\b(?:utc|gmt) ?[+-] ?[0-9]|[0-9] ?[+-][0-9]{2}:?[0-9]{2}$|(?<= )[+-][0-9]{2}:?[0-9]{2}$")
_NO_CITIES: Final = frozenset({"christmas", "easter", "central", "eastern", "pacific", "mountain"})
"""Names of zones that mean something else in a phrase."""


def take_zone(phrase: Phrase) -> tuple[Phrase, str | None]:
    """Return the phrase without its zone, and the zone's IANA name or None. Raises Refused and InvalidTimezone."""
    if (found := _OFFSET.search(phrase.text)) is not None:
        raise Refused(
            f"an offset such as {found[0].strip()!r} stands in ISO 8601 only, as in 2027-03-28T09:00:00+02:00; "
            "in words a zone is named, such as Europe/Riga"
        )
    for token in phrase.tokens:
        if token.kind == "word" and token.text in ABBREVIATIONS:
            names = (ABBREVIATIONS[token.text], *ALSO.get(token.text, ()))
            raise Refused(
                f"{token.text.upper()!r} is not one zone: name it in full, such as {' or '.join(names)}",
                [phrase.replaced(token, name) for name in names],
            )
    for token in phrase.tokens:
        if token.kind == "zone" and all(part in WEEKDAYS for part in token.text.split("/")):
            days = token.text.replace("/", " and ")
            raise Refused(f"{token.text!r} is no list of days", [phrase.replaced(token, days)])
    named = [token for token in phrase.tokens if token.kind == "zone" or token.text == "utc"]
    if not named:
        return phrase, None
    if len(named) > 1:
        raise Refused(
            f"two zones are named, {named[0].text} and {named[1].text}",
            [phrase.replaced(one, "") for one in named],
        )
    around = _around(phrase, named[0])
    return phrase.without(around), _canonical(named[0].text)


def city_forms(phrase: Phrase) -> list[str]:
    """Return the phrase with a city's name made that of its zone: `9am riga` with Europe/Riga."""
    cities: dict[str, str] = {}
    for name in _known().values():
        cities.setdefault(name.rpartition("/")[2].lower(), name)
    words = [
        token
        for token in phrase.tokens
        if token.kind == "word" and token.text in cities and token.text not in _NO_CITIES
    ]
    return [phrase.replaced(words[0], cities[words[0].text])] if len(words) == 1 else []


def _around(phrase: Phrase, token: Token) -> tuple[Token, ...]:
    """Return the zone's token with the words that belong to it: `in Europe/Paris time`."""
    place = phrase.tokens.index(token)
    first = place - 1 if place and phrase.tokens[place - 1].text in {"in", ","} else place
    last = place + 1 if phrase.tokens[place + 1 : place + 2] and phrase.tokens[place + 1].text == "time" else place
    return phrase.tokens[first : last + 1]


def _canonical(name: str) -> str:
    if name == "utc":
        return UTC
    known = _known().get(name)
    if known is None:
        zone(name)  # which refuses it with the nearest name
        raise InvalidTimezone(f"unknown timezone {name!r}: an IANA name such as Europe/Riga or UTC is needed")
    zone(known)
    return known


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    from zoneinfo import available_timezones

    return {name.lower(): name for name in sorted(available_timezones())}
