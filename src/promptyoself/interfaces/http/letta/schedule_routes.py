"""Letta's schedule routes: create, list, retrieve, delete, and the receipts of one. Each is a command of ours.

Ids are our integer ids as text. What is listed is what is still to come, as on Letta Cloud: a schedule that is over
answers 404, but for its receipts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from promptyoself.domain import limits
from promptyoself.domain.agents import validate_agent_id
from promptyoself.domain.errors import Conflict, Forbidden, InvalidInput, PromptyoselfError, ScheduleNotFound
from promptyoself.interfaces.http.api.routing import is_json
from promptyoself.interfaces.http.letta import orders, shapes
from promptyoself.interfaces.http.letta.answers import answer, fail, refuse
from promptyoself.interfaces.http.letta.reception import Reception
from promptyoself.interfaces.http.letta.repeats import RETRY_COUNT, Repeats, digest_of, is_repeat
from promptyoself.interfaces.pages import DELIVERED, LISTED, cursor

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from promptyoself.interfaces.door import Door
    from promptyoself.interfaces.identity import Identity
    from promptyoself.interfaces.wire import Document

COLLECTION: Final = "/v1/agents/{agent_id}/schedule"
_LETTA: Final = "letta"
_LIVE: Final = frozenset({"active", "paused"})
_ID_DIGITS_MAX: Final = 18
_CREATED: Final = 201
_NOT_JSON: Final = 415


class Desk(NamedTuple):
    """Where the routes bring what they are asked."""

    door: Door
    reception: Reception
    repeats: Repeats


class _Asked(NamedTuple):
    """One request by somebody who was recognised, about one agent."""

    desk: Desk
    request: Request
    identity: Identity
    agent_id: str

    async def carry_out(self, command: str, **options: Any) -> Document:  # noqa: ANN401  as the door takes them
        """Carry out a command for the caller."""
        return await self.desk.door.carry_out(command, options, self.identity)

    @property
    def id(self) -> str:
        """The id in the path."""
        return str(self.request.path_params["scheduled_message_id"])


_Act = Callable[[_Asked], Awaitable[tuple[int, "Document"]]]


def routes(desk: Desk) -> list[Route]:
    """Return the routes, each with and without a slash at its end."""
    acts: dict[str, dict[str, _Act]] = {
        COLLECTION: {"POST": _create, "GET": _list},
        COLLECTION + "/{scheduled_message_id}": {"GET": _retrieve, "DELETE": _delete},
        COLLECTION + "/{scheduled_message_id}/history": {"GET": _history},
    }
    return [
        Route(path + slash, _Endpoint(desk, by_method), include_in_schema=False)
        for path, by_method in acts.items()
        for slash in ("", "/")
    ]


class _Endpoint:
    """One path: recognises the caller, does what the method says, and answers in Letta's form."""

    def __init__(self, desk: Desk, acts: dict[str, _Act]) -> None:
        self._desk = desk
        self._acts = acts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        act = self._acts.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if act is None:
            allowed = ", ".join(self._acts)
            document = {"detail": f"{scope['method']} is not for this path; use {allowed}", "code": "usage"}
            await answer(send, 405, document, {b"allow": allowed.encode()})
            return
        request = Request(scope, receive)
        try:
            status, document = await act(await self._asked(request))
        except PromptyoselfError as error:
            await refuse(send, error)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  a bug is answered in Letta's form, and logged without its words
            await fail(send, error)
        else:
            await answer(send, status, document)

    async def _asked(self, request: Request) -> _Asked:
        identity = await self._desk.reception.identify(request.scope)
        agent_id = validate_agent_id(request.path_params["agent_id"])
        if not identity.is_operator and identity.owner != agent_id:
            raise Forbidden(
                f"this token acts for agent {identity.owner} alone", hint="put that agent's id into the path"
            )
        return _Asked(self._desk, request, identity, agent_id)


async def _create(asked: _Asked) -> tuple[int, Document]:
    if not is_json(asked.request):
        # What a page of another site can send unasked is never JSON; a Letta that is open has no other lock.
        said = "the body must be JSON, and its Content-Type application/json"
        return _NOT_JSON, {"detail": said, "code": "unsupported_media_type"}
    body = await _body(asked.request)
    order = orders.read_order(asked.agent_id, orders.read_json(body), asked.request.query_params)
    order["idempotency_key"] = asked.request.headers.get("idempotency-key")
    if order["idempotency_key"] is None and RETRY_COUNT in asked.request.headers:
        return await _create_once(asked, order, body)
    return _CREATED, shapes.created(await asked.carry_out("register", **order))


async def _create_once(asked: _Asked, order: orders.Options, body: bytes) -> tuple[int, Document]:
    """Create it for a client that repeats by itself; see repeats.py."""
    desk, headers = asked.desk, asked.request.headers
    url = asked.request.url
    digest = digest_of(asked.identity, f"{url.path}?{url.query}", body)
    made = await desk.repeats.take(digest) if is_repeat(headers[RETRY_COUNT]) else None
    key = made or f"repeat-{desk.door.services.new_uid()}"
    desk.repeats.begin(key, digest, asked.request.is_disconnected)
    try:
        registered = await asked.carry_out("register", **order | {"idempotency_key": key})
    except Exception:
        desk.repeats.forget(key)
        raise
    await desk.repeats.end(key)
    return _CREATED, shapes.created(registered)


async def _list(asked: _Asked) -> tuple[int, Document]:
    listed = await asked.carry_out(
        "list",
        agent_id=asked.agent_id,
        target=_LETTA,
        limit=_limit(asked.request),
        cursor=_behind(asked.request, LISTED),
        full_content=True,
    )
    shown = [shapes.scheduled_message(one, one["content"]) for one in listed["schedules"]]
    return 200, shapes.page(shown, has_next_page=bool(listed["next_cursor"]))


async def _retrieve(asked: _Asked) -> tuple[int, Document]:
    return 200, await _live(asked)


async def _delete(asked: _Asked) -> tuple[int, Document]:
    shown = await _live(asked)
    try:
        await asked.carry_out("cancel", id=int(shown["id"]))
    except Conflict:  # it was over by then
        raise _not_found(asked) from None
    return 200, {"success": True}


async def _history(asked: _Asked) -> tuple[int, Document]:
    limit, number = _limit(asked.request), _number(asked)
    schedule = (await asked.carry_out("show", id=number))["schedule"]
    if not _is_of(asked, schedule):
        raise _not_found(asked)
    found = await asked.carry_out("history", id=number, limit=limit, cursor=_behind(asked.request, DELIVERED))
    return 200, shapes.history(asked.id, found["deliveries"], has_next_page=bool(found["next_cursor"]))


async def _live(asked: _Asked) -> Document:
    """Return the schedule of the path, if it is this agent's and still to come. Raises ScheduleNotFound."""
    try:
        found = await _shown(asked, _number(asked))
    except ScheduleNotFound:
        found = None
    if found is None:
        raise _not_found(asked)
    return found


async def _shown(asked: _Asked, number: int) -> Document | None:
    shown = await asked.carry_out("show", id=number)
    schedule = shown["schedule"]
    if not _is_of(asked, schedule) or schedule["state"] not in _LIVE:
        return None
    return shapes.scheduled_message(schedule, shown["details"].get("content"))


def _is_of(asked: _Asked, schedule: Document) -> bool:
    return (schedule["agent_id"], schedule["target"]) == (asked.agent_id, _LETTA)


def _not_found(asked: _Asked) -> ScheduleNotFound:
    shown = asked.id if asked.id.isascii() and asked.id.isalnum() and len(asked.id) <= _ID_DIGITS_MAX else "of that id"
    return ScheduleNotFound(
        f"scheduled message {shown} was not found for agent {asked.agent_id}",
        hint="it may have been sent or deleted; list what is scheduled",
    )


def _number(asked: _Asked) -> int:
    digits = asked.id
    if not digits.isascii() or not digits.isdigit() or len(digits) > _ID_DIGITS_MAX or digits[0] == "0":
        raise _not_found(asked)
    return int(digits)


def _limit(request: Request) -> int:
    number = _query_number(request, "limit", least=1)
    return limits.SCHEDULED_PAGE_DEFAULT if number is None else min(number, limits.SCHEDULED_PAGE_MAX)


def _behind(request: Request, kind: str) -> str | None:
    """Return our cursor for Letta's `after`, which is the id of the last one seen."""
    after = _query_number(request, "after", least=0)
    return None if after is None else cursor(kind, after)


def _query_number(request: Request, name: str, *, least: int) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _ID_DIGITS_MAX or int(text) < least:
        what = "a number of schedules" if name == "limit" else "an id that a page before has named"
        raise InvalidInput(f"{name} is not {what}", hint="leave it out for the first page")
    return int(text)


async def _body(request: Request) -> bytes:
    """Return the body, ORDER_BYTES_MAX at most. Raises InvalidInput."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limits.ORDER_BYTES_MAX:
            raise InvalidInput(f"the body has more than {limits.ORDER_BYTES_MAX} bytes", hint="send smaller images")
        pieces.append(piece)
    return b"".join(pieces)
