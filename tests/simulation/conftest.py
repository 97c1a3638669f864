"""Which seeds are played: --seed N or PROMPTYOSELF_SEED replays one world, PROMPTYOSELF_SEEDS plays more of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SEEDS_DEFAULT = 1000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="play this one world of the simulation")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" not in metafunc.fixturenames:
        return
    one = metafunc.config.getoption("--seed", default=None)
    if one is None:
        one = os.environ.get("PROMPTYOSELF_SEED")
    many = range(int(os.environ.get("PROMPTYOSELF_SEEDS", SEEDS_DEFAULT)))
    metafunc.parametrize("seed", [int(one)] if one is not None else many)
