"""Settings: which source wins, what is refused, and what is never printed."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from promptyoself.config import VARIABLES, config_path, load_settings, machine_timezone
from promptyoself.domain.errors import ConfigError
from promptyoself.postgres_url import PostgresUrl

KEY = "sk-very-secret"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home")}


def write_file(environ: dict[str, str], text: str) -> None:
    path = config_path(environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_flag_beats_environment_beats_dotenv_beats_file(home: dict[str, str], tmp_path: Path) -> None:
    name = "PROMPTYOSELF_TIMEZONE"

    def found(flag: str | None = None, **environ: str) -> tuple[str, str]:
        settings = load_settings(home | environ, tmp_path, flags={"timezone": flag})
        return settings.timezone.value, settings.timezone.source

    assert found(TZ="Asia/Tokyo") == ("Asia/Tokyo", "machine")
    write_file(home, 'timezone = "Europe/Riga"')
    assert found() == ("Europe/Riga", "file")
    (tmp_path / ".env").write_text(f"{name}=Europe/Oslo\n")
    assert found() == ("Europe/Oslo", ".env")
    assert found(**{name: "Europe/Rome"}) == ("Europe/Rome", "environment")
    assert found("Europe/Paris", **{name: "Europe/Rome"}) == ("Europe/Paris", "flag")


def test_the_database_lies_in_the_users_data_folder(home: dict[str, str], tmp_path: Path) -> None:
    def place(**environ: str) -> Path | PostgresUrl:
        return load_settings(home | environ, tmp_path, flags={}).db.value

    own = Path(home["HOME"])
    assert place() == own / ".local/share/promptyoself/promptyoself.db"
    assert place(XDG_DATA_HOME="/data") == Path("/data/promptyoself/promptyoself.db")
    assert place(XDG_DATA_HOME="relative") == own / ".local/share/promptyoself/promptyoself.db"
    assert place(PROMPTYOSELF_DB="~/x.db") == own / "x.db"
    assert place(PROMPTYOSELF_DB="x.db") == tmp_path / "x.db"


@pytest.mark.parametrize("source", ["flag", "environment", ".env", "file"])
def test_the_database_may_be_a_postgresql_server_and_its_password_is_not_shown(
    home: dict[str, str], tmp_path: Path, source: str
) -> None:
    url = "postgres://me:hunter2@host:5433/db"
    flags, environ = {"db": url} if source == "flag" else {}, dict(home)
    if source == "environment":
        environ["PROMPTYOSELF_DB"] = url
    elif source == ".env":
        (tmp_path / ".env").write_text(f"PROMPTYOSELF_DB={url}\n")
    elif source == "file":
        write_file(home, f'db = "{url}"')

    settings = load_settings(environ, tmp_path, flags=flags)

    found = settings.db.value
    assert isinstance(found, PostgresUrl)
    assert found.reveal() == url
    assert found.folder == Path(home["HOME"]) / ".local/share/promptyoself"
    shown = {one.name: one for one in settings.shown()}["PROMPTYOSELF_DB"]
    assert (shown.value, shown.source) == ("postgresql://me@host:5433/db", source)
    assert "hunter2" not in f"{settings!r}{settings}"


def test_an_address_that_cannot_be_read_is_not_quoted(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PROMPTYOSELF_DB") as caught:
        load_settings(home | {"PROMPTYOSELF_DB": "postgresql://me:hun/ter2@host/db"}, tmp_path, flags={})
    assert "ter2" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROMPTYOSELF_DB", ":memory:"),
        ("PROMPTYOSELF_DB", "sqlite:///x.db"),
        ("PROMPTYOSELF_ACT_AS", "root"),
        ("PROMPTYOSELF_ACT_AS", "agent"),
        ("PROMPTYOSELF_MAX_IN_FLIGHT", "0"),
        ("PROMPTYOSELF_MAX_IN_FLIGHT", "many"),
        ("PROMPTYOSELF_RETENTION", "forever"),
        ("PROMPTYOSELF_LOG", "loud"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(home: dict[str, str], tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings(home | {name: value}, tmp_path, flags={})


@pytest.mark.parametrize("url", ["LETTA_BASE_URL", "LETTA_SERVER_URL"])
@pytest.mark.parametrize("key", ["LETTA_API_KEY", "LETTA_SERVER_PASSWORD"])
def test_url_and_key_come_from_one_source(home: dict[str, str], tmp_path: Path, url: str, key: str) -> None:
    both = load_settings(home | {url: "http://l", key: KEY}, tmp_path, flags={})
    assert (both.base_url.value, both.api_key.source) == ("http://l", "environment")
    (tmp_path / ".env").write_text(f"{url}=http://evil\n")
    with pytest.raises(ConfigError, match=r"\.env file.*one source") as caught:
        load_settings(home | {key: KEY}, tmp_path, flags={})
    assert KEY not in f"{caught.value.message}{caught.value.hint}"
    with pytest.raises(ConfigError, match="flag --base-url"):
        load_settings(home | {key: KEY}, tmp_path, flags={"base_url": "http://evil"})


def test_the_default_url_goes_with_a_key_from_anywhere(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"LETTA_API_KEY={KEY}\n")
    settings = load_settings(home, tmp_path, flags={})
    assert settings.base_url.value == "http://localhost:8283"
    assert settings.api_key.value is not None
    assert settings.api_key.value.reveal() == KEY


def test_a_dotenv_changes_nothing_but_our_settings(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LETTA_AGENT_ID=agent-${HOME}\nOTHER=1\n")
    before = dict(os.environ)
    settings = load_settings(home, tmp_path, flags={})
    assert settings.agent_id.value == "agent-${HOME}"
    assert dict(os.environ) == before


def test_secrets_are_not_shown(home: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(home | {"LETTA_API_KEY": KEY}, tmp_path, flags={})
    shown = {one.name: one for one in settings.shown()}
    assert shown["LETTA_API_KEY"].value == "***"
    assert KEY not in repr(settings)
    assert {one[0] for one in VARIABLES.values()} == set(shown)


def test_an_empty_variable_is_one_that_is_not_set(home: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(home | {"LETTA_API_KEY": "", "PROMPTYOSELF_DB": ""}, tmp_path, flags={})
    assert settings.api_key.value is None
    assert settings.db.source == "default"


def test_acting_as_an_agent(home: dict[str, str], tmp_path: Path) -> None:
    acting = {"PROMPTYOSELF_ACT_AS": "agent", "LETTA_AGENT_ID": "agent-1"}
    assert load_settings(home | acting, tmp_path, flags={}).acting_agent == "agent-1"
    acting["PROMPTYOSELF_ACT_AS"] = "operator"
    assert load_settings(home | acting, tmp_path, flags={}).acting_agent is None
    with pytest.raises(ConfigError, match="LETTA_AGENT_ID"):
        load_settings({**home, **acting, "PROMPTYOSELF_ACT_AS": "agent", "LETTA_AGENT_ID": "../x"}, tmp_path, flags={})


@pytest.mark.parametrize(
    ("text", "said"),
    [("timezone =", "TOML"), ("colour = 'red'", "colour"), ("db = ['a']", "text or a whole number")],
)
def test_a_config_file_that_cannot_be_used_is_named(home: dict[str, str], tmp_path: Path, text: str, said: str) -> None:
    write_file(home, text)
    with pytest.raises(ConfigError, match=said):
        load_settings(home, tmp_path, flags={})


def test_a_dotenv_of_another_program_is_passed_over_without_a_word(
    home: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text("[not a line of it]\n" * 1000)
    load_settings(home, tmp_path, flags={})
    assert caplog.records == []


def test_a_dotenv_that_is_no_text_is_refused(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings(home, tmp_path, flags={})


def test_numbers_and_spans(home: dict[str, str], tmp_path: Path) -> None:
    write_file(home, 'max_in_flight = 8\nretention = "2w"\nlog = "debug"')
    settings = load_settings(home, tmp_path, flags={})
    assert settings.max_in_flight.value == 8
    assert settings.retention.value == timedelta(weeks=2)
    assert settings.log.value == "debug"


def test_a_machines_zone_is_always_one_that_exists() -> None:
    assert machine_timezone({"TZ": ":Europe/Riga"}) == "Europe/Riga"
    assert machine_timezone({"TZ": "EET-2EEST,M3.5.0/3,M10.5.0/4"}) != "EET-2EEST,M3.5.0/3,M10.5.0/4"


@pytest.mark.parametrize(
    ("variable", "plain"),
    [("LETTA_API_KEY_FILE", "LETTA_SERVER_PASSWORD"), ("PROMPTYOSELF_DB_FILE", "PROMPTYOSELF_DB")],
)
def test_a_secret_may_come_in_a_file_that_the_environment_names(
    home: dict[str, str], tmp_path: Path, variable: str, plain: str
) -> None:
    secret = tmp_path / "secret"
    value = str(tmp_path / KEY)
    secret.write_text(f"{value}\n")

    def found(**environ: str) -> tuple[str, str]:
        settings = load_settings(home | environ, tmp_path, flags={})
        if variable == "PROMPTYOSELF_DB_FILE":
            return str(settings.db.value), settings.db.source
        key = settings.api_key.value
        return key.reveal() if key else "", settings.api_key.source

    nothing = found()
    assert found(**{variable: str(secret)}) == (value, "environment")
    assert found(**{variable: ""}) == nothing
    with pytest.raises(ConfigError, match=f"{plain} and {variable} are both set"):
        found(**{variable: str(secret), plain: value})
    with pytest.raises(ConfigError, match=f"{variable} names .*which is no file"):
        found(**{variable: str(tmp_path / "elsewhere")})
    secret.write_text(f"{value}\n{value}\n")
    with pytest.raises(ConfigError, match="more than one line") as caught:
        found(**{variable: str(secret)})
    assert value not in str(caught.value)
    secret.write_text("\n")
    assert found(**{variable: str(secret)}) == nothing


def test_a_dotenv_names_no_file_of_a_secret(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(KEY)
    (tmp_path / ".env").write_text(f"LETTA_BASE_URL=http://elsewhere\nLETTA_API_KEY_FILE={tmp_path / 'secret'}\n")
    settings = load_settings(home, tmp_path, flags={})
    assert settings.base_url.value == "http://elsewhere"
    assert settings.api_key.value is None


def test_a_key_from_a_file_and_a_url_of_the_environment_are_one_source(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(KEY)
    both = {"LETTA_BASE_URL": "http://letta:8283", "LETTA_API_KEY_FILE": str(tmp_path / "secret")}
    settings = load_settings(home | both, tmp_path, flags={})
    assert settings.base_url.source == settings.api_key.source == "environment"
    (tmp_path / ".env").write_text("LETTA_BASE_URL=http://elsewhere\n")
    with pytest.raises(ConfigError, match="one source"):
        load_settings(home | {"LETTA_API_KEY_FILE": str(tmp_path / "secret")}, tmp_path, flags={})
