"""A secret shows itself to nobody who did not ask for it by name."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass

import pytest

from promptyoself.domain.secret import Secret


@dataclass(frozen=True)
class Holder:
    key: Secret


def test_every_way_of_printing_shows_stars() -> None:
    secret = Secret("hunter2")
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, repr(Holder(secret))):  # noqa: UP031
        assert "hunter2" not in shown
        assert "***" in shown
    assert f"{secret:>5}" == "  ***"


def test_what_would_leak_it_fails() -> None:
    secret = Secret("hunter2")
    with pytest.raises(TypeError):
        json.dumps({"key": secret})
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        _ = "key: " + secret  # type: ignore[operator]  # the mistake under test


def test_it_is_revealed_on_demand_compared_by_value_and_empty_when_empty() -> None:
    assert Secret("a").reveal() == "a"
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
