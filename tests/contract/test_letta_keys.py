"""Whether Letta knows a key: believed only where a stranger's is refused, within two seconds, and never guessed."""

from __future__ import annotations

import asyncio
import time

import pytest

from promptyoself.domain.access import KeyVerdict
from promptyoself.domain.errors import CannotVerify
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta_keys import check_key
from promptyoself.targets.letta_settings import LettaSettings
from tests.contract.test_letta_check import ask
from tests.fakes.letta_http import FakeLetta

STRANGER = Secret("nobody-0123")


def verdict(fake: FakeLetta, key: str | None) -> KeyVerdict:
    secret = None if key is None else Secret(key)
    return ask(fake, lambda settings: check_key(settings, secret, stranger=STRANGER), "key-of-the-settings")


@pytest.mark.parametrize(
    ("password", "key", "expected"),
    [
        ("right", "right", KeyVerdict.ACCEPTED),
        ("right", "wrong", KeyVerdict.REFUSED),
        ("right", None, KeyVerdict.REFUSED),
        (None, "any", KeyVerdict.UNCHECKED),
        (None, None, KeyVerdict.UNCHECKED),
        ("p%24s~w!", "p%24s~w!", KeyVerdict.ACCEPTED),
    ],
)
def test_a_key_is_believed_where_a_strangers_is_not(
    password: str | None, key: str | None, expected: KeyVerdict
) -> None:
    assert verdict(FakeLetta(password=password), key) is expected


def test_the_key_of_the_settings_vouches_for_nobody() -> None:
    assert verdict(FakeLetta(password="key-of-the-settings"), "wrong") is KeyVerdict.REFUSED
    assert verdict(FakeLetta(password="key-of-the-settings"), None) is KeyVerdict.REFUSED


@pytest.mark.parametrize("key", ["", "two words", "a\r\nX-Evil: 1", "ünïcode", "\x00", "tab\t"])
def test_what_fits_into_no_header_is_never_sent(key: str) -> None:
    fake = FakeLetta(password=None)
    assert verdict(fake, key) is KeyVerdict.REFUSED
    assert fake.requests == []


def asked_of(answer: bytes | None, *, timeout_s: float = 2.0) -> tuple[KeyVerdict | CannotVerify, float]:
    """Ask a server that gives `answer` to everybody, or none; return what came of it and how long it took."""

    async def scene() -> tuple[KeyVerdict | CannotVerify, float]:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await over.wait()
            else:
                writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        settings = LettaSettings(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        began = time.perf_counter()  # noqa: TID251  how long it really takes is the question
        found: KeyVerdict | CannotVerify
        try:
            found = await asyncio.to_thread(
                check_key, settings, Secret("canary"), stranger=STRANGER, timeout_s=timeout_s
            )
        except CannotVerify as error:
            found = error
        took_s = time.perf_counter() - began  # noqa: TID251  as above
        over.set()
        server.close()
        await server.wait_closed()
        return found, took_s

    return asyncio.run(scene())


@pytest.mark.parametrize("status", ["404 Not Found", "429 Slow", "500 Oops", "307 Away\r\nLocation: /v1/health/"])
def test_an_answer_that_is_neither_yes_nor_no_decides_nothing(status: str) -> None:
    found, _ = asked_of(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
    assert isinstance(found, CannotVerify)
    assert status[:3] in found.message
    assert "canary" not in f"{found.message} {found.hint}"
    assert found.http_status == 503


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9\r\n"])
def test_a_server_that_speaks_something_else_decides_nothing(answer: bytes) -> None:
    found, _ = asked_of(answer)
    assert isinstance(found, CannotVerify)


def test_a_letta_that_is_not_there_is_said_to_be_so() -> None:
    settings = LettaSettings(base_url="http://127.0.0.1:1")
    with pytest.raises(CannotVerify, match="cannot be asked"):
        check_key(settings, Secret("any"), stranger=STRANGER)


def test_a_letta_that_does_not_answer_is_given_up_within_the_bound() -> None:
    found, took_s = asked_of(None, timeout_s=0.3)
    assert isinstance(found, CannotVerify)
    assert took_s < 1.5
