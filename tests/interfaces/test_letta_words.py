"""What Letta's schedule routes read out of a request, without a server around: instants, rules, messages, paths."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, InvalidTrigger, PromptyoselfError, TargetRefused
from promptyoself.interfaces.http.letta import headers, instants, orders, paths
from promptyoself.interfaces.http.letta.instants import read_scheduled_at
from promptyoself.interfaces.http.letta.repeats import Repeats, digest_of, is_repeat
from promptyoself.interfaces.http.letta.wording import in_lettas_words
from promptyoself.interfaces.identity import Identity
from tests.interfaces.world import StillClock

NEW_YEAR_2030 = datetime(2030, 1, 1, tzinfo=UTC)
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("number", "at"),
    [
        (1_893_456_000, NEW_YEAR_2030),
        (1_893_456_000.0, NEW_YEAR_2030),
        (1_893_456_000_000, NEW_YEAR_2030),
        (1.893456e12, NEW_YEAR_2030),
        (1_893_456_000_000.25, NEW_YEAR_2030.replace(microsecond=250)),
        (1_893_456_000.5, NEW_YEAR_2030.replace(microsecond=500_000)),
        (10**9, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        (10**12, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        (10**11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        (instants.MILLISECONDS_MAX, datetime(9999, 12, 30, tzinfo=UTC)),
    ],
)
def test_milliseconds_and_seconds_are_told_apart_by_size(number: float, at: datetime) -> None:
    assert read_scheduled_at(number) == at


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (0, "before the year 2001"),
        (-1_893_456_000_000, "before the year 2001"),
        (10**9 - 1, "before the year 2001"),
        (999_999_999.9, "before the year 2001"),
        (10**11, "ambiguous"),
        (10**12 - 1, "ambiguous"),
        (instants.MILLISECONDS_MAX + 1, "after the year 9999"),
        (1_893_456_000_000_000, "microseconds"),
        (1_893_456_000_000_000_000, "nanoseconds"),
        pytest.param(10**4000, "more than 30 digits", id="4000 digits"),
        (1e300, "after the year 9999"),
        (math.inf, "no time"),
        (math.nan, "no time"),
        (True, "a number"),
        ("1893456000000", "a number"),
        ("2030-01-01T00:00:00Z", "a number"),
        ([1], "a number"),
        ("x" * 10_000, "a number"),
    ],
)
def test_what_is_no_instant_is_refused_with_a_short_sentence(number: object, sentence: str) -> None:
    with pytest.raises(InvalidTrigger, match=sentence) as refused:
        read_scheduled_at(number)
    assert refused.value.hint is not None
    assert "milliseconds" in refused.value.hint
    assert len(refused.value.message) < 150


@given(st.datetimes(min_value=datetime(2001, 9, 10), max_value=datetime(5138, 11, 16), timezones=st.just(UTC)))  # noqa: DTZ001  hypothesis adds the zone
def test_one_instant_in_both_units_is_one_instant(at: datetime) -> None:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    milliseconds = instants.milliseconds(at)
    assert read_scheduled_at(milliseconds) == at
    assert read_scheduled_at(int(at.timestamp())) == at.replace(microsecond=0)


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.integers(10**8, 10**17))
def test_any_number_is_an_instant_or_a_refusal(number: float) -> None:
    try:
        at = read_scheduled_at(number)
    except InvalidTrigger:
        return
    assert 2001 <= at.year <= 9999


def order(**body: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    query = body.pop("query", {})
    return orders.read_order(
        "agent-1", {"messages": HELLO, "schedule": {"scheduled_at": 1_893_456_000_000}} | body, query
    )


def test_a_plain_message_is_a_prompt_and_utc_is_the_zone() -> None:
    assert {key: value for key, value in order().items() if value is not None} == {
        "agent_id": "agent-1",
        "target": "letta",
        "time": "2030-01-01T00:00:00+00:00",
        "timezone": "UTC",
        "prompt": "hello",
    }


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": "x", "otid": "o"},
        {"role": "user", "content": "x", "name": "Ada"},
    ],
)
def test_any_other_message_is_a_content(message: dict[str, Any]) -> None:
    made = order(messages=[message])
    assert json.loads(made["content"]) == {"messages": [message]}
    assert made.get("prompt") is None


def test_options_beside_a_plain_message_are_a_content_without_messages() -> None:
    made = order(max_steps=3.0, callback_url="https://example.com/", include_return_message_types=None)
    assert made["prompt"] == "hello"
    assert json.loads(made["content"]) == {"max_steps": 3.0, "callback_url": "https://example.com/"}


@pytest.mark.parametrize(
    ("said", "option"),
    [
        ("0 9 * * *", {"cron": "0 9 * * *"}),
        (" @daily ", {"cron": "@daily"}),
        ("@every 45m", {"every": "45m"}),
        ("@EVERY  90s", {"every": "90s"}),
        ("FREQ=DAILY", {"rrule": "FREQ=DAILY"}),
        ("RRULE:FREQ=DAILY", {"rrule": "RRULE:FREQ=DAILY"}),
        ("DTSTART:20300101T000000\nRRULE:FREQ=DAILY", {"rrule": "DTSTART:20300101T000000\nRRULE:FREQ=DAILY"}),
    ],
)
def test_a_recurring_schedule_is_read_by_how_it_begins(said: str, option: dict[str, str]) -> None:
    made = order(schedule={"type": "recurring", "cron_expression": said})
    assert {key: made.get(key) for key in ("cron", "every", "rrule") if made.get(key)} == option


@pytest.mark.parametrize("place", ["body", "query", "both"])
def test_zone_and_conversation_may_stand_in_body_or_query(place: str) -> None:
    schedule = {"scheduled_at": 1_893_456_000_000}
    body: dict[str, Any] = {"schedule": schedule}
    if place != "query":
        body = {"schedule": schedule | {"timezone": "Europe/Riga"}, "conversation_id": "conv-1"}
    query = {"timezone": "Europe/Riga", "conversation_id": "conv-1"} if place != "body" else {}
    made = order(**body, query=query)
    assert (made["timezone"], made["conversation"]) == ("Europe/Riga", "conv-1")


def test_the_default_conversation_is_the_agents_own_thread() -> None:
    assert order(conversation_id="default")["conversation"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"schedule": None},
        {"schedule": []},
        {"schedule": {}},
        {"schedule": {"type": "one-time"}},
        {"schedule": {"type": "weekly", "scheduled_at": 1_893_456_000_000}},
        {"schedule": {"type": "recurring", "scheduled_at": 1_893_456_000_000}},
        {"schedule": {"type": "one-time", "cron_expression": "0 9 * * *"}},
        {"schedule": {"scheduled_at": 1_893_456_000_000, "cron_expression": "0 9 * * *"}},
        {"schedule": {"type": "recurring", "cron_expression": ["0 9 * * *"]}},
        {"schedule": {"type": "recurring", "cron_expression": " "}},
        {"schedule": {"type": ["recurring"], "cron_expression": "0 9 * * *"}},
        {"messages": None},
        {"conversation_id": 7},
        {"conversation_id": "a", "query": {"conversation_id": "b"}},
        {"schedule": {"scheduled_at": 1_893_456_000_000, "timezone": 2}},
    ],
)
def test_an_order_that_contradicts_itself_or_says_too_little_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        order(**body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"\xff",
        b"[" * 100_000,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        orders.read_json(body)


@pytest.mark.parametrize(
    "path",
    ["/v1/agents/", "/v1/agents/a%2Fb", "/v1/x%20y", "/v1/100%25", "/v1/a..b/...", "/v1", "/v1/%C3%BC", "/v1/a:b@c;d"],
)
def test_a_plain_path_goes_on_as_it_is(path: str) -> None:
    assert paths.target("http://letta/base", path.encode(), b"a=%2e") == f"http://letta/base{path}?a=%2e"


STEPS = (
    ".",
    "..",
    "/",
    "\\",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "%252e",
    "%252F",
    "%25252e",
    "%25252f",
    "%25",
    "a",
    ";",
    "v1",
)
"""What paths that lead elsewhere are made of, escaped once, twice and three times."""


@given(st.lists(st.sampled_from(STEPS), max_size=10).map("".join))
@example("%2e%2e/x")
@example("%252e%252e/x")
@example("%25252e%25252e/x")
@example("a/..%2f../x")
@example("..\\x")
@example("a%2f%2fx")
def test_no_path_leaves_v1(text: str) -> None:
    try:
        url = paths.target("http://letta", f"/v1/{text}".encode(), b"")
    except InvalidInput:
        return
    path = url.removeprefix("http://letta")
    for _ in range(4):
        for read in (path, path.replace("\\", "/")):
            assert PurePosixPath(normpath(read)).is_relative_to("/v1"), "as a server may read it"
            assert "//" not in read
        path = unquote(path)


class Caller:
    """A caller that is there, until it hangs up."""

    has_gone = False

    async def is_gone(self) -> bool:
        return self.has_gone


def test_a_lost_creation_is_taken_once_by_its_like_and_not_for_ever() -> None:
    async def scene() -> None:
        clock, caller = StillClock(), Caller()
        known = Repeats(clock)
        known.begin("first", b"a", caller.is_gone)
        assert await known.take(b"a") is None, "its caller still waits"
        caller.has_gone = True
        await known.end("first")
        assert await known.take(b"b") is None, "another request"
        assert await known.take(b"a") == "first"
        assert await known.take(b"a") is None, "it stands for one"
        known.begin("old", b"a", caller.is_gone)
        clock.at += limits.REPEATED_FOR + timedelta(seconds=1)
        assert await known.take(b"a") is None
        for number in range(limits.REPEATS_KEPT_MAX + 1):
            known.begin(str(number), b"a", caller.is_gone)
        assert await known.take(b"a") == "1", "the oldest is dropped"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("count", "repeated"), [(None, False), ("0", False), ("1", True), ("2", True), ("x", False), ("\u0661", False)]
)
def test_clients_number_their_attempts(count: str | None, repeated: bool) -> None:  # noqa: FBT001  a column of the table
    assert is_repeat(count) is repeated


def test_a_request_is_told_from_every_other() -> None:
    asked = (Identity("agent-1", "token 1"), "/v1/agents/agent-1/schedule?", b"{}")
    others = [
        (Identity("agent-1", "token 2"), asked[1], asked[2]),
        (Identity("agent-2", "token 1"), asked[1], asked[2]),
        (asked[0], asked[1] + "timezone=UTC", asked[2]),
        (asked[0], asked[1], b"{ }"),
        (asked[0], asked[1] + "{", b"}"),
    ]
    assert len({digest_of(*one) for one in [asked, *others]}) == 1 + len(others)


SPOKEN = {
    "give an interval: --every 5m": 'write "cron_expression": "@every 5m"',
    "such as --every 90s or --every 5m": 'such as "cron_expression": "@every 90s" or "cron_expression": "@every 5m"',
    "--rrule 'FREQ=DAILY' is plain": '"cron_expression": "RRULE:FREQ=DAILY" is plain',
    "beside it, with --timezone": "beside it, with schedule.timezone",
    "bound it with --start-at and --end-at": "bound it with start_at and end_at of POST /api/v1/schedules",
    "give --prompt with the text": "give messages with the text",
    "agent x is not there; --skip-validation stores it all the same": "agent x is not there",
    "`promptyoself agents` lists them": "GET /v1/agents/ lists them",
    "an unknown --name": "an unknown name",
}


@pytest.mark.parametrize(("of_ours", "of_lettas"), SPOKEN.items())
def test_options_become_keys_of_lettas_requests(of_ours: str, of_lettas: str) -> None:
    assert in_lettas_words(of_ours) == of_lettas


@pytest.mark.parametrize(
    "moved", ["https://h/letta/v1/a/?b=1", "http://h/letta/v1/a/?b=1", "https://H/v1/a/?b=1", "/v1/a/?b=1"]
)
def test_a_redirect_below_a_base_with_a_path_becomes_a_path_of_ours(moved: str) -> None:
    assert paths.location("https://h/letta", moved) == "/v1/a/?b=1"


@pytest.mark.parametrize(
    "moved", ["https://h:8443/letta/v1/", "https://h/other/v1/", "ftp://h/v1/", "https:/v1/a", "http://u@h/v1/"]
)
def test_a_redirect_elsewhere_is_refused(moved: str) -> None:
    with pytest.raises(TargetRefused):
        paths.location("https://h/letta", moved)


@given(st.binary(max_size=80))
def test_any_header_can_be_looked_at(value: bytes) -> None:
    try:
        assert headers.holds_own_token([(b"authorization", b"Basic " + value)], value) in {True, False}
    except PromptyoselfError:
        pytest.fail("a look refuses nothing")
