"""`simulate` through the door: what it answers, what it refuses, and that it stores nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptyoself.domain import limits
from tests.interfaces.world import Door

WEEK = ("simulate", "--for", "1w")


def register(door: Door, *words: str) -> int:
    made = door.ok("register", "--agent-id", "agent-1", "--prompt", "hi", "--target", "inbox", *words)
    return int(made["id"])


def told(door: Door, *words: str) -> dict[str, Any]:
    return door.ok("simulate", *words)


def test_sums_days_and_runs_agree(door: Door) -> None:
    register(door, "--cron", "0 9 * * mon-fri")
    register(door, "--cron", "0 23 * * *", "--quiet-hours", "22:00-07:00")
    register(door, "--every", "6h", "--quiet-hours", "22:00-07:00 skip")
    answer = told(door, "--for", "1w", "--limit", "1000")
    totals, runs = answer["totals"], answer["runs"]
    assert totals["fires"] == len(runs) == sum(day["fires"] for day in answer["days"])
    assert totals["sent"] == sum(run["sent_at"] is not None for run in runs)
    assert totals["skipped"] == totals["reasons"]["quiet hours"] == sum(run["outcome"] == "skipped" for run in runs)
    assert totals["held"] == 7
    assert len(answer["days"]) == 8
    for name in ("by_schedule", "by_agent"):
        assert sum(one["fires"] for one in totals[name]) == totals["fires"]
    assert [run["utc"] for run in runs] == sorted(run["utc"] for run in runs)


def test_it_stores_nothing(door: Door) -> None:
    register(door, "--every", "5m")
    before = door.services.store.change_mark()
    with door.services.store.reading() as tx:
        counts = tx.counts()
    told(door, "--for", "30d", "--outage", "2026-03-05T00:00/1d")
    assert door.services.store.change_mark() == before
    with door.services.store.reading() as tx:
        assert tx.counts() == counts


def test_an_outage_is_caught_up_with(door: Door) -> None:
    number = register(door, "--every", "1h")
    begin = door.services.clock.now().replace(tzinfo=None).isoformat()
    outage = f"{begin}/5h30m"
    answer = told(door, "--outage", outage, "--for", "8h", "--id", str(number))
    assert [run["outcome"] for run in answer["runs"]] == ["missed"] * 4 + ["sent"] * 4
    assert answer["runs"][4]["missed"] == 4
    assert answer["runs"][4]["late_s"] == 1800
    assert answer["totals"]["longest_wait"]["schedule_id"] == number


def test_others_of_the_agent_keep_the_one_asked_about_waiting(door: Door) -> None:
    register(door, "--cron", "0 9 * * *")
    second = register(door, "--cron", "0 9 * * *")
    (run,) = told(door, "--id", str(second), "--for", "25h", "--run-time", "2m")["runs"]
    assert (run["schedule_id"], run["late_s"]) == (second, 120)


def test_one_minute_of_one_agent_is_a_collision(door: Door) -> None:
    numbers = [register(door, "--cron", f"{minute} 9 * * *") for minute in ("0", "0", "1")]
    answer = told(door, "--for", "2d")
    assert [one["schedule_ids"] for one in answer["collisions"]] == [numbers[:2]] * 2
    assert answer["totals"]["busiest_minute"]["fires"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", "1w", "--until", "2030-01-01T00:00"], "either --until or --for"),
        (["--until", "2026-01-01T00:00"], "ends before it begins"),
        (["--until", "2040-01-01T00:00"], "further than 3660 days"),
        (["--outage", "2026-03-05T00:00"], "no end"),
        (["--outage", "2026-03-05T00:00/2026-03-04T00:00"], "ends before it begins"),
        (["--outage", "soon/8h"], "date and time"),
        (["--run-time", "2h"], "longer than 30m"),
        (["--run-time", "soon"], "run-time"),
        (["--id", "seven"], "positive whole number"),
        (["--id", "99"], "not found"),
        (["--id", "1", "--agent-id", "agent-1"], "either --id or --agent-id"),
        (["--limit", "100001"], "out of range"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(door: Door, words: list[str], said: str) -> None:
    register(door, "--every", "1h")
    answer = door.call("simulate", *words)
    assert answer.code in {1, 2}
    assert said in answer.json["error"]


def test_too_many_fire_times_are_refused_at_once_and_name_the_schedule(door: Door) -> None:
    register(door, "--every", "1h")
    number = register(door, "--every", "1s")
    assert f"schedule {number} alone" in door.refused("simulate", "--for", "3000d")["error"]


def test_too_many_fire_times_are_refused_also_when_the_first_days_hold_few(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = register(door, "--every", "1m")
    monkeypatch.setattr(limits, "FIRES_SIMULATED_MAX", 5000)
    assert f"schedule {number} alone" in door.refused("simulate", "--for", "10d")["error"]


def test_a_finished_schedule_is_refused(door: Door) -> None:
    number = register(door, "--every", "1h")
    door.ok("cancel", "--id", str(number))
    assert "does not fire again" in door.refused("simulate", "--id", str(number))["error"]


def test_an_agent_simulates_its_own_schedules_only(door: Door) -> None:
    register(door, "--every", "1h")
    door.ok("register", "--agent-id", "agent-2", "--prompt", "hi", "--target", "inbox", "--every", "2h")
    door.services.owner = "agent-2"
    answer = told(door, "--for", "1d")
    assert {run["agent_id"] for run in answer["runs"]} == {"agent-2"}
    assert "not found" in door.refused("simulate", "--id", "1")["error"]


@pytest.mark.parametrize("span", ["3d", "90d", "365d"])
def test_a_person_gets_a_table_with_bars_and_sentences(door: Door, span: str) -> None:
    register(door, "--every", "6h", "--quiet-hours", "22:00-07:00 skip")
    register(door, "--cron", "0 9 * * *", "--max-repetitions", "2")
    answer = door.call("simulate", "--for", span, "--outage", "2026-03-03T00:00/1d", is_tty=True)
    assert answer.code == 0
    assert "█" in answer.out
    assert "2 schedules" in answer.out
    assert "quiet hours" in answer.out
    assert "Schedule 2 completes" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_nothing_to_fire_is_said(door: Door) -> None:
    assert "Nothing fires" in door.call(*WEEK, is_tty=True).out
    assert json.loads(door.call(*WEEK).out)["totals"]["fires"] == 0


# -- preview and what is announced --------------------------------------------------------------------------


def test_preview_says_what_is_held_and_what_is_skipped(door: Door) -> None:
    words = ("preview", "--every", "6h", "--count", "4")
    held = door.ok(*words, "--quiet-hours", "22:00-07:00")["runs"]
    assert [run.get("sent_at", run["at"])[11:16] for run in held] == ["15:00", "21:00", "07:00", "09:00"]
    assert [run.get("held") for run in held] == [None, None, True, None]
    skipped = door.ok(*words, "--quiet-hours", "22:00-07:00 skip")
    assert ["skipped" in run for run in skipped["runs"]] == [False, False, True, False]
    assert "sent_at" not in skipped["runs"][2]
    assert "1 of these 4" in skipped["warnings"][0]
    assert "skipped: quiet hours" in door.call(*words, "--quiet-hours", "22:00-07:00 skip", is_tty=True).out
    assert len(door.ok(*words, "--max-repetitions", "2")["runs"]) == 2


def test_preview_of_a_stored_schedule_takes_its_own_rule_and_policies(door: Door) -> None:
    policies = ("--quiet-hours", "22:00-07:00", "--jitter", "10m", "--max-repetitions", "3")
    number = register(door, "--every", "6h", *policies)
    runs = door.ok("preview", "--id", str(number))["runs"]
    assert len(runs) == 3
    assert runs[2]["held"]
    (row, *_) = told(door, "--for", "1d")["runs"]
    assert runs[0]["sent_at"] == row["sent_at"] != runs[0]["at"]
    assert "either --id or --every" in door.refused("preview", "--id", "1", "--every", "1h", code=2)["error"]
    door.ok("pause", "--id", str(number), "--reason", "holiday")
    assert "paused (holiday)" in door.ok("preview", "--id", str(number))["warnings"][0]


def test_the_jitter_of_a_rule_that_is_not_stored_is_not_guessed(door: Door) -> None:
    (run,) = door.ok("preview", "--every", "6h", "--jitter", "10m", "--count", "1")["runs"]
    assert "sent_at" not in run


def test_what_is_skipped_is_announced_nowhere(door: Door) -> None:
    words = ("--cron", "0 */2 * * *", "--quiet-hours", "09:30-13:00 skip")
    made = door.ok("register", "--agent-id", "a", "--prompt", "hi", "--target", "inbox", *words)
    shown, (listed,) = door.ok("show", "--id", "1"), door.ok("list")["schedules"]
    first = "2026-03-02T14:00:00+00:00"
    assert made["next_run"] == made["next_runs"][0] == shown["next_runs"][0] == listed["next_run"] == first
    assert shown["schedule"]["next_run"] == first
    assert "14:00" in made["message"]
    assert any("2 of the next 5 fire times are skipped" in warning for warning in made["warnings"])


def test_a_schedule_that_would_never_send_is_warned_of_loudly(door: Door) -> None:
    words = ("--cron", "0 23 * * *", "--quiet-hours", "22:00-07:00 skip")
    made = door.ok("register", "--agent-id", "a", "--prompt", "hi", "--target", "inbox", *words)
    assert made["warnings"][0].startswith("NOTHING WOULD EVER BE SENT")
    assert (made["next_run"], made["next_runs"]) == (None, [])
    assert "Every fire time is skipped" in made["message"]
    assert any("every fire time that can be seen is skipped" in one for one in door.ok("why", "--id", "1")["sentences"])


def test_the_busiest_minute_counts_what_an_outage_delayed(door: Door) -> None:
    """Three fire at 12:00 and two at 15:00; noon falls into the outage."""
    for rule in ("0 12,15 * * *", "0 12,15 * * *", "0 12 * * *"):
        register(door, "--cron", rule)
    begin = door.services.clock.now().replace(tzinfo=None).isoformat()
    answer = told(door, "--for", "12h", "--outage", f"{begin}/4h30m")
    assert answer["totals"]["busiest_minute"] == {"at": "2026-03-02T12:00:00+00:00", "fires": 3}
    assert [one["fires"] for one in answer["collisions"]] == [3, 2]


def test_a_date_alone_is_a_whole_day_where_a_span_is_meant(door: Door) -> None:
    number = register(door, "--cron", "0 */6 * * *", "--timezone", "Europe/Riga")
    door.services.timezone = "Europe/Riga"
    answer = told(door, "--from", "2026-03-28", "--until", "2026-03-29")
    assert (answer["from"], answer["until"]) == ("2026-03-28T00:00:00+02:00", "2026-03-29T23:59:59+03:00")
    assert [day["fires"] for day in answer["days"]] == [4, 4]
    week = told(door, "--from", "2026-03-28", "--for", "2d")
    assert (week["until"], len(week["days"])) == (answer["until"], 2)
    assert told(door, "--from", "2026-03-28", "--for", "25h")["until"] == "2026-03-29T01:00:00+02:00"
    shown = door.ok("preview", "--id", str(number), "--from", "2026-03-29", "--until", "2026-03-29")
    assert [run["at"][11:16] for run in shown["runs"]] == ["00:00", "06:00", "12:00", "18:00"]
    feed = door.ok("export", "--format", "ics", "--from", "2026-03-29", "--until", "2026-03-29")
    assert (feed["count"], feed["until"]) == (4, "2026-03-29T23:59:59+03:00")
    dark = told(door, "--for", "5d", "--outage", "2026-03-03/2026-03-04")
    assert [run["at"][8:13] for run in dark["runs"] if run["outcome"] == "missed"][-1] == "04T18"
    assert [run["sent_at"] for run in dark["runs"] if run["missed"]] == ["2026-03-05T00:00:00+02:00"]
    for wrong in ("2027-02-30", "1066-10-14"):
        assert wrong in door.refused("simulate", "--from", wrong)["error"]
    assert "without a time of day" in door.refused("pause", "--id", str(number), "--until", "2027-03-26")["error"]


def test_what_was_skipped_by_hand_is_shown_as_skipped(door: Door) -> None:
    register(door, "--cron", "0 9 * * *")
    register(door, "--cron", "0 9 * * *")
    door.ok("skip", "--id", "1", "--count", "2", "--reason", "away")
    answer = told(door, "--for", "3d", "--limit", "100")
    reason = "skipped by operator via cli: away"
    mine = [(run["at"][8:10], run["outcome"], run["reason"]) for run in answer["runs"] if run["schedule_id"] == 1]
    assert mine == [("03", "skipped", reason), ("04", "skipped", reason), ("05", "sent", None)]
    assert answer["totals"]["reasons"] == {"skipped by operator via cli": 2}
    assert (answer["totals"]["fires"], answer["totals"]["skipped"], answer["runs_left_out"]) == (6, 2, 0)
    assert answer["totals"]["crowded_minutes"] == 3
    assert [run["delivery_id"] for run in answer["runs"][:3]] == [1, None, 2]
    assert told(door, "--from", "2026-03-04T12:00", "--for", "2d")["totals"]["skipped"] == 0
    told_of = door.ok("preview", "--id", "1")
    assert "up to Wed 09:00 UTC (in 2 d) were skipped or put off by hand" in told_of["warnings"][0]


def test_what_is_dealt_with_before_the_span_begins_is_not_left_over(door: Door) -> None:
    register(door, "--every", "1h")
    door.ok("snooze", "--id", "1", "--for", "10m")
    door.ok("run-now", "--id", "1")
    assert told(door, "--for", "3h")["totals"]["carried_over"] == 2
    later = told(door, "--from", "2026-03-04", "--for", "1d", "--limit", "100")
    assert (later["totals"]["carried_over"], later["runs_left_out"]) == (0, 0)
    assert {run["at"][:10] for run in later["runs"]} == {"2026-03-04"}
    out = door.call("simulate", "--from", "2026-03-02T10:05", "--for", "50m", is_tty=True).out
    assert "1 prompt is left over from before it begins." in out


def test_a_skip_is_shown_also_where_nothing_else_comes_to_pass(door: Door) -> None:
    register(door, "--cron", "0 9 * * *")
    door.ok("skip", "--id", "1")
    assert told(door, "--for", "1d")["totals"]["reasons"] == {"skipped by operator via cli": 1}
