"""What the agents received, held against the oracle: each sentence names a sin, and no sentence means that all held.

LOST       a fire time that had to arrive did not
UNWANTED   one arrived that had been cancelled, or that fell into a pause
STRANGE    something arrived that nobody promised, to another lane, or before its time
DOUBLED    one arrived again, though nothing had left it in doubt
UNMARKED   a repeat of what may have arrived does not say so; or something says so without a reason
KEY        a repeat came under another key, a retry of a failed run under the same otid
OVERLAP    two requests were open, or two runs at work, at one lane at once
ORDER      a later fire time of a lane went out before an earlier one
LATE WORD  it was sent, or sent in its old words, after a command had been answered that forbids it

What a kill or a long stop of a process leaves in doubt is excused; what a database or a network that was away leaves is
not: the process that knows the answer is still there to record it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from tests.chaos.ledger import Arrival, by_lane
from tests.chaos.oracle import Kind, Need, Promise, Timeline

COMMIT_S: Final = 3.0
"""From the receiver's end of an answer to the commit that records it: a kill in between is one of an open request.

Nothing is to be repeated but what was open when the kill came, and an answer that no disk has yet is lost with its
process, as if it had never come. The commit follows within milliseconds; the bound leaves room for a machine whose
processes wait for a core. Whatever takes longer is a finding.
"""
CLAIMED_S: Final = 1.5
"""From the claim of a delivery to its request: what was claimed before a command was answered is in flight."""
EARLY_S: Final = 0.25
"""How far the clock of a node may run ahead of the database's."""

Occurrence = tuple[str, datetime | None, str]
"""Tag and fire time; of a run-now, tag and key."""


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that was done to the system. `until_s` of a kill is its instant."""

    kind: str
    """kill; stop (a process, longer than its lease); away (the database); cut (connections to it); pause (short)."""
    at_s: float
    until_s: float

    @property
    def leaves_doubt(self) -> bool:
        """True when a process that alone knew an answer may have lost it, or its lease."""
        return self.kind in {"kill", "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a verdict rests on."""

    promises: Mapping[str, Promise]
    arrivals: Sequence[Arrival]
    blows: Sequence[Blow]
    timeline: Timeline
    does_show: bool = True
    """True: the receiver shows runs with their tags, so that what is in doubt can be settled and not repeated."""
    is_over: bool = True
    """False while it goes on: what has not arrived may still come."""


def complaints(case: Case) -> list[str]:
    """Return what was wrong, at most one sentence a sin; none when all held."""
    return [*_strange(case), *_of_occurrences(case), *_of_lanes(case), *_of_commands(case)]


def missing(case: Case) -> list[str]:
    """Return what must arrive and has not (yet): `tag at instant`."""
    arrived = {_occurrence(case, one) for one in case.arrivals if one.did_arrive}
    found = [
        f"{promise.tag} at {fire_at:%H:%M:%S}"
        for promise in case.promises.values()
        for fire_at, need in promise.needs(case.timeline)
        if need is Need.MUST and (promise.tag, fire_at, "") not in arrived
    ]
    asked_for: defaultdict[str, set[str]] = defaultdict(set)
    for one in case.arrivals:
        if one.is_asked_for and one.did_arrive:
            asked_for[one.tag].add(one.key)
    for promise in case.promises.values():
        answered = [one for one in promise.did(Kind.RUN_NOW) if one.answered_s < math.inf]
        if not promise.did(Kind.CANCELLED) and len(asked_for[promise.tag]) < len(answered):
            found.append(f"{promise.tag} by run-now")
    return found


def at_work(case: Case) -> int:
    """Return how many requests are open or runs at work."""
    return sum(one.works_until_s == math.inf for one in case.arrivals)


# -- occurrences --------------------------------------------------------------------------------------------


def _occurrence(case: Case, one: Arrival) -> Occurrence:
    return (one.tag, None, one.key) if one.is_asked_for else (one.tag, _fire_at(case, one), "")


def _fire_at(case: Case, one: Arrival) -> datetime | None:
    """Return the fire time; the envelope tells whole seconds, and a one-off has but one."""
    promise, told = case.promises.get(one.tag), one.fire_at
    if promise is not None and promise.every_s is None and told == promise.start_at.replace(microsecond=0):
        return promise.start_at
    return told


def _strange(case: Case) -> Iterator[str]:
    for one in case.arrivals:
        promise = case.promises.get(one.tag)
        if promise is None:
            yield f"STRANGE: nobody promised {_told(one)}"
        elif one.lane != promise.lane:
            yield f"STRANGE: {_told(one)} went to {one.lane} in place of {promise.lane}"
        elif one.is_asked_for:
            if not any(command.sent_s <= one.begun_s for command in promise.did(Kind.RUN_NOW)):
                yield f"STRANGE: nobody asked to run {_told(one)} now"
        elif (fire_at := _fire_at(case, one)) is None or fire_at not in promise.fire_times:
            yield f"STRANGE: {_told(one)} is for {fire_at}, which is no fire time"
        elif one.begun_s < case.timeline.seconds(fire_at) - EARLY_S:
            yield f"STRANGE: {_told(one)} came before {fire_at}"


def _of_occurrences(case: Case) -> Iterator[str]:
    if case.is_over:
        yield from (f"LOST: {one}" for one in missing(case))
    came: defaultdict[Occurrence, list[Arrival]] = defaultdict(list)
    for one in sorted(case.arrivals, key=lambda one: one.begun_s):
        came[_occurrence(case, one)].append(one)
    for arrived in came.values():
        if arrived[0].is_marked and not _was_in_doubt_by(case, arrived[0].begun_s):
            yield f"UNMARKED: {_told(arrived[0])} says that it may be a repeat, and nothing had happened"
        for earlier, later in pairwise(arrived):
            yield from _of_pair(case, earlier, later)
    yield from _shared_keys(came)
    for promise in case.promises.values():
        yield from _unwanted(case, promise, came)


def _shared_keys(came: Mapping[Occurrence, Sequence[Arrival]]) -> Iterator[str]:
    keys: dict[str, Occurrence] = {}
    for occurrence, arrived in came.items():
        for one in arrived:
            if keys.setdefault(one.key, occurrence) != occurrence:
                yield f"KEY: {_told(one)} has the key of {keys[one.key]}"


def _unwanted(case: Case, promise: Promise, came: Mapping[Occurrence, Sequence[Arrival]]) -> Iterator[str]:
    asked_for = promise.did(Kind.RUN_NOW)
    by_hand = sum(tag == promise.tag and bool(key) for tag, _, key in came) if asked_for else 0
    if by_hand > len(asked_for):
        yield f"DOUBLED: {promise.tag} was run {by_hand} times by hand"
    for fire_at, need in promise.needs(case.timeline):
        if need is Need.MUST_NOT and (promise.tag, fire_at, "") in came:
            yield f"UNWANTED: {_told(came[promise.tag, fire_at, ''][0])} of {fire_at:%H:%M:%S}"


def _of_pair(case: Case, earlier: Arrival, later: Arrival) -> Iterator[str]:
    """Judge a request that followed another of the same occurrence."""
    told = f"{_told(later)} after {_told(earlier)}"
    if earlier.revision == later.revision:
        if earlier.key != later.key:
            yield f"KEY: {told}: another key"
        elif (earlier.otid != later.otid) is not earlier.is_failed:
            yield f"KEY: {told}: {'the same' if earlier.is_failed else 'another'} otid"
    if earlier.status in {409, 429} or earlier.is_failed:  # nothing was processed, or all that was is known
        return
    if not earlier.is_stored:  # it may be repeated, and may say so: absence is not always provable
        if earlier.open_until_s == math.inf and not _was_open_at_blow(case, earlier):
            yield f"DOUBLED: {told}: that request was still open"
        return
    is_lost_answer = earlier.answered_s == math.inf or earlier.status != 200
    if case.does_show:
        yield f"DOUBLED: {told}: the receiver showed that it had arrived"
    elif not is_lost_answer and not _was_open_at_blow(case, earlier):
        yield f"DOUBLED: {told}: it had been answered, and nothing had happened"
    if not later.is_marked:
        yield f"UNMARKED: {told}"


def _was_open_at_blow(case: Case, one: Arrival) -> bool:
    return any(
        blow.leaves_doubt and one.begun_s <= blow.until_s and one.open_until_s + COMMIT_S >= blow.at_s
        for blow in case.blows
    )


def _was_in_doubt_by(case: Case, until_s: float) -> bool:
    return any(blow.leaves_doubt and blow.at_s <= until_s for blow in case.blows)


# -- lanes --------------------------------------------------------------------------------------------------


def _of_lanes(case: Case) -> Iterator[str]:
    for arrived in by_lane(case.arrivals).values():
        yield from _overlaps(case, arrived)
        yield from _disorder(case, arrived)


def _overlaps(case: Case, arrived: Sequence[Arrival]) -> Iterator[str]:
    at_work: list[Arrival] = []
    for one in arrived:
        at_work = [earlier for earlier in at_work if earlier.works_until_s > one.begun_s]
        for earlier in at_work:
            # A stopped process keeps its connections: what never reached the agent holds nobody up then.
            if earlier.is_stored or not _is_held_open(case, earlier):
                yield f"OVERLAP: {_told(one)} came while {_told(earlier)} was at work"
        at_work.append(one)


def _is_held_open(case: Case, one: Arrival) -> bool:
    return any(
        blow.kind == "stop" and one.begun_s <= blow.until_s and one.open_until_s >= blow.at_s for blow in case.blows
    )


def _disorder(case: Case, arrived: Sequence[Arrival]) -> Iterator[str]:
    """Compare the first requests of a lane's occurrences with the order of their fire times.

    Left out: what somebody changed meanwhile, and what was in doubt before the receiver saw it, which says so. What
    waits for its retry may be overtaken by other schedules, and so may what waits behind it in its own.
    """
    requests: dict[Occurrence, list[Arrival]] = {}
    for one in arrived:
        requests.setdefault(_occurrence(case, one), []).append(one)
    sent: list[tuple[datetime, Arrival]] = []
    for (tag, fire_at, _), [first, *_] in requests.items():
        promise = case.promises.get(tag)
        if promise is None or fire_at is None or promise.commands or first.is_marked:
            continue
        if promise.registered_s >= case.timeline.seconds(fire_at):
            continue
        own = [ones for (name, at, _), ones in requests.items() if name == tag and at is not None and at < fire_at]
        for later_at, later in sent:
            if later_at > fire_at and not any(_waited(ones, by_s=later.begun_s) for ones in own):
                yield f"ORDER: {_told(first)} of {fire_at:%H:%M:%S} came after {_told(later)} of {later_at:%H:%M:%S}"
                break
        sent.append((fire_at, first))


def _waited(requests: Sequence[Arrival], *, by_s: float) -> bool:
    """Whether an occurrence waited for its retry at an instant; the request of one in doubt may have reached nobody."""
    first, last = requests[0], requests[-1]
    return (first.is_marked or first.begun_s < by_s) and by_s < last.begun_s


# -- commands -----------------------------------------------------------------------------------------------


def _of_commands(case: Case) -> Iterator[str]:
    begun: defaultdict[str, list[Arrival]] = defaultdict(list)
    for one in case.arrivals:
        begun[one.tag].append(one)
    for tag, promise in case.promises.items():
        if not promise.commands:
            continue
        for cancelled in promise.did(Kind.CANCELLED):
            yield from (
                f"LATE WORD: {_told(one)} was sent {one.begun_s - cancelled.answered_s:.1f} s after its cancel"
                for one in _sent_within(case, begun[tag], cancelled.answered_s, math.inf)
            )
        for paused, resumed in promise.pauses():
            yield from (
                f"LATE WORD: {_told(one)} was sent {one.begun_s - paused.answered_s:.1f} s into a pause"
                for one in _sent_within(case, begun[tag], paused.answered_s, resumed.sent_s)
                if not one.is_asked_for
            )
        for revision, edited in enumerate(promise.did(Kind.EDITED), start=2):
            yield from (
                f"LATE WORD: {_told(one)} was sent {one.begun_s - edited.answered_s:.1f} s after an edit"
                for one in _sent_within(case, begun[tag], edited.answered_s, math.inf)
                if one.revision < revision
            )


def _sent_within(case: Case, arrivals: Iterable[Arrival], since_s: float, until_s: float) -> Iterator[Arrival]:
    """Yield what began within a span, but for what was in flight as it began."""
    for one in arrivals:
        held_s = sum(
            max(0.0, min(blow.until_s, one.begun_s) - max(blow.at_s, since_s - CLAIMED_S))
            for blow in case.blows
            if blow.kind != "kill"
        )
        if since_s + CLAIMED_S + held_s < one.begun_s < until_s:
            yield one


def _told(one: Arrival) -> str:
    return f"request {one.number} ({one.text} under {one.otid[-12:]})"


def worst(found: Sequence[str], most: int = 12) -> str:
    """Return complaints for people: how many of each kind, and the first of them."""
    kinds: defaultdict[str, int] = defaultdict(int)
    for one in found:
        kinds[one.partition(":")[0]] += 1
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return "\n".join([counted, *found[:most]])
