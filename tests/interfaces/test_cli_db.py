"""`db move` at the command line: what it answers, what it tells meanwhile, and who may ask."""

from __future__ import annotations

from datetime import timedelta

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
