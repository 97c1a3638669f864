"""A register that is killed at any moment leaves a sound database, and what it promised is stored."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import suppress
from typing import Final

import pytest

from tests.e2e.stage import Stage

SEED: Final = 20261123
KILLS: Final = 12
REGISTER: Final = ("register", "--agent-id", "agent-1", "--prompt", "stretch", "--every", "1h", "--skip-validation")


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [True, False], ids=["which is being made", "which is there"])
def test_a_register_killed_at_any_moment_keeps_the_database_sound(stage: Stage, *, is_new: bool) -> None:
    chance = random.Random(SEED)
    began_s = time.monotonic()
    assert stage.call(*REGISTER)["id"] == 1
    whole_s = time.monotonic() - began_s
    promised = set() if is_new else {1}
    for _ in range(KILLS):
        if is_new and not promised:
            for file in stage.db.parent.iterdir():
                file.unlink()
        register = stage.start(*REGISTER)
        with suppress(subprocess.TimeoutExpired):
            register.wait(within_s=chance.uniform(0.2, 1.1) * whole_s)
        register.signal(signal.SIGKILL)
        register.wait()
        if register.stdout:
            promised.add(register.answer()["id"])

    assert stage.call(*REGISTER)["status"] == "success"
    with stage.store() as store, store.reading() as tx:
        assert store.problems() == []
        assert {number for number in promised if tx.schedule(number) is None} == set()
