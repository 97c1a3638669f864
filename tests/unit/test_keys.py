"""Names that are worked out: the same wherever they are, and never shared."""

from __future__ import annotations

import uuid
from datetime import timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from promptyoself.domain.keys import idempotency_key, otid_of
from promptyoself.domain.models import DeliveryKind
from tests.factories import MINUTE, NOW, a_delivery

STORE = "0123456789abcdef0123456789abcdef"


def key(**changes: object) -> str:
    parts: dict[str, object] = {"revision": 1, "kind": DeliveryKind.SCHEDULED, "fire_at": NOW}
    parts |= changes
    store, schedule = str(parts.pop("store", STORE)), str(parts.pop("schedule", "uid-1"))
    return idempotency_key(store, schedule, **parts)  # type: ignore[arg-type]  # the parts above


def test_it_is_the_version_5_uuid_that_pythons_own_library_makes() -> None:
    fire_us = int(NOW.timestamp() * 1_000_000)
    assert key() == str(uuid.uuid5(uuid.UUID(hex=STORE), f"uid-1/1/scheduled/{fire_us}"))


def test_each_part_makes_another_key() -> None:
    others = [
        key(store="f" * 32),
        key(schedule="uid-2"),
        key(revision=2),
        key(kind=DeliveryKind.RUN_NOW),
        key(fire_at=NOW + timedelta(microseconds=1)),
    ]
    assert len({key(), *others}) == 6


@settings(max_examples=30)
@given(st.integers(-14 * 60, 14 * 60))
def test_the_zone_an_instant_is_told_in_makes_no_difference(minutes: int) -> None:
    assert key(fire_at=NOW.astimezone(timezone(minutes * MINUTE))) == key()


def test_the_otid_grows_with_proven_failures_alone() -> None:
    assert otid_of(a_delivery(key="k", attempts=5, refusals=7)) == "k#0"
    assert otid_of(a_delivery(key="k", failures=2)) == "k#2"
