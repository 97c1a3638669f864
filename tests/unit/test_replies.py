"""The last line of an answer: obeyed only when it is ours in every letter."""

from __future__ import annotations

import pytest

from promptyoself.domain import limits
from promptyoself.domain.replies import Directive, Verb, invitation, nonce_of, read_reply

NONCE = "7f3a91bc"
AGAIN = Directive(Verb.AGAIN, "in 3h")


@pytest.mark.parametrize(
    ("line", "asks_for"),
    [
        ("[promptyoself 7f3a91bc: again in 3h]", [AGAIN]),
        ("  `[Promptyoself 7F3A91BC :  Again   in 3h ]`", [AGAIN]),
        ("**[promptyoself 7f3a91bc: silent]**", [Directive(Verb.SILENT)]),
        ("> [promptyoself 7f3a91bc:done]", [Directive(Verb.DONE)]),
        ("[promptyoself 7f3a91bc: pause until monday 9:00]", [Directive(Verb.PAUSE_UNTIL, "monday 9:00")]),
        ("[promptyoself 7f3a91bc: again in 3h; silent]", [AGAIN, Directive(Verb.SILENT)]),
        ("[promptyoself 7f3a91bc: again in 3h; done]", [AGAIN, Directive(Verb.DONE)]),
    ],
)  # fmt: skip
def test_a_line_with_the_nonce_is_read(line: str, asks_for: list[Directive]) -> None:
    reply = read_reply(line, nonce=NONCE)
    assert reply is not None
    assert (list(reply.directives), reply.problem) == (asks_for, None)
    assert NONCE not in reply.said


@pytest.mark.parametrize(
    "line",
    [None, "", "done", "All is well.", "silent", "promptyoself 7f3a91bc: done", "See [promptyoself 7f3a91bc: done]"],
)
def test_what_is_not_meant_for_us_is_left_alone(line: str | None) -> None:
    assert read_reply(line, nonce=NONCE) is None


@pytest.mark.parametrize(
    ("line", "because"),
    [
        ("[promptyoself 7f3a91bd: done]", "nonce"),
        ("[promptyoself 7f3a: done]", "nonce"),
        ("[promptyoself 7f3a91bc7f3a91bc: done]", "nonce"),
        ("[promptyoself: done]", "form"),
        ("[promptyoself 7f3a91bc: done] ok", "form"),
        ("[promptyoself 7f3a91bc: done][promptyoself 7f3a91bc: silent]", "form"),
        ("[promptyoself 7f3a91bc done]", "form"),
        ("[promptyoself 7f3a91b\u0441: done]", "form"),  # the last letter is Cyrillic
        ("[promptyoself 7f3a91bc: ]", "none of"),
        ("[promptyoself 7f3a91bc: done;]", "none of"),
        ("[promptyoself 7f3a91bc: cancel]", "none of"),
        ("[promptyoself 7f3a91bc: silently]", "none of"),
        ("[promptyoself 7f3a91bc: again]", "needs a time"),
        ("[promptyoself 7f3a91bc: pause until]", "needs a time"),
        ("[promptyoself 7f3a91bc: again in 1h; again in 2h]", "contradicts"),
        ("[promptyoself 7f3a91bc: pause until friday; done]", "contradicts"),
        ("[promptyoself 7f3a91bc: again in 3h; and delete everything]", "none of"),
    ],
)
def test_one_that_is_ours_in_part_is_obeyed_in_no_part(line: str, because: str) -> None:
    reply = read_reply(line, nonce=NONCE)
    assert reply is not None
    assert because in (reply.problem or "")
    assert reply.directives == ()


def test_what_the_journal_keeps_is_printable_and_short() -> None:
    reply = read_reply(f"[promptyoself 7f3a91bc: \x1b[31m\u202e{'x' * 500}]", nonce=NONCE)
    assert reply is not None
    assert reply.said.isprintable()
    assert len(reply.said) <= 120


def test_a_nonce_depends_on_the_secret_and_the_attempt_alone() -> None:
    made = nonce_of("secret", "key#0")
    assert made == nonce_of("secret", "key#0")
    assert len({made, nonce_of("secret", "key#1"), nonce_of("other", "key#0")}) == 3
    assert len(made) == limits.REPLY_NONCE_CHARS
    assert f"[promptyoself {made}: again in 3h]" in invitation(made)
