"""Each name in the alerts, and on the page on operating, is one that `/metrics` gives; each alarm has its paragraph."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from promptyoself.domain import limits
from promptyoself.domain.models import DeliveryState, ScheduleState
from promptyoself.interfaces.http.metrics import Snapshot, exposition
from promptyoself.interfaces.http.traffic import Traffic
from promptyoself.interfaces.seen import Deliveries
from tests.deploy.reading import DEPLOY, ROOT

PAGE = (ROOT / "docs/operating.md").read_text()
NAME = re.compile(r"\bpromptyoself_\w+")


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def given() -> dict[str, set[str]]:
    """Return what a scrape can hold: the samples' names, and the labels of each."""
    rows = {f"schedules_{one.value}": 1 for one in ScheduleState} | {
        f"deliveries_{one.value}": 1 for one in DeliveryState
    }
    snapshot = Snapshot(
        rows=rows,
        lanes=dict.fromkeys(("due", "held", "waiting", "idle"), 1),
        due_lag_s=0,
        breakers={"letta": True},
        is_stopped=False,
        executors={"worker": 1},
        tokens={"queued": 1},
    )
    seen, traffic = Deliveries(), Traffic()
    seen.outcomes["letta", "delivered"] += 1
    traffic.note("GET", 200, 0.1)
    text = bytes(exposition(snapshot, seen, traffic).body).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(f"{label}={value}" for label, value in sample.labels.items())
    return found


GIVEN = given()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    names = NAME.findall(rule["expr"])
    assert names
    assert set(names) <= GIVEN.keys()
    for name, label, value in re.findall(r'(promptyoself_\w+)\{(\w+)="(\w+)"\}', rule["expr"]):
        assert f"{label}={value}" in GIVEN[name]
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert any(one.startswith(f"{label}=") for name in names for one in GIVEN[name])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alarm_leads_to_its_paragraph(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_family_is_explained_and_none_that_is_not() -> None:
    # What ends in one of these is a piece of a histogram.
    families = {re.sub("_(bucket|sum|count|created)$", "", name) for name in GIVEN}
    told = re.findall(r"^\| (.+?) \|", PAGE.partition("## When an alarm rings")[0], re.MULTILINE)
    assert {name for cell in told for name in NAME.findall(cell)} == families


def test_planning_is_late_for_the_alarm_when_it_is_for_readiness() -> None:
    (rule,) = [rule for rule in rules() if rule["alert"] == "PromptyoselfPlannerLate"]
    assert rule["expr"].endswith(f" > {limits.PLANNER_LATE.total_seconds():.0f}")
