"""The commands about tokens and claims, and the file with the operator's token."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from promptyoself.bootstrap import open_services
from promptyoself.domain.access import TokenKind, digest_of
from tests.interfaces.world import Door

TOKEN = re.compile(r"pys_[A-Za-z0-9_-]{43}")


def test_a_token_is_shown_once_and_listed_without_its_text(door: Door) -> None:
    made = door.ok("token", "create", "--agent-id", "agent-1", "--name", "laptop", "--expires", "90d")
    assert TOKEN.fullmatch(made["token"])
    assert (made["id"], made["kind"], made["agent_id"], made["name"]) == (1, "agent", "agent-1", "laptop")
    assert made["expires_at"] == "2026-05-31T09:00:00+00:00"
    assert made["created_by"] == "operator via cli"
    listed = door.ok("token", "list")
    assert [one["state"] for one in listed["tokens"]] == ["live"]
    assert made["token"] not in json.dumps(listed)
    revoked = door.ok("token", "revoke", "--id", "1")
    assert (revoked["token"]["state"], revoked["token"]["revoked_at"]) == ("revoked", "2026-03-02T09:00:00+00:00")
    assert door.ok("token", "list")["tokens"] == []
    assert [one["state"] for one in door.ok("token", "list", "--all")["tokens"]] == ["revoked"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["--operator"], TokenKind.OPERATOR),
        (["--letta-proxy"], TokenKind.PROXY),
        (["--agent-id", "a"], TokenKind.AGENT),
    ],
)
def test_each_kind_of_token_is_issued_and_known_by_its_text(door: Door, options: list[str], kind: TokenKind) -> None:
    text = door.ok("token", "create", *options)["token"]
    with door.services.store.reading() as tx:
        found = tx.token_by_digest(digest_of(text))
    assert found is not None
    assert found.kind is kind


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 2),
        (["--operator", "--letta-proxy"], 2),
        (["--agent-id", "a", "--operator"], 2),
        (["--agent-id", "operator"], 1),
        (["--agent-id", ""], 1),
        (["--operator", "--expires", "2020-01-01T00:00"], 1),
        (["--operator", "--expires", "soon"], 1),
        (["--operator", "--expires", "99999d"], 1),
        (["--operator", "--token", "pys_x"], 2),
    ],
)
def test_a_token_that_is_not_said_clearly_is_not_issued(door: Door, options: list[str], code: int) -> None:
    assert door.refused("token", "create", *options, code=code)["hint"]
    assert door.ok("token", "list", "--all")["count"] == 0


def test_an_expired_token_is_called_so(door: Door) -> None:
    door.ok("token", "create", "--operator", "--expires", "tomorrow 9am")
    door.services.clock.at += timedelta(days=1)
    assert door.ok("token", "list")["tokens"] == []
    assert door.ok("token", "list", "--all")["tokens"][0]["state"] == "expired"


def test_no_agent_has_a_say_about_tokens(door: Door) -> None:
    door.services.owner = "agent-1"
    for command in (["create", "--operator"], ["list"], ["revoke", "--id", "1"]):
        assert door.refused("token", *command)["code"] == "forbidden"


def test_people_get_the_token_on_a_line_of_its_own_and_a_table(door: Door) -> None:
    shown = door.call("token", "create", "--letta-proxy", "--name", "our letta", is_tty=True).out
    assert TOKEN.fullmatch(shown.splitlines()[-1])
    table = door.call("token", "list", is_tty=True).out
    assert "letta-proxy" in table
    assert "our letta" in table
    assert not TOKEN.search(table)
    door.ok("token", "revoke", "--id", "1")
    assert "No tokens" in door.call("token", "list", is_tty=True).out


def test_a_key_is_claimed_once(door: Door) -> None:
    first = door.ok("claim-once", "--key", "invoice 17", "--agent-id", "agent-1", "--for", "24h")
    assert (first["claimed"], first["expires_at"]) == (True, "2026-03-03T09:00:00+00:00")
    door.services.clock.at += timedelta(hours=1)
    again = door.ok("claim-once", "--key", "invoice 17", "--agent-id", "agent-1")
    assert (again["claimed"], again["claimed_at"], again["delivery_id"]) == (False, "2026-03-02T09:00:00+00:00", None)
    assert "Do not do it again" in again["message"]
    assert door.refused("claim-once", "--key", "k", code=2)["hint"]
    assert door.refused("claim-once", "--key", "k", "--agent-id", "a", "--for", "2 fortnights")["code"]


def test_a_claim_is_the_acting_agents(door: Door) -> None:
    door.services.owner = door.services.agent_id = "agent-1"
    assert door.ok("claim-once", "--key", "k")["agent_id"] == "agent-1"
    assert door.refused("claim-once", "--key", "k", "--agent-id", "agent-2")["code"] == "forbidden"


def test_the_world_files_one_operators_token_and_config_tells_where_and_not_what(tmp_path: Path) -> None:
    flags = {"db": str(tmp_path / "p.db")}
    worlds = [open_services(environ={"HOME": str(tmp_path)}, cwd=tmp_path, flags=flags) for _ in range(2)]
    places = {world.file_operator_token() for world in worlds}
    (place,) = places
    assert place == worlds[0].token_file == str((tmp_path / "p.db.operator-token").resolve())
    text = Path(place).read_text().strip()
    assert TOKEN.fullmatch(text)
    with worlds[0].store.reading() as tx:
        assert len(tx.tokens()) == 1
        assert tx.token_by_digest(digest_of(text)) is not None
    for world in worlds:
        world.close()
    shown = Door(tmp_path).ok("config")
    assert shown["token_file"].endswith(".operator-token")
    assert "pys_" not in json.dumps(shown)
