"""The journal as a stream: pages from any place on, and a tail that many readers follow.

A reader is a place in the journal and nothing else: no queue is kept for it, so a slow one costs no memory and loses
nothing, and one that comes back with the id of the last fact it saw goes on exactly there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Final, Protocol, TypeVar

from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, StoreError
from promptyoself.domain.models import FactKind
from promptyoself.domain.ports import Tx
from promptyoself.domain.ports_journal import Told
from promptyoself.domain.values import dataclass, replace

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Facts with ids from `after` (exclusive) to `until` (inclusive), of which `missing` are not kept any more."""

    after: int
    until: int
    missing: int
    """Of the journal as a whole, whoever's they were; 0 when `after` lies beyond the newest fact there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Facts in the order of their ids, and the place after them, from which reading goes on."""

    told: tuple[Told, ...]
    until: int
    newest: int
    gap: Gap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one reader wants to be told of, and may be: an agent hears of its own schedules only."""

    caller: Caller
    agent_id: str | None = None
    schedule_id: int | None = None
    kinds: frozenset[FactKind] | None = None

    def includes(self, told: Told) -> bool:
        """Return whether this fact is for this reader."""
        if not self.caller.is_operator and self.caller.owner != told.agent_id:
            return False
        return (
            (self.agent_id is None or self.agent_id == told.agent_id)
            and (self.schedule_id is None or self.schedule_id == told.fact.schedule_id)
            and (self.kinds is None or told.fact.kind in self.kinds)
        )


def page_after(tx: Tx, after: int) -> Page:
    """Return at most EVENTS_PER_PAGE facts with a higher id than `after`, and what of that stretch is gone.

    Ids follow one another without holes (a transaction that is undone gives its ids back), so a hole is what retention
    has deleted, or what an earlier life had of a database that was restored. An `after` that lies beyond the newest
    fact is another database's, or this one was restored from a backup and nobody has told it so (`db restored`): the
    gap says so, and reading goes on at the newest.
    """
    newest = tx.newest_fact_id()
    if after > newest:
        return Page(told=(), until=newest, newest=newest, gap=Gap(after=after, until=newest, missing=0))
    told = tuple(tx.facts_after(after, limit=limits.EVENTS_PER_PAGE))
    until = told[-1].fact.id if len(told) == limits.EVENTS_PER_PAGE else newest
    missing = until - after - len(told)
    return Page(
        told=told,
        until=until,
        newest=newest,
        gap=Gap(after=after, until=until, missing=missing) if missing else None,
    )


def gather(tx: Tx, wanted: Wanted, after: int | None, *, limit: int) -> Page:
    """Return at most `limit` facts that are `wanted`, from `after` on (None: the newest of the journal).

    At most JOURNAL_LOOKED_AT_MAX facts are looked at: of a page that is not full, `until` says whether it was the end.
    """
    at = _before_newest(tx, limit) if after is None else after
    found: list[Told] = []
    gap: Gap | None = None
    newest = at
    for _ in range(limits.JOURNAL_LOOKED_AT_MAX // limits.EVENTS_PER_PAGE):
        page = page_after(tx, at)
        newest = page.newest
        if page.gap is not None:
            gap = (
                page.gap if gap is None else replace(gap, until=page.gap.until, missing=gap.missing + page.gap.missing)
            )
        for told in page.told:
            at = told.fact.id
            if wanted.includes(told):
                found.append(told)
                if len(found) == limit:
                    return Page(told=tuple(found), until=at, newest=newest, gap=gap)
        at = page.until
        if at == newest:
            break
    return Page(told=tuple(found), until=at, newest=newest, gap=gap)


def _before_newest(tx: Tx, count: int) -> int:
    """Return the place before the newest facts; ids leave many out where a database was restored."""
    newest = tx.facts(limit=count)
    return newest[0].id - 1 if newest else tx.newest_fact_id()


def kinds_of(words: str) -> frozenset[FactKind]:
    """Return the kinds that a list such as `fired,failed` names. Raises InvalidInput."""
    try:
        return frozenset(FactKind(word.strip().lower()) for word in words.split(",") if word.strip())
    except ValueError:
        known = ", ".join(kind.value for kind in FactKind)
        raise InvalidInput(f"events {words[:60]!r} are not known", hint=f"some of: {known}") from None


def newest_page(tx: Tx) -> Page:
    """Return the empty page at the journal's end."""
    newest = tx.newest_fact_id()
    return Page(told=(), until=newest, newest=newest)


class Read(Protocol):
    """Runs an act on one state of the database, off the event loop."""

    async def __call__(self, act: Callable[[Tx], T]) -> T:
        """Return what `act` returns. Raises what it raises, and StoreError."""
        ...


class Tail:
    """The journal's end, read once for all who follow it; while nobody does, nothing looks at the database.

    Of one event loop. The newest EVENTS_KEPT facts are kept for readers who are there; whoever is further behind reads
    pages of the database, at its own pace.
    """

    def __init__(self, *, read: Read, mark: Callable[[], int]) -> None:
        """`mark` is the store's change_mark."""
        self._read: Final = read
        self._mark: Final = mark
        self._kept: deque[Told] = deque()
        self._base = self._newest = -1
        """`_kept` holds all facts with ids from `_base` (exclusive) to `_newest`; -1: nothing was read yet."""
        self._news = asyncio.Event()
        self._nudge = asyncio.Event()
        self._readers = 0
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def readers(self) -> int:
        """How many follow now."""
        return self._readers

    def wake(self) -> None:
        """Look at once: something was committed. From the event loop only; not needed, it saves CHANGE_POLL_EVERY."""
        self._nudge.set()

    def close(self) -> None:
        """End every stream at its next step, which is now. From the event loop only."""
        self._is_closed = True
        self._tell()

    async def follow(
        self, after: int | None, *, beat: timedelta = limits.EVENTS_BEAT_EVERY
    ) -> AsyncGenerator[Page, None]:
        """Yield pages from `after` on (None: from now on), for ever; ends when the tail is closed.

        A page without facts and gap is a sign of life: the first one, and then after each `beat` without news.
        Raises StoreError; the reader may come back with the `until` of its last page.
        """
        self._join()
        try:
            page = await (self._read(newest_page) if after is None else self._page(after))
            yield page
            while not self._is_closed:
                news, at = self._news, page.until
                page = self._kept_after(at) or await self._page(at)
                # Asked in this order: what came since `news` was taken ends the waiting at once.
                if page.told or page.gap or not await _happens(news, within=beat):
                    yield page
        finally:
            self._leave()

    async def _page(self, after: int) -> Page:
        return await self._read(lambda tx: page_after(tx, after))

    # -- the one who looks ----------------------------------------------------------------------------------

    def _join(self) -> None:
        self._readers += 1
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())

    def _leave(self) -> None:
        self._readers -= 1
        if not self._readers and self._looking is not None:
            self._looking.cancel()
            self._looking = None
            self._kept.clear()
            self._base = self._newest = -1

    async def _look(self) -> None:
        """Read what is new when the database has changed: its mark signals nobody, it has to be looked at."""
        seen: int | None = None
        is_away = False  # said once: it is looked several times a second
        while True:
            try:
                # Taken before reading: what is committed meanwhile changes it again.
                mark = self._mark()
                if mark != seen:
                    await self._take_in()
                    seen = mark
                is_away = False
            except StoreError as error:
                if not is_away:
                    _log.warning("events.store_failed code=%s error=%s", error.code, error)
                is_away = True
            await _happens(self._nudge, within=limits.CHANGE_POLL_EVERY)
            self._nudge.clear()

    async def _take_in(self) -> None:
        if self._newest < 0:
            self._base = self._newest = (await self._read(newest_page)).until
            self._tell()
            return
        is_more = True
        while is_more:  # ends: readers are told page by page, and writers are slower than this
            page = await self._page(self._newest)
            is_more = len(page.told) == limits.EVENTS_PER_PAGE
            if page.gap is not None:
                self._kept.clear()
                self._base = page.until
            else:
                self._kept.extend(page.told)
                while len(self._kept) > limits.EVENTS_KEPT:
                    self._base = self._kept.popleft().fact.id
            self._newest = page.until
            if page.told or page.gap:
                self._tell()

    def _kept_after(self, at: int) -> Page | None:
        """Return a page of what is kept; None when it does not reach back so far."""
        if at < self._base or self._base < 0:
            return None
        first = at - self._base  # ids of what is kept have no holes
        told = tuple(islice(self._kept, first, first + limits.EVENTS_PER_PAGE))
        return Page(told=told, until=told[-1].fact.id if told else at, newest=self._newest)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


async def _happens(event: asyncio.Event, *, within: timedelta) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            await event.wait()
    return event.is_set()
