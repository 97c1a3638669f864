"""What an agent may say at the end of its answer, where its schedule allows it: a fixed grammar of a single line.

    [promptyoself 7f3a91bc: again in 3h]          the same prompt once more, then
    [promptyoself 7f3a91bc: pause until monday]   no more fire times until then
    [promptyoself 7f3a91bc: done]                 the schedule is complete
    [promptyoself 7f3a91bc: silent]               nothing of this answer is kept or posted
    [promptyoself 7f3a91bc: again in 3h; silent]  two of them

The nonce came with the envelope. What an agent reads, quotes or is talked into by a web page cannot know it, and the
prompt was written before it was made.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from promptyoself.domain import limits
from promptyoself.domain.values import dataclass

_BEGIN: Final = "[promptyoself"
_LINE: Final = re.compile(r"\[promptyoself\s+(?P<nonce>[0-9a-z]+)\s*:(?P<words>[^\[\]]*)\]", re.IGNORECASE | re.ASCII)
_DECORATION: Final = " \t*_`>"
"""What models put around a line of their own accord (Markdown)."""
_SAID_CHARS_MAX: Final = 120


class Verb(StrEnum):
    """What can be asked for."""

    AGAIN = "again"
    PAUSE_UNTIL = "pause until"
    DONE = "done"
    SILENT = "silent"

    @property
    def takes_time(self) -> bool:
        """True when a time follows it."""
        return self in {Verb.AGAIN, Verb.PAUSE_UNTIL}


@dataclass(frozen=True, slots=True)
class Directive:
    """One thing that is asked for; `when` is a time in plain words, for those that take one."""

    verb: Verb
    when: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A last line that is meant for us: what it asks for, or why none of it is obeyed."""

    said: str
    """Its words as the journal keeps them: printable, bounded, without the nonce."""
    directives: tuple[Directive, ...] = ()
    problem: str | None = None

    @property
    def is_silent(self) -> bool:
        """True when nothing of the answer is to be kept."""
        return any(one.verb is Verb.SILENT for one in self.directives)


def nonce_of(secret: str, otid: str) -> str:
    """Return the nonce of the attempts under an otid: hex digits that only the holder of `secret` can work out.

    A repeat of an attempt has the same one: the agent may answer either.
    """
    import hmac  # few schedules obey

    return hmac.digest(secret.encode(), otid.encode(), "sha256").hex()[: limits.REPLY_NONCE_CHARS]


def invitation(nonce: str) -> str:
    """Return the line of the envelope that says how to answer."""
    return (
        "If something should become of this schedule, make one line of this form the last of your final answer: "
        f"[promptyoself {nonce}: again in 3h] (or, in place of again in 3h: pause until monday 9:00; done; silent)."
    )


def read_reply(line: str | None, *, nonce: str) -> Reply | None:
    """Return what the last line of an answer asks for; None when it is not meant for us.

    A line that is ours in part only is obeyed in no part: whoever misspells one directive may have meant another.
    """
    stripped = (line or "").strip(_DECORATION)
    if not stripped.lower().startswith(_BEGIN):
        return None
    found = _LINE.fullmatch(stripped)
    if found is None:
        return Reply(
            said=_shown(stripped.removeprefix(_BEGIN)), problem="it is not of the form [promptyoself NONCE: ...]"
        )
    said = _shown(found["words"])
    if not _is_same(found["nonce"].lower(), nonce):
        return Reply(said=said, problem="its nonce is not the one that came with this prompt")
    directives = [_directive(words) for words in found["words"].split(";")]
    wrong = next((one for one in directives if isinstance(one, str)), None)
    if wrong is not None:
        return Reply(said=said, problem=wrong)
    kept = tuple(one for one in directives if isinstance(one, Directive))
    verbs = [one.verb for one in kept]
    if len(set(verbs)) < len(verbs) or {Verb.PAUSE_UNTIL, Verb.DONE} <= set(verbs):
        return Reply(said=said, problem="it contradicts itself")
    return Reply(said=said, directives=kept)


def _directive(words: str) -> Directive | str:
    text = " ".join(words.split())
    for verb in Verb:
        if text.lower() == verb and not verb.takes_time:
            return Directive(verb)
        if verb.takes_time and text.lower().startswith(f"{verb} "):
            return Directive(verb, text[len(verb) + 1 :])
    if text.lower() in {"again", "pause", "pause until"}:
        return f"{text.lower()} needs a time, such as again in 3h or pause until monday 9:00"
    return "it asks for none of: again ..., pause until ..., done, silent"


def _is_same(given: str, nonce: str) -> bool:
    import hmac

    return hmac.compare_digest(given, nonce)


def _shown(text: str) -> str:
    kept = " ".join("".join(char if char.isprintable() else " " for char in text).split()).strip("[]: ")
    return kept if len(kept) <= _SAID_CHARS_MAX else kept[: _SAID_CHARS_MAX - 1] + "…"
