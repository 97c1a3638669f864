"""`db move` and `db restored` at the command line: what they answer, what they tell meanwhile, and who may ask."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from promptyoself.application import planner
from tests.interfaces.world import Door

ENDS = ("--from", "p.db", "--to", "postgresql://host/db")


def test_a_program_gets_what_was_compared_and_stderr_how_it_goes(door: Door) -> None:
    answer = door.call("db", "move", *ENDS)
    assert answer.code == 0
    assert answer.err == "leaving p.db\n"
    document = answer.json
    assert (document["moved_from"], document["moved_to"], document["rows"]) == ("p.db", "postgresql://host/db", 5)
    assert document["tables"][0] == {"table": "schedules", "rows": 2, "checksum": "0" * 32}


def test_a_person_gets_a_table_and_what_to_do_next(door: Door) -> None:
    answer = door.call("db", "move", *ENDS, is_tty=True)
    assert "schedules" in answer.out
    assert "Set PROMPTYOSELF_DB to it" in " ".join(answer.out.split())


def test_requests_are_waited_for_a_minute_unless_told_otherwise(door: Door) -> None:
    door.ok("db", "move", *ENDS)
    assert door.services.waited == timedelta(minutes=1)
    door.ok("db", "move", *ENDS, "--wait", "0")
    assert door.services.waited == timedelta(0)


def test_taking_it_back_says_who_goes_on(door: Door) -> None:
    document = door.ok("db", "move", *ENDS, "--undo")
    assert (document["moved_to"], document["tables"]) == (None, [])
    assert document["message"].startswith("p.db goes on")


def test_both_ends_are_needed(door: Door) -> None:
    assert "from" in door.refused("db", "move", "--to", "postgresql://host/db", code=2)["error"]


def test_it_is_for_operators(door: Door) -> None:
    door.services.owner = "agent-1"
    assert door.refused("db", "move", *ENDS)["code"] == "forbidden"


# -- db restored --------------------------------------------------------------------------------------------

EVERY_HOUR = ("register", "--agent-id", "agent-1", "--prompt", "stretch", "--every", "60m", "--target", "inbox")
CLOCK = "2026-03-02T{}:00+00:00"


@pytest.fixture
def copied(door: Door) -> Door:
    """A copy of 08:00 with a schedule that was due at 09:00, restored at half past nine; one of two tokens is valid."""
    door.services.clock.at -= timedelta(hours=1)
    door.ok(*EVERY_HOUR)
    door.ok("token", "create", "--agent-id", "agent-1", "--name", "laptop")
    door.ok("token", "create", "--operator")
    door.ok("token", "revoke", "--id", "2")
    door.services.clock.at += timedelta(minutes=90)
    return door


def test_a_program_is_told_what_is_looked_for_which_ids_are_left_out_and_which_tokens_are_valid(copied: Door) -> None:
    document = copied.ok("db", "restored", "--in-use-until", "2026-03-02T09:20:00")
    assert (document["in_use_until"], document["was_known_until"]) == (CLOCK.format("09:20"), None)
    assert document["looked_for_first"] == {"deliveries": 0, "in_flight": 0, "schedules": 1}
    assert {"table": "schedules", "was": 1, "now": 100_001} in document["ids_left_out"]
    assert [(one["id"], one["agent_id"], one["name"]) for one in document["tokens"]] == [(1, "agent-1", "laptop")]
    assert "pys_" not in json.dumps(document)
    assert "1 token is valid" in document["message"]
    assert copied.ok(*EVERY_HOUR)["id"] == 100_002


def test_saying_so_twice_does_no_harm_and_is_told(copied: Door) -> None:
    copied.ok("db", "restored")
    again = copied.ok("db", "restored", "--in-use-until", "2026-03-02T08:10:00Z")
    assert (again["in_use_until"], again["was_known_until"]) == (CLOCK.format("09:30"),) * 2
    assert "It had been said before" in again["message"]
    assert {"table": "deliveries", "was": 100_000, "now": 200_000} in again["ids_left_out"]


def test_a_person_gets_tables_and_a_sentence(copied: Door) -> None:
    answer = copied.call("db", "restored", is_tty=True)
    said = " ".join(answer.out.split())
    assert "schedules 1 100002" in said
    assert "laptop" in said
    assert "may be started on" in said


def test_an_instant_to_come_is_refused(copied: Door) -> None:
    assert "still to come" in copied.refused("db", "restored", "--in-use-until", "2026-03-02T10:00:00Z")["error"]


def test_journal_why_and_doctor_tell_of_it(copied: Door) -> None:
    copied.ok("db", "restored")
    told = copied.ok("journal")["events"]
    assert [one["event"] for one in told][-1] == "restored"
    assert "registered" in [one["event"] for one in told]  # of before the ids that were left out
    assert "looked for at its target" in told[-1]["sentence"]
    with copied.services.store.transaction() as tx:
        assert planner.plan_batch(tx, now=copied.services.clock.now(), store_uid="0" * 32).opened == 1
    assert "may have gone out before the database was restored" in " ".join(copied.ok("why", "--id", "1")["sentences"])
    checks = {one["name"]: one["found"] for one in copied.call("doctor").json["checks"]}
    assert checks["restored"].endswith("1 prompts and 0 schedules wait")


def test_a_restore_is_for_operators_to_tell_of(copied: Door) -> None:
    copied.services.owner = "agent-1"
    assert copied.refused("db", "restored")["code"] == "forbidden"
