"""`GET /api/v1/events`: the journal as server-sent events, each with its fact's id; Last-Event-ID resumes exactly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from fastapi import APIRouter, FastAPI, Request
from fastapi import Query as InQuery
from starlette.responses import Response

from promptyoself.application.journal import Page, Tail, Wanted, kinds_of
from promptyoself.application.schedules import Caller
from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput, LimitExceeded, PromptyoselfError, StoreError
from promptyoself.interfaces import wire
from promptyoself.interfaces.http.api.answers import Journal
from promptyoself.interfaces.http.api.bodies import JournalQuery
from promptyoself.interfaces.http.api.forms import Count, Id
from promptyoself.interfaces.http.api.routing import ApiRoute, answered, carried_out
from promptyoself.interfaces.http.api.said import ALWAYS, problems, said
from promptyoself.interfaces.http.asking import Asker, credentials_of
from promptyoself.interfaces.http.parts import Parts, lives, parts_of
from promptyoself.interfaces.http.wording import for_http
from promptyoself.interfaces.why import sentence

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from promptyoself.domain.ports import Tx
    from promptyoself.interfaces.identity import Identity
    from promptyoself.interfaces.services import Services

T = TypeVar("T")
_log = logging.getLogger(__name__)
_DIGITS_MAX: Final = 18
_AGENT: Final = "only this agent's schedules"
_HEADERS: Final = {
    "cache-control": "no-store",
    # nginx would hold the stream back otherwise
    "x-accel-buffering": "no",
    "content-type": "text/event-stream; charset=utf-8",
}
router = APIRouter(prefix="/api/v1", tags=["events"], route_class=ApiRoute)


def install(app: FastAPI) -> None:
    """Add the route, and the streams' end when the process is about to end."""
    parts = parts_of(app)
    app.state.streams = streams = Streams(parts)
    parts.watchers.append(lambda _entry: streams.tail.wake())
    lives(app).append(streams.life)
    app.include_router(router)


class Streams:
    """The open streams of one application: how many whose are, and the tail that they follow."""

    def __init__(self, parts: Parts) -> None:
        services = parts.services

        async def read(act: Callable[[Tx], T]) -> T:
            return await asyncio.to_thread(_read, services, act)

        def mark() -> int:
            # The event loop asks: a database that is a round trip away, or more, is not asked, but listened to.
            return services.store.change_mark() if services.fleet is None else services.fleet.change_mark()

        self.tail = Tail(read=read, mark=mark)
        self.clock: Final = services.clock
        self._stopping: Final = parts.stopping
        self._fleet: Final = services.fleet
        self._open: dict[str, int] = {}

    def enter(self, identity: Identity) -> None:
        """Count one more stream. Raises LimitExceeded."""
        mine = self._open.get(identity.means, 0)
        if sum(self._open.values()) >= limits.EVENT_STREAMS_MAX or mine >= limits.EVENT_STREAMS_PER_CALLER_MAX:
            raise LimitExceeded(
                f"{limits.EVENT_STREAMS_MAX} streams of events may be open at once, "
                f"{limits.EVENT_STREAMS_PER_CALLER_MAX} of one caller",
                hint="close some, or read GET /api/v1/journal from time to time",
            )
        self._open[identity.means] = mine + 1

    def leave(self, identity: Identity) -> None:
        """Count one less."""
        self._open[identity.means] -= 1
        if not self._open[identity.means]:
            del self._open[identity.means]

    @asynccontextmanager
    async def life(self, _app: FastAPI) -> AsyncIterator[None]:
        """Look at once at what other nodes tell; end every stream when the process is about to end, or this does."""
        loop = asyncio.get_running_loop()
        ending = asyncio.ensure_future(self._stopping.wait())
        ending.add_done_callback(lambda _: self.tail.close())

        def wake() -> None:  # in the thread that hears of commits
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self.tail.wake)

        leave = self._fleet.subscribe(wake) if self._fleet is not None else None
        try:
            yield
        finally:
            ending.cancel()
            if leave is not None:
                leave()


def _read(services: Services, act: Callable[[Tx], T]) -> T:
    with services.store.reading() as tx:
        return act(tx)


@router.get(
    "/events",
    response_class=Response,
    summary="Follow what happens, as server-sent events",
    responses={
        200: {
            "description": "A stream that does not end by itself. `id` is the event's place in the journal: come back "
            "with it in Last-Event-ID and nothing is missed or repeated. docs/events.md names every event.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(*ALWAYS),
    },
    operation_id="events",
)
async def events(  # the request's words
    request: Request,
    identity: Asker,
    after: Annotated[Count | None, InQuery(description="begin after this event; 0: with the oldest")] = None,
    agent_id: Annotated[str | None, InQuery(description=_AGENT, max_length=limits.AGENT_ID_CHARS_MAX)] = None,
    schedule_id: Annotated[Id | None, InQuery(description="only this schedule")] = None,
    events: Annotated[str | None, InQuery(description="only these, such as fired,failed", max_length=1000)] = None,
) -> Response:
    """Answer with a stream of what happens from now on, or from an event on."""
    parts = parts_of(request.app)
    wanted = Wanted(
        caller=Caller(owner=identity.owner, door="http"),
        agent_id=agent_id,
        schedule_id=schedule_id,
        kinds=kinds_of(events) if events is not None else None,
    )
    resumed = _last_event_id(request)

    async def is_still_known() -> bool:
        try:
            return await parts.gatekeeper.identify(credentials_of(request.headers)) == identity
        except PromptyoselfError:
            return False

    return EventStream(
        request.app.state.streams,
        identity,
        wanted,
        # A browser's EventSource comes back to the same address: where it was says the header.
        after=after if resumed is None else resumed,
        is_still_known=is_still_known,
    )


@router.get("/journal", **said("journal", Journal))
async def journal(request: Request, query: Annotated[JournalQuery, InQuery()]) -> Response:
    """Answer with a page of what happened."""
    return answered(await carried_out(request, "journal", query.options()), request)


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise InvalidInput("Last-Event-ID is not the id of an event", hint="send the last `id:` that the stream gave")
    return int(text)


class EventStream(Response):
    """The answer: pages of the journal as they come, until the reader goes, is stuck, or is not known any more."""

    def __init__(
        self,
        streams: Streams,
        identity: Identity,
        wanted: Wanted,
        *,
        after: int | None,
        is_still_known: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._streams = streams
        self._identity = identity
        self._wanted = wanted
        self._after = after
        self._is_still_known = is_still_known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until one side ends it. Raises LimitExceeded before anything is sent."""
        del scope
        self._streams.enter(self._identity)
        going = asyncio.ensure_future(_gone(receive))
        sending = asyncio.ensure_future(self._send(send))
        try:
            await asyncio.wait((going, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (going, sending):
                task.cancel()
            _, ended = await asyncio.gather(going, sending, return_exceptions=True)
            self._streams.leave(self._identity)
        if isinstance(ended, Exception) and not isinstance(ended, OSError):
            raise ended

    async def _send(self, send: Send) -> None:
        async def out(text: str, *, is_more: bool = True) -> None:
            async with asyncio.timeout(limits.EVENTS_SEND_FOR.total_seconds()):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": is_more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        note = "closing"
        try:
            async with aclosing(self._texts()) as texts:
                async for text in texts:
                    await out(text)
        except StoreError as error:
            _log.warning("events.store_failed code=%s error=%s", error.code, error)
            note = "the database does not answer"
        except TimeoutError:
            _log.info("events.reader_stuck by=%r", self._identity.means)
            return
        await out(f": {note}; resume with the last id\n\n", is_more=False)

    async def _texts(self) -> AsyncGenerator[str, None]:
        """Yield what goes out, page by page."""
        yield f": the journal of promptyoself\nretry: {round(limits.EVENTS_RETRY.total_seconds() * 1000)}\n\n"
        clock, checked = self._streams.clock, self._streams.clock.monotonic()
        async with aclosing(self._streams.tail.follow(self._after)) as pages:
            async for page in pages:
                yield page_text(page, self._wanted)
                if clock.monotonic() - checked >= limits.EVENTS_BEAT_EVERY.total_seconds():
                    checked = clock.monotonic()
                    if not await self._is_still_known():
                        yield ": the token is not valid any more\n\n"
                        return


def page_text(page: Page, wanted: Wanted) -> str:
    """Return a page as the stream carries it.

    It ends with an id of its own, which a reader keeps though no event comes with it: what was not for this reader is
    not looked through again when it comes back.
    """
    parts: list[str] = []
    if page.gap is not None:
        parts.append(f"event: gap\ndata: {wire.dumps(wire.gap(page.gap) or {})}\n\n")
    told = [one for one in page.told if wanted.includes(one)]
    for one in told:
        shape = wire.event(one, for_http(sentence(one.fact)))
        parts.append(f"id: {shape['id']}\nevent: {shape['event']}\ndata: {wire.dumps(shape)}\n\n")
    if not told or told[-1].fact.id != page.until:
        parts.append(f": alive\nid: {page.until}\n\n")
    return "".join(parts)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
