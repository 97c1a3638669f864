"""What a schedule sends besides one prompt: read as Letta's clients send it, bounded, and kept as it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from promptyoself.domain import limits
from promptyoself.domain.content import (
    Content,
    messages_of,
    parse_content,
    read_content,
    rendered,
    text_bytes,
    with_messages_of,
    without_messages,
)
from promptyoself.domain.errors import InvalidInput

PNG = base64.b64encode(b"\x89PNG" + bytes(8)).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
HELLO = {"role": "user", "content": "hello"}


def said(*messages: object, **options: object) -> Content:
    return read_content({"messages": list(messages), **options})


def test_all_that_letta_s_clients_send_is_kept_as_it_was() -> None:
    given: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be brief.", "name": "rule"},
            {"role": "assistant", "content": [{"type": "text", "text": "Yes?", "signature": "s"}], "otid": "o-1"},
            {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE], "sender_id": "identity-1"},
        ],
        "max_steps": 3,
        "include_return_message_types": ["user_message", "assistant_message"],
        "callback_url": "https://example.com/hook",
    }
    content = read_content(given)
    assert content.members == given
    assert parse_content(content.text) == content
    assert content.callback_url == "https://example.com/hook"
    assert rendered(content.messages) == (
        "[system] Be brief.\n\n[assistant] Yes?\n\n[user] Look.\n[an image, image/png, 12 bytes]"
    )
    assert text_bytes(content.messages) == len("Be brief.Yes?Look.")


def test_what_clients_leave_to_defaults_is_filled_in() -> None:
    part = {"text": "a"}
    source = {"media_type": "image/png", "data": PNG, "detail": None}
    content = said(
        {"role": "user", "type": "message", "content": [part, {"type": "image", "source": source}]}, max_steps=4.0
    )
    assert content.members["max_steps"] == 4
    assert content.messages == [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}]


def test_a_single_message_of_the_user_reads_as_its_text() -> None:
    assert rendered(said(HELLO).messages) == "hello"
    assert messages_of("hello", None) == [HELLO] == messages_of("hello", read_content({"max_steps": 2}))


def test_options_and_messages_are_edited_apart() -> None:
    old = said(HELLO, max_steps=2)
    assert with_messages_of(read_content({"max_steps": 9}), old) == said(HELLO, max_steps=9)
    assert with_messages_of(said(HELLO | {"content": "x"}), old).messages[0]["content"] == "x"
    assert without_messages(old) == read_content({"max_steps": 2})
    assert without_messages(said(HELLO)) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "not a JSON object"),
        ({}, "is empty"),
        ({"messages": None}, "is empty"),
        ({"messages": []}, "at least one"),
        ({"messages": [HELLO] * (limits.CONTENT_MESSAGES_MAX + 1)}, "too many"),
        ({"messages": ["hello"]}, "message 1 is not a JSON object"),
        ({"messages": [HELLO | {"role": "tool"}]}, "has the role 'tool'"),
        ({"messages": [HELLO | {"role": ["user"]}]}, "has the role"),
        ({"messages": [HELLO | {"type": "approval"}]}, "only plain messages"),
        ({"messages": [HELLO | {"group_id": "g"}]}, "'group_id', which is not known"),
        ({"messages": [HELLO | {"content": " \n"}]}, "message 1 is empty"),
        ({"messages": [HELLO | {"content": 3}]}, "neither a text nor a list"),
        ({"messages": [HELLO | {"content": [{"type": "text", "text": " "}]}]}, "message 1 is empty"),
        ({"messages": [HELLO | {"content": [IMAGE] * (limits.CONTENT_PARTS_MAX + 1)}]}, "51 parts"),
        ({"messages": [HELLO | {"content": [{"type": "audio"}]}]}, "neither a text nor an image"),
        ({"messages": [HELLO | {"content": [{"type": "text"}]}]}, "has no text"),
        ({"messages": [HELLO | {"content": "\ud800"}]}, "not valid Unicode"),
        ({"messages": [HELLO | {"content": "a\0b"}]}, "NUL"),
        ({"messages": [HELLO | {"name": "a\nb"}]}, "the name of message 1"),
        (
            {
                "messages": [
                    HELLO | {"content": [{"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/"}}]}
                ]
            },
            "bytes",
        ),
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": True}, "max_steps"),
        ({"max_steps": 1.5}, "max_steps"),
        ({"max_steps": float("inf")}, "max_steps"),
        ({"max_steps": float("nan")}, "max_steps"),
        ({"max_steps": 10**400}, "max_steps"),
        ({"include_return_message_types": ["all"]}, "unknown kind"),
        ({"include_return_message_types": [["user_message"]]}, "unknown kind"),
        ({"callback_url": ""}, "the callback_url"),
        ({"callback_url": "https://example.com/" + "x" * 2000}, "the callback_url"),
        ({"callback": "x"}, "'callback', which is not known"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(given: object, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_content(given)
    assert says in refused.value.message


@pytest.mark.parametrize(
    "source",
    [
        {"media_type": "text/html", "data": PNG},
        {"media_type": "image/png\nX: y", "data": PNG},
        {"media_type": "image/png", "data": "not base64"},
        {"media_type": "image/png", "data": PNG + "\n"},
        {"media_type": "image/png", "data": PNG[:-1]},
        {"media_type": "image/png", "data": ""},
        {"media_type": "image/png", "data": PNG, "detail": "huge"},
        {"media_type": "image/png", "data": base64.b64encode(bytes(limits.CONTENT_IMAGE_BYTES_MAX + 1)).decode()},
    ],
)
def test_an_image_that_is_none_is_refused(source: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        said({"role": "user", "content": [{"type": "image", "source": source}]})


def test_text_and_the_whole_are_bounded() -> None:
    with pytest.raises(InvalidInput, match="bytes of text"):
        said(*[{"role": "user", "content": "é" * 300_000}] * 2)
    image = {"type": "image", "source": IMAGE["source"] | {"data": "A" * 4 * 1024 * 1024}}  # type: ignore[operator]
    with pytest.raises(InvalidInput, match="the content has"):
        said({"role": "user", "content": [image] * 3})
    for text in ("[" * 100_000, "{", '{"max_steps": ' + "9" * 5000 + "}", " " * (limits.CONTENT_BYTES_MAX + 1)):
        with pytest.raises(InvalidInput):
            parse_content(text)


def test_its_json_is_ascii_so_that_its_size_is_its_length() -> None:
    content = said(HELLO | {"content": "grüße"})
    assert content.text.isascii()
    assert content.size == len(content.text)
    assert json.loads(content.text)["messages"][0]["content"] == "grüße"
