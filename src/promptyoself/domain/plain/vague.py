"""Words of which nobody can say what they mean in a rule, each with what it may mean."""

from __future__ import annotations

from typing import Final

from promptyoself.domain.plain.suggestions import Refused
from promptyoself.domain.plain.tokens import Phrase
from promptyoself.domain.plain.vocabulary import WEEKDAYS


def refuse_vague(phrase: Phrase, begin: int) -> None:
    """Refuse words of which nobody can say what they mean, each with what it may mean."""
    text = phrase.text
    for word, (message, *forms) in VAGUE.items():
        if any(
            token.text == word and not _is_certain(phrase, place)
            for place, token in enumerate(phrase.tokens[begin:], start=begin)
        ):
            before, rest = text[: text.index(word)], text.replace(word, "").strip()
            raise Refused(message, [form.replace("<", before).replace("...", rest) for form in forms])


def _is_certain(phrase: Phrase, place: int) -> bool:
    """Say whether a vague word is plain where it stands, as in `quarter past nine` and `monday till friday`."""
    words = ["", *(token.text for token in phrase.tokens), ""]
    before, word, after = words[place : place + 3]
    if word == "quarter":
        return after in {"past", "to"}
    if word in {"until", "till"}:
        is_from = any(token.text in {"from", "between"} for token in phrase.tokens[:place])
        return (after in WEEKDAYS and before in WEEKDAYS) or is_from
    return word == "for" and before in {"except", "excluding"}


VAGUE: Final = {
    "biweekly": ("'biweekly' is twice a week to some and every two weeks to others",
                 "other week ...", "other monday at 9am", "monday and thursday at 9am"),
    "bimonthly": ("'bimonthly' is twice a month to some and every two months to others",
                  "2 months ...", "2 months on the 1st at 9am", "1st and 15th of the month at 9am"),
    "quarterly": ("'quarterly' names no day", "3 months ...", "3 months on the 1st at 9am"),
    "quarter": ("'quarter' is read neither as a quarter of an hour nor as one of a year",
                "3 months on the 1st at 9am", "15 minutes"),
    "twice": ("'twice' does not say when", "day at 9am and 9pm", "12 hours", "monday and thursday at 9am"),
    "once": ("'once' does not say when", "day at 9am", "monday at 9am", "1st of the month at 9am"),
    "times": ("how many times is said, but not when", "day at 9am, 1pm and 5pm", "8 hours"),
    "until": ("an end belongs to --end-at", "<"), "till": ("an end belongs to --end-at", "<"),
    "for": ("an end belongs to --end-at, a count to --max-repetitions", "<"),
    "starting": ("a beginning belongs to --start-at", "<"),
    "tomorrow": ("that names one day: a moment belongs to --time, the beginning of a rule to --start-at",),
    "today": ("that names one day: a moment belongs to --time, the beginning of a rule to --start-at",),
    "tonight": ("that names one evening: a moment belongs to --time", "day at 8 in the evening"),
    "next": ("'next' names one day: a moment belongs to --time",),
}  # fmt: skip
"""Word: why it is not certain, and what it may mean; `...` is the rest of the phrase, `<` what comes before."""
