"""The words of the grammar and what each means. A word that is not here is not understood."""

from __future__ import annotations

from typing import Final

WEEKDAY_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTH_NAMES: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_WEEKDAYS_SHORT: Final = {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "weds": 2, "thu": 3, "thur": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6,
}  # fmt: skip
WEEKDAYS: Final = (
    {name: place for place, name in enumerate(WEEKDAY_NAMES)}
    | {f"{name}s": place for place, name in enumerate(WEEKDAY_NAMES)}
    | _WEEKDAYS_SHORT
)
"""Names to 0 = Monday."""
MONTHS: Final = (
    {name: place for place, name in enumerate(MONTH_NAMES, start=1)}
    | {name[:3]: place for place, name in enumerate(MONTH_NAMES, start=1)}
    | {"sept": 9}
)
UNITS: Final = {
    "s": "second", "sec": "second", "secs": "second", "second": "second", "seconds": "second",
    "m": "minute", "min": "minute", "mins": "minute", "minute": "minute", "minutes": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "hour": "hour", "hours": "hour",
    "d": "day", "day": "day", "days": "day",
    "w": "week", "wk": "week", "wks": "week", "week": "week", "weeks": "week",
    "month": "month", "months": "month",
    "year": "year", "years": "year",
}  # fmt: skip
UNIT_S: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
DIGITS: Final = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
TENS: Final = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90}
NUMBERS: Final = DIGITS | TENS | {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
ORDINALS: Final = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
PARTS: Final = {
    "morning": "morning", "mornings": "morning", "afternoon": "afternoon", "afternoons": "afternoon",
    "evening": "evening", "evenings": "evening", "night": "night", "nights": "night", "tonight": "night",
}  # fmt: skip
PERIODS: Final = {
    "hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year", "annually": "year",
}  # fmt: skip
ABBREVIATIONS: Final = {
    "est": "America/New_York", "edt": "America/New_York", "et": "America/New_York", "cst": "America/Chicago",
    "cdt": "America/Chicago", "mst": "America/Denver", "mdt": "America/Denver", "pst": "America/Los_Angeles",
    "pdt": "America/Los_Angeles", "pt": "America/Los_Angeles", "gmt": "Europe/London", "bst": "Europe/London",
    "wet": "Europe/Lisbon", "west": "Europe/Lisbon", "cet": "Europe/Paris", "cest": "Europe/Paris",
    "eet": "Europe/Helsinki", "eest": "Europe/Helsinki", "msk": "Europe/Moscow", "ist": "Asia/Kolkata",
    "jst": "Asia/Tokyo", "kst": "Asia/Seoul", "sgt": "Asia/Singapore", "aest": "Australia/Sydney",
    "aedt": "Australia/Sydney", "nzst": "Pacific/Auckland", "nzdt": "Pacific/Auckland",
}  # fmt: skip
"""Abbreviations of zones, each with the zone it most often means: none is unique, so none is taken."""
ALSO: Final = {"ist": ("Europe/Dublin", "Asia/Jerusalem"), "cst": ("Asia/Shanghai",), "bst": ("Asia/Dhaka",),
               "gmt": ("UTC",), "est": ("Australia/Sydney",)}  # fmt: skip
_REST: Final = (
    "a", "after", "and", "an", "at", "between", "clock", "coming", "day", "each", "end", "every", "except", "excluding",
    "for", "from", "fortnight", "fortnightly", "half", "in", "last", "midday", "midnight", "next", "noon", "now",
    "oclock", "of", "on", "other", "past", "quarter", "quarterly", "biweekly", "bimonthly", "starting", "the", "then",
    "per",
    "this", "through", "till", "times", "time", "to", "today", "tomorrow", "twice", "once", "until", "utc", "weekday",
    "weekdays", "weekend", "weekends", "yesterday", "ago", "or", "am", "pm", "but", "not", "by", "before", "to",
)  # fmt: skip
KNOWN: Final = frozenset((*WEEKDAYS, *MONTHS, *UNITS, *NUMBERS, *ORDINALS, *PARTS, *PERIODS, *ABBREVIATIONS, *_REST))
"""Every word with a meaning here, or one that is refused for a reason of its own."""
EN_TYPED_CHARS_MIN: Final = 3
"""A shorter word is too little to tell what was meant by it."""
