"""A database moved under a running executor, the move killed on its way: each prompt arrives once, none is lost.

The oracle is the list of what was registered, and the receiver's record; no table of ours is asked.
"""

from __future__ import annotations

import json
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from promptyoself.domain.errors import StoreMoved
from tests.e2e.stage import Process, Stage, assert_each_arrived_once, assert_never_two_at_once, wait_for

pytestmark = pytest.mark.slow

SEED: Final = 5
PROMPTS, AGENTS, APART = 200, 40, timedelta(milliseconds=25)
STEPS: Final = ("takes no writes", "copied", "compared", "")
"""What the move has told when it is killed; after nothing, at any instant."""


def test_a_move_under_way_killed_again_and_again_loses_nothing_and_sends_nothing_twice(
    stage: Stage, postgres_url: str
) -> None:
    chance = random.Random(SEED)
    receiver = stage.receiver(manners={"*": {"answer_s": 0.1, "run_s": 0.3}})
    texts = [f"prompt {number}" for number in range(PROMPTS)]
    stage.add_due(
        ((f"agent-{number % AGENTS}", text) for number, text in enumerate(texts)), first=datetime.now(UTC), apart=APART
    )
    old = stage.loop()
    wait_for("the old place delivers", lambda: receiver.count("read") > AGENTS, within_s=30)
    ends = ("db", "move", "--from", str(stage.db), "--to", postgres_url)
    new: Process | None = None
    for step in STEPS:
        move = stage.start(*ends)
        if step:
            wait_for(step, lambda move=move, step=step: not move.is_alive or step in move.stderr, within_s=30)  # type: ignore[misc]
        else:
            time.sleep(chance.uniform(0.1, 0.5))  # any instant, the same in every run
        move.signal(signal.SIGKILL)
        move.wait()
        if new is None:  # from now on the tables are there; until the move is over this one is kept waiting
            new = stage.start("worker", env={"PROMPTYOSELF_DB": postgres_url})
    assert new is not None
    report = stage.call(*ends)
    assert report["status"] == "success", report
    assert {"table": "schedules", "rows": PROMPTS} in [
        {name: one[name] for name in ("table", "rows")} for one in report["tables"]
    ]
    again = stage.call(*ends)
    assert again.get("tables") == report["tables"], again
    # The old place ends by itself, and tells everybody where to go.
    assert old.wait() == 1
    assert json.loads(old.stdout.splitlines()[-1])["code"] == StoreMoved.code
    refused = stage.call("register", "--agent-id", "agent-1", "--prompt", "late", "--every", "1h", "--skip-validation")
    assert refused["code"] == StoreMoved.code
    assert "was moved to postgresql://" in refused["error"]

    wait_for("all ended", lambda: receiver.count("ended") >= PROMPTS, within_s=60)
    new.signal(signal.SIGTERM)
    assert new.wait() == 0, new.stderr[-2000:]
    arrivals = receiver.arrivals()
    assert_each_arrived_once(arrivals, texts)
    assert_never_two_at_once(arrivals)


def test_a_request_that_stays_open_is_waited_for_and_the_old_place_goes_on(stage: Stage, postgres_url: str) -> None:
    receiver = stage.receiver(manners={"agent-slow": {"hangs": True}})
    stage.add_due([("agent-slow", "never answered")], first=datetime.now(UTC) - timedelta(seconds=1), apart=APART)
    loop = stage.loop()
    wait_for("the request is open", lambda: receiver.count("read") == 1, within_s=30)
    refused = stage.call("db", "move", "--from", str(stage.db), "--to", postgres_url, "--wait", "0.5")
    assert refused["code"] == "conflict"
    assert "1 requests to targets are open" in refused["error"]
    assert stage.register("agent-other", "goes on", "--every", "1s", "--skip-validation")
    wait_for("the old place delivers", lambda: receiver.count("ended") >= 1, within_s=30)
    assert loop.is_alive
