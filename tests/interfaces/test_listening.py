"""Where `serve` listens: only where it may, and refused in a sentence before anything starts."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptyoself.domain.errors import ConfigError
from promptyoself.interfaces.failures import is_loopback
from promptyoself.interfaces.http.listening import Listening, listen
from tests.interfaces.world import Door


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of our own for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    return make_pem(folder)


def make_pem(folder: Path, *, name: str = "one") -> tuple[Path, Path]:
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return cert, key


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


def listened(**options: Any) -> Listening:  # noqa: ANN401  the options of `listen`
    found = listen(port=0, **options)
    found.socket.close()
    return found


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("127.0.0.2", "127.0.0.2")]
)
def test_this_machine_alone_needs_nothing(host: str, shown: str) -> None:
    found = listened(host=host)

    assert found.url == f"http://{shown}:{found.port}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104  refused
def test_other_machines_need_tls_or_a_word(host: str) -> None:
    with pytest.raises(ConfigError) as refused:
        listened(host=host or "0.0.0.0")  # noqa: S104  as above

    assert refused.value.hint is not None
    for cure in ("--tls-cert", "--allow-plain-http"):
        assert cure in refused.value.hint


def test_a_word_allows_plain_http() -> None:
    assert listened(host="0.0.0.0", may_be_plain=True).url.startswith("http://127.0.0.1:")  # noqa: S104  asked for


def test_tls_allows_other_machines(pem: tuple[Path, Path]) -> None:
    assert listened(host="0.0.0.0", tls_cert=str(pem[0]), tls_key=str(pem[1])).url.startswith("https://")  # noqa: S104


def test_a_certificate_may_hold_its_key(pem: tuple[Path, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pem[0].read_bytes() + pem[1].read_bytes())

    assert listened(tls_cert=str(both)).tls == (both, None)


def test_a_bad_certificate_is_refused(pem: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_pem(tmp_path, name="other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nothing of the kind")
    for cert, key, said in (
        (tmp_path / "gone.pem", None, "cannot be read"),
        (nonsense, None, "do not make a certificate with its key"),
        (pem[0], None, "do not make a certificate with its key"),
        (pem[0], other[1], "do not make a certificate with its key"),
    ):
        with pytest.raises(ConfigError, match=said):
            listened(tls_cert=str(cert), tls_key=key and str(key))


def test_an_encrypted_key_asks_nobody(pem: tuple[Path, Path], tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", str(pem[1]), "-out", str(locked), "-aes256", "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)

    with pytest.raises(ConfigError, match="certificate with its key"):
        listened(tls_cert=str(pem[0]), tls_key=str(locked))


def test_a_key_without_a_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="without --tls-cert"):
        listened(tls_key="key.pem")


def test_a_port_in_use_is_refused(taken: int) -> None:
    with pytest.raises(ConfigError, match=f"port {taken} .* is in use"):
        listen(port=taken)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "\ud800", "a" * 300])
def test_an_address_of_elsewhere_is_refused(host: str) -> None:
    with pytest.raises(ConfigError):
        listened(host=host, may_be_plain=True)


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match="is no port"):
        listen(port=port)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  every address
        ("10.0.0.1", False),
        ("::1%lo", True),
        ("fe80::1%eth0", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_is_told_by_the_address(address: str | None, *, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_refused_address_starts_nothing(door: Door, taken: int) -> None:
    answer = door.call("serve", "--port", str(taken))

    assert answer.code == 1
    assert answer.json["code"] == "config"
    assert "--port" in answer.json["hint"]
    assert not door.services.path.exists()


def test_serve_says_where_it_is_and_answers_with_one_object(door: Door) -> None:
    answer = door.call("serve", "--port", "0")

    assert answer.code == 0, answer
    assert answer.json["url"] in answer.err


def test_answers_are_not_held_back_until_the_caller_has_acknowledged_their_beginning() -> None:
    # asyncio sets TCP_NODELAY only where the socket says that it is TCP's; without it each answer costs 40 ms more.
    opened = listen(port=0)
    with opened.socket:
        assert opened.socket.proto == socket.IPPROTO_TCP
