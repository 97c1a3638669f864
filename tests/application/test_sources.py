"""Readers of other programs' schedules: what each line, task and row becomes, and the sentence for each refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptyoself.application.transfer.crontab import read_crontab
from promptyoself.application.transfer.documents import parse_json
from promptyoself.application.transfer.entries import Entry
from promptyoself.application.transfer.exported import read_exported
from promptyoself.application.transfer.letta_cron import read_letta_cron
from promptyoself.application.transfer.older import OlderFile, read_older
from promptyoself.domain.errors import InvalidInput


def one(text: str) -> Entry:
    reading = read_crontab(text)
    (entry,) = reading.entries
    assert not reading.refused
    return entry


# -- crontab ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "prompt"),
    [
        ("say hello", "say hello"),
        ("  say   hello ", "say   hello "),
        ("at 100%% then", "at 100"),
        (r"at 100\% then", "at 100% then"),
        (r"a\%b%c\%d", "a%b"),
        ("tab\tstays", "tab\tstays"),
        (r"back\slash", r"back\slash"),
    ],
)
def test_the_command_is_the_prompt_up_to_its_first_bare_percent(command: str, prompt: str) -> None:
    assert one(f"0 9 * * *  {command}").request.prompt == prompt.lstrip()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("0  9 * *\t1-5 x", "0 9 * * 1-5"),
        ("   */5 * * jan,feb SUN x", "*/5 * * jan,feb SUN"),
        ("@daily x", "@daily"),
        ("@Hourly\tx", "@Hourly"),
    ],
)
def test_the_rule_is_the_fields_or_the_alias(line: str, rule: str) -> None:
    assert one(line).request.cron == rule


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot x", "@reboot"),
        ("@sometimes x", "no time of crontab"),
        ("0 9 * * *", "no crontab line"),
        ("hello", "no crontab line"),
        ("0 9 * * $ x", "no time of crontab"),
    ],
)
def test_a_line_that_is_none_is_refused_and_the_others_stand(line: str, why: str) -> None:
    reading = read_crontab(f"0 1 * * * before\n{line}\n0 2 * * * after")
    assert [entry.request.prompt for entry in reading.entries] == ["before", "after"]
    (refused,) = reading.refused
    assert refused.line == 2
    assert why in refused.reason


def test_a_zone_holds_for_the_lines_below_it() -> None:
    reading = read_crontab('0 1 * * * a\nCRON_TZ = "Europe/Riga"\n0 1 * * * b\nCRON_TZ=No/Where\n0 1 * * * c')
    assert [(entry.request.prompt, entry.request.timezone) for entry in reading.entries] == [
        ("a", None),
        ("b", "Europe/Riga"),
    ]
    assert "CRON_TZ in line 4" in reading.refused[0].reason


def test_other_variables_are_left_out_aloud() -> None:
    assert ["MAILTO" in warning for warning in read_crontab("MAILTO=a@example.org\n0 1 * * * x").warnings] == [True]


@pytest.mark.parametrize(
    ("above", "name"),
    [("# Morning look", "Morning look"), ("# 0 5 * * * old", None), ("# far\n", None), ("", None), ("#", None)],
)
def test_a_comment_right_above_is_the_name(above: str, name: str | None) -> None:
    assert one(f"{above}\n0 1 * * * x").request.name == name


def test_a_user_column_is_warned_of() -> None:
    assert "user column" in one("0 1 * * * root /usr/bin/true").warnings[0]


def test_a_key_is_the_commands_and_not_the_times() -> None:
    early, late = one("0 1 * * * say  hello"), one("# named\nCRON_TZ=Europe/Riga\n@daily say hello")
    assert early.key == late.key != one("0 1 * * * say goodbye").key


def test_equal_lines_stay_two() -> None:
    keys = [entry.key for entry in read_crontab("0 1 * * * x\n0 1 * * * x").entries]
    assert keys[1] == f"{keys[0]}:2"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_line_by_line(text: str) -> None:
    reading = read_crontab(text)
    assert all(refused.reason for refused in reading.refused)


# -- letta-cron ---------------------------------------------------------------------------------------------


def task(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  any member
    return {
        "id": "1a2b3c4d",
        "agent_id": "agent-1",
        "conversation_id": "new",
        "name": "look",
        "description": "",
        "cron": "*/5 * * * *",
        "timezone": "Europe/Riga",
        "recurring": True,
        "prompt": "Look.",
        "status": "active",
        "expires_at": None,
        "fire_count": 3,
        "jitter_offset_ms": 4000,
        "scheduled_for": None,
    } | changes


def crons(*tasks: object, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  any member
    return {"version": 1, "scheduler_owner": None, "tasks": list(tasks)} | changes


def test_a_task_becomes_an_entry_under_its_id() -> None:
    (entry,) = read_letta_cron(crons(task())).entries
    request = entry.request
    assert (entry.key, entry.source) == ("letta-cron:1a2b3c4d", "task 1a2b3c4d")
    assert (request.agent_id, request.prompt, request.cron) == ("agent-1", "Look.", "*/5 * * * *")
    assert (request.timezone, request.name, request.conversation) == ("Europe/Riga", "look", "new")


def test_a_one_off_fires_at_scheduled_for_in_utc() -> None:
    at = task(recurring=False, cron="30 9 1 3 *", scheduled_for="2030-03-01T07:30:00.000Z")
    (entry,) = read_letta_cron(crons(at)).entries
    assert (entry.request.time, entry.request.cron) == ("2030-03-01T07:30:00+00:00", None)


def test_the_default_conversation_is_the_agents_own() -> None:
    assert read_letta_cron(crons(task(conversation_id="default"))).entries[0].request.conversation is None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("0 9 */10 * *", "0 9 10,20,30 * *"),
        ("0 9 1 */5 1", "0 9 1 5,10 1"),
        ("0 9 1,*/15 * *", "0 9 1,15,30 * *"),
        ("*/7 */3 */1 * *", "*/7 */3 * * *"),
    ],
)
def test_steps_of_days_and_months_count_from_zero_there(theirs: str, ours: str) -> None:
    assert read_letta_cron(crons(task(cron=theirs))).entries[0].request.cron == ours


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "cancelled"}, "'cancelled' there"),
        ({"status": 7}, "status is '7'"),
        ({"prompt": ""}, "no prompt"),
        ({"id": None}, "no id"),
        ({"cron": None}, "no cron"),
        ({"cron": "0 9 */0 * *"}, "step */0"),
        ({"recurring": "yes"}, "recurring"),
        ({"recurring": False}, "scheduled_for"),
        ({"recurring": False, "scheduled_for": "soon"}, "ISO 8601"),
        ({"agent_id": ["a"]}, "agent_id"),
    ],
)
def test_a_task_that_cannot_be_taken_says_why(changes: dict[str, Any], why: str) -> None:
    reading = read_letta_cron(crons(task(**changes), task(id="other")))
    assert len(reading.entries) == 1
    assert why in reading.refused[0].reason


@pytest.mark.parametrize("document", [None, [], {}, {"jobs": []}, {"tasks": {}}, {"tasks": [], "version": 2}, "x", 3])
def test_another_shape_is_refused_with_what_was_found(document: object) -> None:
    with pytest.raises(InvalidInput, match=r"it is|its version"):
        read_letta_cron(document)


def test_two_schedulers_at_once_are_warned_of() -> None:
    assert "both will deliver" in read_letta_cron(crons(task(), scheduler_owner={"pid": 42})).warnings[0]


# -- PromptYoSelfFAST ---------------------------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  any column
    return {
        "table": "unified_reminders",
        "id": 7,
        "message": "Stretch.",
        "agent_id": "agent-1",
        "schedule_type": "interval",
        "schedule_value": "5m",
        "next_run": "2026-03-02 09:03:00.000000",
        "active": 1,
        "max_repetitions": None,
        "repetition_count": 4,
        "created_at": "2025-08-29 10:00:00.123456",
    } | changes


def older(*rows: dict[str, Any]) -> Any:  # noqa: ANN401  a Reading
    return read_older(OlderFile(rows=rows, is_in_use=False))


def test_an_interval_keeps_its_beat() -> None:
    (entry,) = older(row()).entries
    assert entry.request.every == "5m"
    assert entry.anchor_at == datetime(2026, 3, 2, 8, 58, tzinfo=UTC)


def test_a_bare_number_is_seconds_and_cron_is_utc() -> None:
    assert older(row(schedule_value="90")).entries[0].request.every == "90s"
    request = older(row(schedule_type="cron", schedule_value="0 9 * * 1")).entries[0].request
    assert (request.cron, request.timezone) == ("0 9 * * 1", "UTC")


def test_seconds_move_from_the_sixth_field_to_the_first() -> None:
    (entry,) = older(row(schedule_type="cron", schedule_value="0 9 * * 1 30")).entries
    assert entry.request.cron == "30 0 9 * * 1"
    assert "seconds" in entry.warnings[0]


def test_a_once_fires_when_its_caller_meant() -> None:
    naive = row(schedule_type="once", schedule_value="2030-01-01T10:00", next_run="2030-01-01 10:00:00.000000")
    assert older(naive).entries[0].request.time == "2030-01-01T10:00:00+00:00"
    (meant,) = older(naive | {"schedule_value": "2030-01-01T10:00:00+02:00"}).entries
    assert meant.request.time == "2030-01-01T08:00:00+00:00"
    assert "dropped the offset" in meant.warnings[0]


def test_repetitions_go_on_where_they_were() -> None:
    (entry,) = older(row(max_repetitions=5)).entries
    assert (entry.request.max_repetitions, entry.fire_count) == (5, 4)
    assert "used up" in older(row(max_repetitions=4)).refused[0].reason


def test_a_key_tells_rows_of_two_files_apart_and_survives_a_move() -> None:
    assert older(row()).entries[0].key == older(row(schedule_value="9m", repetition_count=9)).entries[0].key
    assert older(row()).entries[0].key != older(row(created_at="2025-08-30 10:00:00.000000")).entries[0].key


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"active": 0}, "not active"),
        ({"message": None}, "no prompt"),
        ({"schedule_type": "simple", "schedule_value": None}, "schedule_type"),
        ({"schedule_value": "-5m"}, "interval"),
        ({"next_run": 12}, "next_run"),
        ({"schedule_type": "once", "schedule_value": None, "next_run": None}, "when"),
        ({"repetition_count": -1}, "repetition_count"),
        ({"message": b"\xff"}, "message"),
    ],
)
def test_a_row_that_cannot_be_taken_says_why(changes: dict[str, Any], why: str) -> None:
    reading = older(row(**changes), row(id=8))
    assert len(reading.entries) == 1
    assert why in reading.refused[0].reason


# -- JSON of others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a":1,"a":2}', "NaN", '{"n":-Infinity}', f"[{'9' * 5000}]", '{"a":"\x01"}', "\ufeff{}"],
)
def test_hostile_json_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="it is"):
        parse_json(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
WRITTEN: dict[str, Any] = {
    "uid": "0" * 32,
    "agent_id": "agent-1",
    "prompt": "x",
    "trigger": {"kind": "cron", "expression": "* * * * *", "timezone": "UTC", "anchor_at": "2026-01-01T00:00:00Z"},
    "policy": {"quiet_hours": "22:00-07:00"},
}


@given(st.sampled_from([*task(), *WRITTEN, "state", "fire_count", "provenance", "paused_until"]), JSON_VALUES)
def test_any_value_anywhere_is_read_or_refused(name: str, value: object) -> None:
    assert json.dumps(value)
    for reading in (
        read_letta_cron(crons(task() | {name: value}, value)),
        read_exported(
            {"format": "promptyoself-schedules", "version": 1, "schedules": [WRITTEN | {name: value}, value]}
        ),
    ):
        assert all(refused.reason for refused in reading.refused)
