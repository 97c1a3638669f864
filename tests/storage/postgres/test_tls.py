"""TLS to the server: what fits is let in, what does not is refused at once and said, and no password with it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import pytest

from promptyoself.domain.errors import StoreError, StoreUnreachable
from promptyoself.storage.postgres import PostgresStore
from promptyoself.storage.postgres_errors import not_connected
from tests.postgres.server import PostgresServer, programs

VERSION: Final = 15
"""Debian's: those of PyPI are built without TLS."""
KEY: Final[list[str | Path]] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Place(NamedTuple):
    """A server with a certificate for `localhost`."""

    port: int
    folder: Path

    def url(self, parameters: str, *, host: str = "localhost") -> str:
        return f"postgresql://postgres:hush@{host}:{self.port}/postgres?{parameters}"


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)


def make_ca(folder: Path, name: str) -> None:
    files: list[str | Path] = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    openssl("req", "-x509", *KEY, *files, "-days", "2", "-subj", f"/CN={name}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if programs(VERSION) is None:
        pytest.skip(f"this machine has no PostgreSQL {VERSION}, and those from PyPI speak no TLS")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "other"):
        make_ca(folder, name)
    key, crt, asked, names = (folder / f"server.{end}" for end in ("key", "crt", "csr", "ext"))
    names.write_text("subjectAltName=DNS:localhost")
    openssl("req", *KEY, "-keyout", key, "-out", asked, "-subj", "/CN=localhost")
    signer: list[str | Path] = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2"]
    openssl("x509", "-req", "-in", asked, *signer, "-extfile", names, "-out", crt)
    with PostgresServer(VERSION, settings={"ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}) as server:
        data = server.folder / "data"
        for file in (key, crt):
            shutil.copy(file, data)
            shutil.chown(data / file.name, data.owner())
            (data / file.name).chmod(0o600)
        server.stop()
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\n")
        server.start()
        yield Place(server.port, folder)


def refused(url: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        PostgresStore.open(url, new_uid=lambda: "1" * 32)
    assert not isinstance(caught.value, StoreUnreachable), "waiting would not mend it"
    assert caught.value.hint
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def test_a_server_that_is_who_it_should_be_is_let_in(place: Place) -> None:
    store = PostgresStore.open(
        place.url(f"sslmode=verify-full&sslrootcert={place.folder}/ca.crt"), new_uid=lambda: "1" * 32
    )
    with psycopg.connect(store.conninfo) as connection:
        found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert found == (True,)
    store.close()


def test_one_that_is_not_is_refused(place: Place) -> None:
    other = refused(place.url(f"sslmode=verify-full&sslrootcert={place.folder}/other.crt"))
    assert "no CA that is trusted here" in other.message
    assert "sslrootcert=" in str(other.hint)
    named = refused(place.url(f"sslmode=verify-full&sslrootcert={place.folder}/ca.crt", host="127.0.0.1"))
    assert 'does not match host name "127.0.0.1"' in named.message
    missing = refused(place.url(f"sslmode=verify-full&sslrootcert={place.folder}/none.crt"))
    assert "none.crt" in missing.message


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("SSL error: certificate verify failed", "sslrootcert="),
        ('server certificate for "db" does not match host name "x"', "as its certificate does"),
        ('root certificate file "/x/root.crt" does not exist', "sslrootcert="),
        ("server does not support SSL, but SSL was required", "ssl = on"),
        ('private key file "/x/key" has group or world access', "0600"),
    ],
)
def test_each_disagreement_has_its_cure(said: str, word: str) -> None:
    text = f'connection failed: connection to server at "10.0.0.1", port 5432 failed: {said}\nAnd more.'
    error = not_connected(psycopg.OperationalError(text), "postgresql://me@db/x")
    assert not isinstance(error, StoreUnreachable)
    assert error.message.endswith(f"({said})")
    assert word in str(error.hint)
