"""What a schedule sends besides one plain prompt: several messages, roles, images, and options of the request.

The shapes are those of Letta's schedule API (letta-client: types/agents/schedule_create_params.py). A content is read
once, where it comes in, and kept as JSON that nothing reads again until it is sent: planning never opens an image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import InvalidInput
from promptyoself.domain.values import dataclass

Members = dict[str, Any]
"""One JSON object."""


class Role(StrEnum):
    """Who speaks in a message."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class ReturnType(StrEnum):
    """Kinds of messages that a caller may ask to get back, under Letta's names."""

    SYSTEM = "system_message"
    USER = "user_message"
    ASSISTANT = "assistant_message"
    REASONING = "reasoning_message"
    HIDDEN_REASONING = "hidden_reasoning_message"
    TOOL_CALL = "tool_call_message"
    TOOL_RETURN = "tool_return_message"
    APPROVAL_REQUEST = "approval_request_message"
    APPROVAL_RESPONSE = "approval_response_message"


_OPTIONS: Final = ("max_steps", "include_return_message_types", "callback_url")
_KNOWN: Final = ("messages", *_OPTIONS)
_MESSAGE: Final = ("role", "content", "name", "otid", "sender_id", "type")
_TEXT_PART: Final = ("type", "text", "signature")
_IMAGE_PART: Final = ("type", "source")
_SOURCE: Final = ("type", "data", "media_type", "detail")
_MEDIA_TYPE: Final = re.compile(r"image/[a-z0-9][a-z0-9.+-]{0,59}")
_DETAILS: Final = ("low", "high", "auto")
_SHOWN_CHARS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Content:
    """A content that was checked when it came in. Two are equal when they say the same.

    `text` is its JSON, with sorted names and without spaces. Without messages in it, the schedule's prompt is the one
    message, of role user.
    """

    text: str

    @property
    def members(self) -> Members:
        """The JSON object: what of `messages`, `max_steps`, `include_return_message_types`, `callback_url` was given.

        It is a fresh copy each time.
        """
        members: Members = json.loads(self.text)
        return members

    @property
    def messages(self) -> list[Members]:
        """The messages, each with `role` and `content` (a text, or a list of parts); empty for the plain prompt."""
        messages: list[Members] = self.members.get("messages", [])
        return messages

    @property
    def callback_url(self) -> str | None:
        """Where to tell how a delivery ended."""
        url: str | None = self.members.get("callback_url") if "callback_url" in self.text else None
        return url

    @property
    def size(self) -> int:
        """Bytes of its JSON, images in base64."""
        return len(self.text)  # it is ASCII


def read_content(given: object) -> Content:
    """Return the content that a caller's JSON value means: an object with any of the names in `_KNOWN`.

    A member that is null is one that was not given. Raises InvalidInput for what is not understood, too large or empty.
    Of a callback's URL only its length is checked here: domain/addresses.py judges it.
    """
    members = _object(given, "the content", _KNOWN)
    read: Members = {}
    if "messages" in members:
        read["messages"] = _messages(members["messages"])
    if "max_steps" in members:
        read["max_steps"] = _max_steps(members["max_steps"])
    if "include_return_message_types" in members:
        read["include_return_message_types"] = _return_types(members["include_return_message_types"])
    if "callback_url" in members:
        read["callback_url"] = _text(members, "callback_url", "the content", limits.CALLBACK_URL_CHARS_MAX)
    if not read:
        raise InvalidInput("the content is empty", hint=f"it is an object with any of: {', '.join(_KNOWN)}")
    return _checked(read)


def parse_content(text: str) -> Content:
    """Return the content that a JSON text is. Raises InvalidInput."""
    if len(text) > limits.CONTENT_BYTES_MAX:
        raise _too_large(len(text))
    try:
        given = json.loads(text)
    except RecursionError:
        raise InvalidInput("the content is JSON nested too deep") from None
    except ValueError:
        raise InvalidInput(
            "the content is not JSON", hint='for example {"messages": [{"role": "user", ...}]}'
        ) from None
    return read_content(given)


def with_messages_of(options: Content, old: Content | None) -> Content:
    """Return `options` with the messages of `old`, if it has none of its own: an edit of options keeps what is said."""
    messages = old.messages if old is not None else []
    if not messages or options.messages:
        return options
    return _checked(options.members | {"messages": messages})


def without_messages(content: Content) -> Content | None:
    """Return what is left when a plain prompt takes the place of the messages; None when that is nothing."""
    options = {name: value for name, value in content.members.items() if name != "messages"}
    return _checked(options) if options else None


def rendered(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return messages as one plain text, for lists, the inbox and people: images are named, not shown.

    A single message of the user is its text; in all others each begins with its role in brackets.
    """
    if len(messages) == 1 and messages[0]["role"] == Role.USER:
        return _rendered(messages[0]["content"])
    return "\n\n".join(f"[{one['role']}] {_rendered(one['content'])}" for one in messages)


def text_bytes(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how many UTF-8 bytes the texts of messages have, images aside."""
    return sum(len(text.encode()) for one in messages for text in _texts(one["content"]))


def messages_of(prompt: str, content: Content | None) -> list[Members]:
    """Return all messages of a schedule, the plain prompt as the one of its user."""
    return (content.messages if content is not None else []) or [{"role": str(Role.USER), "content": prompt}]


def _rendered(content: str | list[Members]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part["type"] == "text" else _image_named(part["source"]) for part in content)


def _image_named(source: Members) -> str:
    return f"[an image, {source['media_type']}, {_decoded_bytes(source['data'])} bytes]"


def _texts(content: str | list[Members]) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]


# -- reading ------------------------------------------------------------------------------------------------


def _checked(members: Members) -> Content:
    content = Content(json.dumps(members, sort_keys=True, separators=(",", ":")))
    if content.size > limits.CONTENT_BYTES_MAX:
        raise _too_large(content.size)
    return content


def _too_large(size: int) -> InvalidInput:
    return InvalidInput(
        f"the content has {size} bytes; at most {limits.CONTENT_BYTES_MAX} are allowed", hint="send smaller images"
    )


def _messages(given: object) -> list[Members]:
    if not isinstance(given, list) or not given:
        raise InvalidInput("the messages are not a list of at least one", hint='[{"role": "user", "content": "..."}]')
    if len(given) > limits.CONTENT_MESSAGES_MAX:
        raise InvalidInput(f"{len(given)} messages are too many; at most {limits.CONTENT_MESSAGES_MAX} are allowed")
    messages = [_message(one, f"message {number}") for number, one in enumerate(given, start=1)]
    size = text_bytes(messages)
    if size > limits.PROMPT_BYTES_MAX:
        raise InvalidInput(f"the messages have {size} bytes of text; at most {limits.PROMPT_BYTES_MAX} are allowed")
    return messages


def _message(given: object, what: str) -> Members:
    members = _object(given, what, _MESSAGE)
    if members.get("type", "message") != "message":
        raise InvalidInput(f"{what} is of type {_shown(members['type'])}; only plain messages can be scheduled")
    role = members.get("role")
    if role not in list(Role):
        raise InvalidInput(f"{what} has the role {_shown(role)}", hint=f"one of: {', '.join(Role)}")
    read: Members = {"role": str(role), "content": _content(members.get("content"), what)}
    for name in ("name", "otid", "sender_id"):
        if name in members:
            read[name] = _text(members, name, what, limits.NAME_CHARS_MAX)
    return read


def _content(given: object, what: str) -> str | list[Members]:
    if isinstance(given, str):
        text = _unicode(given, what)
        if not text.strip():
            raise InvalidInput(f"{what} is empty", hint="give it a text, or parts")
        return text
    if not isinstance(given, list) or not given:
        raise InvalidInput(f"{what} has neither a text nor a list of parts as its content")
    if len(given) > limits.CONTENT_PARTS_MAX:
        raise InvalidInput(f"{what} has {len(given)} parts; at most {limits.CONTENT_PARTS_MAX} are allowed")
    parts = [_part(one, f"part {number} of {what}") for number, one in enumerate(given, start=1)]
    if not any(part["type"] == "image" or part["text"].strip() for part in parts):
        raise InvalidInput(f"{what} is empty", hint="give it a text, or an image")
    return parts


def _part(given: object, what: str) -> Members:
    kind = given.get("type") if isinstance(given, dict) else None
    if kind is None and isinstance(given, dict) and "text" in given:
        kind = "text"
    if kind == "text":
        members = _object(given, what, _TEXT_PART)
        if not isinstance(members.get("text"), str):
            raise InvalidInput(f"{what} has no text")
        read: Members = {"type": "text", "text": _unicode(members["text"], what)}
        if "signature" in members:
            read["signature"] = _text(members, "signature", what, limits.SIGNATURE_CHARS_MAX)
        return read
    if kind == "image":
        return {"type": "image", "source": _source(_object(given, what, _IMAGE_PART).get("source"), what)}
    raise InvalidInput(f"{what} is neither a text nor an image", hint='its type is "text" or "image"')


def _source(given: object, what: str) -> Members:
    """Read an image. Only its bytes are taken, never an address: Letta would fetch that from its own network."""
    kind = given.get("type", "base64") if isinstance(given, dict) else None
    if kind != "base64":
        raise InvalidInput(
            f"the image in {what} does not bring its bytes",
            hint='its source is {"type": "base64", "media_type": "image/png", "data": "..."}',
        )
    members = _object(given, f"the source of {what}", _SOURCE)
    media_type, data = members.get("media_type"), members.get("data")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidInput(f"the image in {what} has the media type {_shown(media_type)}", hint="such as image/png")
    if not isinstance(data, str) or not _is_base64(data):
        raise InvalidInput(f"the image in {what} is not base64", hint="encode its bytes as RFC 4648 says, with padding")
    size = _decoded_bytes(data)
    if size > limits.CONTENT_IMAGE_BYTES_MAX:
        raise InvalidInput(
            f"the image in {what} has {size} bytes; at most {limits.CONTENT_IMAGE_BYTES_MAX} are allowed",
            hint="make it smaller",
        )
    read: Members = {"type": "base64", "media_type": media_type, "data": data}
    if "detail" in members:
        if members["detail"] not in _DETAILS:
            raise InvalidInput(
                f"the image in {what} has the detail {_shown(members['detail'])}", hint="low, high, auto"
            )
        read["detail"] = members["detail"]
    return read


def _is_base64(data: str) -> bool:
    import binascii

    if not data or not data.isascii():
        return False
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        return False
    return len(data) % 4 == 0


def _decoded_bytes(data: str) -> int:
    return len(data) // 4 * 3 - data[-2:].count("=")


def _max_steps(given: object) -> int:
    # letta-client's type is a float, because JSON has one kind of number.
    if isinstance(given, int | float) and not isinstance(given, bool):  # noqa: SIM102  the second needs a number
        if 1 <= given <= limits.MAX_STEPS_MAX and given == int(given):
            return int(given)
    raise InvalidInput(f"max_steps is not a whole number from 1 to {limits.MAX_STEPS_MAX}")


def _return_types(given: object) -> list[str]:
    known = [str(one) for one in ReturnType]
    if not isinstance(given, list) or any(one not in known for one in given):
        raise InvalidInput("include_return_message_types holds an unknown kind", hint=f"any of: {', '.join(known)}")
    return [one for one in known if one in given]


def _object(given: object, what: str, known: Sequence[str]) -> Members:
    """Return an object's members that are given (not null). An unknown one is refused: it would be lost unseen."""
    if not isinstance(given, dict):
        raise InvalidInput(f"{what} is not a JSON object")
    members = {name: value for name, value in given.items() if value is not None}
    strange = next((name for name in members if name not in known), None)
    if strange is not None:
        raise InvalidInput(f"{what} has {_shown(strange)}, which is not known", hint=f"any of: {', '.join(known)}")
    return members


def _text(members: Members, name: str, what: str, most: int) -> str:
    text = members[name]
    if not isinstance(text, str) or not text or len(text) > most or not text.isprintable():
        raise InvalidInput(f"the {name} of {what} is not a plain text of 1 to {most} characters")
    return text


def _unicode(text: str, what: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidInput(f"{what} is not valid Unicode text", hint="send it as UTF-8")
    if "\0" in text:  # PostgreSQL keeps none, and what a file keeps is to go there one day
        raise InvalidInput(f"{what} holds a NUL character", hint="leave it out")
    return text


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return ascii(text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}...")
