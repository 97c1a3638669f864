"""What reached the agents: the receiver's record, read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from promptyoself.domain.envelope import REPEAT_MARK

_PLANNED: Final = re.compile(r"planned for \w{3} (\S+ \S+) UTC")
_ASKED_FOR: Final = re.compile(r"Sent on request at \w{3} (\S+ \S+) UTC, outside its schedule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request that the receiver has read. Instants are seconds of the machine's monotonic clock."""

    number: int
    lane: str
    otid: str
    text: str
    envelope: str = ""
    begun_s: float
    stored_s: float = math.inf
    """When the agent had it; inf: never."""
    answered_s: float = math.inf
    status: int = 0
    closed_s: float = math.inf
    """When the connection ended without an answer."""
    ended_s: float = math.inf
    """When its run was over."""
    is_failed: bool = False
    """True: its run ended with an error."""

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.otid.partition("#")[0]

    @property
    def tag(self) -> str:
        """The schedule's name, as the harness wrote it into the prompt."""
        return self.text.partition("/")[0]

    @property
    def revision(self) -> int:
        """The prompt's revision, as the harness wrote it into the prompt."""
        return int(self.text.partition("/")[2])

    @property
    def fire_at(self) -> datetime | None:
        """The fire time that the envelope names, whole seconds of UTC; None for a run-now."""
        return _planned_for(self.envelope)

    @property
    def is_asked_for(self) -> bool:
        """True for a run-now."""
        return _ASKED_FOR.search(self.envelope) is not None

    @property
    def is_marked(self) -> bool:
        """True when it says that it may be a repeat."""
        return REPEAT_MARK in self.envelope

    @property
    def is_stored(self) -> bool:
        """True when the agent got it."""
        return self.stored_s < math.inf

    @property
    def open_until_s(self) -> float:
        """When the request was answered or its connection ended."""
        return min(self.answered_s, self.closed_s)

    @property
    def works_until_s(self) -> float:
        """When the agent was done with it: the request's end, and its run's."""
        return max(self.open_until_s, self.ended_s) if self.is_stored else self.open_until_s

    @property
    def did_arrive(self) -> bool:
        """True when the agent got it, and no run that failed says otherwise."""
        return self.is_stored and not self.is_failed


@lru_cache(maxsize=1 << 16)
def _planned_for(envelope: str) -> datetime | None:
    found = _PLANNED.search(envelope)
    return None if found is None else datetime.fromisoformat(found[1]).replace(tzinfo=UTC)


def read_arrivals(lines: Iterable[str]) -> list[Arrival]:
    """Return the requests of a record in the order in which they began."""
    begun: dict[int, dict[str, Any]] = {}
    for line in lines:
        event = json.loads(line)
        number = event.get("number")
        match event["what"]:
            case "begun":
                begun[number] = {
                    **{name: event[name] for name in ("number", "lane", "otid", "text")},
                    "envelope": event["envelope"] or "",
                    "begun_s": event["at"],
                }
            case "stored":
                begun[number]["stored_s"] = event["at"]
            case "answered":
                begun[number] |= {"answered_s": event["at"], "status": event["status"]}
            case "closed":
                begun[number]["closed_s"] = event["at"]
            case "ended":
                begun[number] |= {"ended_s": event["at"], "is_failed": event["status"] == "failed"}
            case _:
                continue
    return [Arrival(**one) for one in begun.values()]


def by_lane(arrivals: Iterable[Arrival]) -> Mapping[str, list[Arrival]]:
    """Sort arrivals by lane, in the order in which they began."""
    lanes: dict[str, list[Arrival]] = {}
    for arrival in sorted(arrivals, key=lambda one: one.begun_s):
        lanes.setdefault(arrival.lane, []).append(arrival)
    return lanes
