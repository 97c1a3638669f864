"""More than a prompt at the command line: given as JSON, shown as it was, edited, exported and imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.interfaces.world import Door

AGENT = ("--agent-id", "agent-1")
HOURLY = ("--every", "1h", "--target", "inbox")
SAID = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}], "name": "ann"},
    ],
    "max_steps": 3,
    "callback_url": "https://example.com/hook",
}


def shown(door: Door, id: int = 1) -> tuple[str, Any]:
    answer = door.ok("show", "--id", str(id))
    return answer["schedule"]["prompt_text"], answer["details"]["content"]


def test_messages_take_the_place_of_the_prompt(door: Door) -> None:
    door.ok("register", *AGENT, *HOURLY, "--content", json.dumps(SAID))
    assert shown(door) == ("[system] Be brief.\n\n[user] Look.", SAID)


def test_options_go_beside_a_prompt(door: Door) -> None:
    door.ok("register", *AGENT, *HOURLY, "--prompt", "stretch", "--content", '{"max_steps": 2}', "--replies", "obey")
    assert shown(door) == ("stretch", {"max_steps": 2})
    assert door.ok("show", "--id", "1")["details"]["replies"] == "obey"


def test_an_edit_changes_what_it_names(door: Door) -> None:
    door.ok("register", *AGENT, *HOURLY, "--content", json.dumps(SAID))
    door.ok("update", "--id", "1", "--content", '{"max_steps": 9}')
    assert shown(door)[1] == {"messages": SAID["messages"], "max_steps": 9}
    door.ok("update", "--id", "1", "--name", "look")
    assert shown(door)[1]["max_steps"] == 9
    door.ok("update", "--id", "1", "--prompt", "stretch")
    assert shown(door) == ("stretch", {"max_steps": 9})
    revised = door.ok("update", "--id", "1", "--content", "")
    assert shown(door) == ("stretch", None)
    assert revised["schedule"]["prompt_text"] == "stretch"


def test_what_cannot_be_sent_is_refused_with_what_to_do(door: Door) -> None:
    for content, says in (
        ("{", "not JSON"),
        ('{"messages": [{"role": "user"}]}', "neither a text"),
        ('{"callback_url": "http://169.254.169.254/latest/meta-data/"}', "169.254.169.254"),
        ('{"callback_url": "http://localhost:8283/"}', "this machine"),
        ('{"callback_url": "http://2130706433/"}', "plain IPv4"),
        ('{"callback_url": "https://user:pw@example.com/"}', "credentials"),
    ):
        refused = door.refused("register", *AGENT, *HOURLY, "--prompt", "stretch", "--content", content)
        assert says in refused["error"], content
        assert "pw@" not in refused["error"]
    both = door.refused("register", *AGENT, *HOURLY, "--prompt", "x", "--content", json.dumps(SAID), code=2)
    assert "both a prompt and messages" in both["error"]
    alone = door.refused("register", *AGENT, *HOURLY, "--content", '{"max_steps": 2}', code=2)
    assert "prompt is missing" in alone["error"]
    assert "--prompt" in door.refused("register", *AGENT, *HOURLY, code=2)["error"]


def test_an_export_brings_it_back(door: Door, tmp_path: Path) -> None:
    other = Door(tmp_path / "other")
    door.ok("register", *AGENT, *HOURLY, "--content", json.dumps(SAID), "--replies", "obey")
    door.ok("register", *AGENT, *HOURLY, "--prompt", "stretch", "--content", '{"max_steps": 2}')
    path = tmp_path / "carried.json"
    path.write_text(json.dumps(door.ok("export")))
    other.ok("import", "json", str(path), "--apply")
    assert [shown(other, id) for id in (1, 2)] == [shown(door, id) for id in (1, 2)]
    assert other.ok("show", "--id", "1")["details"]["replies"] == "obey"
    again = other.ok("import", "json", str(path), "--apply")
    assert len(again["unchanged"]) == 2
    other.services.close()
