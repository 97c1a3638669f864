"""Settings, and where each came from: flag > environment > .env > config file > default.

Nothing is written back: the values of a `.env` never reach os.environ, so no library can pick up what was not meant
for it. Letta's URL and key must come from one source; a stray `.env` must not send the environment's key elsewhere.
docs/settings.md says the same for users.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.errors import ConfigError, InvalidAgentId, InvalidInterval, InvalidTimezone
from promptyoself.domain.secret import Secret

if TYPE_CHECKING:
    from promptyoself.interfaces.services import Setting
    from promptyoself.postgres_url import PostgresUrl

T = TypeVar("T")

LETTA_URL_DEFAULT: Final = "http://localhost:8283"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
MAX_IN_FLIGHT_MAX: Final = 10_000
SETTINGS_FILE_BYTES_MAX: Final = 1024 * 1024
_SHOWN_CHARS_MAX = 60

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "db": ("PROMPTYOSELF_DB",),
    "timezone": ("PROMPTYOSELF_TIMEZONE",),
    "base_url": ("LETTA_BASE_URL", "LETTA_SERVER_URL"),
    "api_key": ("LETTA_API_KEY", "LETTA_SERVER_PASSWORD"),
    "agent_id": ("LETTA_AGENT_ID",),
    "act_as": ("PROMPTYOSELF_ACT_AS",),
    "max_in_flight": ("PROMPTYOSELF_MAX_IN_FLIGHT",),
    "retention": ("PROMPTYOSELF_RETENTION",),
    "callback_allow": ("PROMPTYOSELF_CALLBACK_ALLOW",),
    "log": ("PROMPTYOSELF_LOG",),
}
"""Each setting's name in the config file, and its names in the environment and in a `.env`; the first set wins."""

SECRET_FILES: Final[Mapping[str, str]] = {"db": "PROMPTYOSELF_DB_FILE", "api_key": "LETTA_API_KEY_FILE"}
"""Settings that may hold a secret, and what names the file that holds the value: containers and systemd hand secrets
over as files. In the environment alone: a `.env` could have any file of its reader's sent to its own server."""


class Value(NamedTuple, Generic[T]):
    """A setting's value and its source: flag, environment, .env, file, machine or default."""

    value: T
    source: str


class Settings(NamedTuple):
    """Every setting of one process. Secrets do not print."""

    db: Value[Path | PostgresUrl]
    """SQLite's file, or the address of a PostgreSQL database."""
    timezone: Value[str]
    """As it was given: whoever uses it checks that it is an IANA zone."""
    base_url: Value[str]
    api_key: Value[Secret | None]
    agent_id: Value[str | None]
    act_as: Value[str]
    """`operator` or `agent`."""
    max_in_flight: Value[int]
    """Requests that may be open at one target at once."""
    retention: Value[timedelta]
    """How long final deliveries and the journal are kept."""
    log: Value[str]
    callback_allow: Value[str] = Value("", "default")
    """Hosts and blocks of addresses that callbacks may go to besides public ones, as it was given."""

    @property
    def acting_agent(self) -> str | None:
        """The agent on whose behalf this process acts, or None for an operator."""
        return self.agent_id.value if self.act_as.value == "agent" else None

    def shown(self) -> Sequence[Setting]:
        """Return every setting under its name in the environment, secrets as ***."""
        from promptyoself.interfaces.services import Setting

        return [
            Setting(name=VARIABLES[name][0], value=_shown(setting.value), source=setting.source)
            for name, setting in self._asdict().items()
        ]


class _Layers(NamedTuple):
    """The sources, strongest first: each a name and what it says."""

    sources: Sequence[tuple[str, Callable[[str], str | None]]]

    def get(self, name: str) -> Value[str | None]:
        for source, look in self.sources:
            found = look(name)
            if found:
                return Value(found, source)
        return Value(None, "default")


def load_settings(environ: Mapping[str, str], cwd: Path, *, flags: Mapping[str, str | None]) -> Settings:
    """Return the settings of a process started in `cwd` with these flags (db, timezone, base_url).

    Raises ConfigError for a setting that cannot be used, for Letta's URL and key from two sources, and for a file that
    cannot be read. The time zone and the URL are checked by those who use them.
    """
    layers = _layers(environ, cwd, flags)
    base_url, api_key = layers.get("base_url"), layers.get("api_key")
    _check_one_source(base_url, api_key)
    agent_id = layers.get("agent_id")
    return Settings(
        db=_db(layers.get("db"), environ, cwd),
        timezone=_timezone(layers.get("timezone"), environ),
        base_url=Value(base_url.value or LETTA_URL_DEFAULT, base_url.source),
        api_key=Value(Secret(api_key.value) if api_key.value else None, api_key.source),
        agent_id=agent_id,
        act_as=_act_as(layers.get("act_as"), agent_id.value),
        max_in_flight=_max_in_flight(layers.get("max_in_flight")),
        retention=_retention(layers.get("retention")),
        log=_log(layers.get("log")),
        callback_allow=_callback_allow(layers.get("callback_allow")),
    )


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the config file is looked for, by the XDG base directory specification."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "promptyoself" / "config.toml"


# -- sources ------------------------------------------------------------------------------------------------


def _layers(environ: Mapping[str, str], cwd: Path, flags: Mapping[str, str | None]) -> _Layers:
    dotenv = _read_dotenv(cwd / ".env")
    file = _read_file(config_path(environ))
    return _Layers(
        [
            ("flag", flags.get),
            ("environment", lambda name: _by_environment(environ, name)),
            (".env", lambda name: _by_variable(dotenv, name)),
            ("file", file.get),
        ]
    )


def _by_variable(values: Mapping[str, str | None], name: str) -> str | None:
    return next((found for variable in VARIABLES[name] if (found := values.get(variable))), None)


def _by_environment(environ: Mapping[str, str], name: str) -> str | None:
    found, variable = _by_variable(environ, name), SECRET_FILES.get(name, "")
    file = environ.get(variable)
    if not file:
        return found
    if found is not None:
        set_too = next(one for one in VARIABLES[name] if environ.get(one))
        raise ConfigError(
            f"{set_too} and {variable} are both set", hint="keep one of them: which is meant is not clear"
        )
    text = _read_text(Path(file))
    if text is None:
        raise ConfigError(f"{variable} names {file}, which is no file", hint="write the value into it, or unset it")
    value = text.strip()
    if not value.isprintable():
        raise ConfigError(f"{file}, named by {variable}, holds more than one line", hint="it holds the value alone")
    return value


def _read_dotenv(path: Path) -> Mapping[str, str | None]:
    """Read a `.env`, if there is one. `${...}` in it stays as it is: it could name a secret of the environment."""
    text = _read_text(path)
    if text is None or not any(variable in text for names in VARIABLES.values() for variable in names):
        return {}  # another program's, perhaps long and odd: the parser would take its time, and tell each odd line
    from io import StringIO

    from dotenv import dotenv_values

    return dotenv_values(stream=StringIO(text), interpolate=False)


def _read_file(path: Path) -> Mapping[str, str]:
    text = _read_text(path)
    if text is None:
        return {}
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}", hint="correct the file, or move it away") from exc
    for name, value in found.items():
        if name not in VARIABLES:
            raise ConfigError(
                f"{path} sets {name[:_SHOWN_CHARS_MAX]!r}, which is no setting",
                hint=f"known are {', '.join(VARIABLES)}",
            )
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ConfigError(f"{name} in {path} has to be a text or a whole number", hint=f'write {name} = "..."')
    return {name: str(value) for name, value in found.items()}


def _read_text(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > SETTINGS_FILE_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {SETTINGS_FILE_BYTES_MAX} bytes", hint="is it the right file?")
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}", hint="make it readable, or move it away") from exc
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8, or move it away") from None


# -- checks -------------------------------------------------------------------------------------------------


def _check_one_source(base_url: Value[str | None], api_key: Value[str | None]) -> None:
    if base_url.value is None or api_key.value is None or base_url.source == api_key.source:
        return
    raise ConfigError(
        f"Letta's URL comes from {_named(base_url.source)} and its key from {_named(api_key.source)}: "
        "both must come from one source, so that the key is not sent to a server it was not meant for",
        hint="set LETTA_BASE_URL and LETTA_API_KEY side by side: both in the environment, or both in one file",
    )


def _named(source: str) -> str:
    return {"flag": "the flag --base-url", ".env": "the .env file", "file": "the config file"}.get(
        source, f"the {source}"
    )


def _db(given: Value[str | None], environ: Mapping[str, str], cwd: Path) -> Value[Path | PostgresUrl]:
    folder = _xdg(environ, "XDG_DATA_HOME", ".local/share") / "promptyoself"
    if given.value is None:
        return Value(folder / "promptyoself.db", "default")
    text = given.value
    if text.startswith(("postgresql:", "postgres:")):
        from promptyoself.postgres_url import PostgresUrl

        return Value(PostgresUrl(text, folder=folder), given.source)
    if "://" in text or text.startswith(("file:", ":")):
        raise ConfigError(
            "PROMPTYOSELF_DB has to be the path of a file, or the address of a PostgreSQL database",
            hint="for example ~/promptyoself.db, or postgresql://user@host:5432/database",
        )
    if text == "~" or text.startswith("~/"):
        return Value(_home(environ) / text[2:], given.source)
    return Value(cwd / text, given.source)


def _timezone(given: Value[str | None], environ: Mapping[str, str]) -> Value[str]:
    if given.value is not None:
        return Value(given.value, given.source)
    return Value(machine_timezone(environ), "machine")


def machine_timezone(environ: Mapping[str, str]) -> str:
    """Return the zone this machine is set to: TZ, /etc/timezone, where /etc/localtime points; else UTC."""
    from promptyoself.domain.localtime import check_timezone

    looks: Sequence[Callable[[], str]] = (lambda: environ.get("TZ", ""), _etc_timezone, _etc_localtime)
    for look in looks:
        try:
            return check_timezone(look().removeprefix(":"))
        except InvalidTimezone:
            continue
    return "UTC"


def _etc_timezone() -> str:
    try:
        return Path("/etc/timezone").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _etc_localtime() -> str:
    try:
        return str(Path("/etc/localtime").readlink()).rpartition("zoneinfo/")[2]
    except OSError:
        return ""


def _act_as(given: Value[str | None], agent_id: str | None) -> Value[str]:
    act_as = (given.value or "operator").strip().lower()
    if act_as not in {"operator", "agent"}:
        raise ConfigError(f"PROMPTYOSELF_ACT_AS is {_quoted(given)}", hint="it is either operator or agent")
    if act_as == "agent":
        from promptyoself.domain.agents import validate_agent_id

        if agent_id is None:
            raise ConfigError("PROMPTYOSELF_ACT_AS is agent, but LETTA_AGENT_ID is not set", hint="set LETTA_AGENT_ID")
        try:
            validate_agent_id(agent_id)
        except InvalidAgentId as exc:
            raise ConfigError(f"LETTA_AGENT_ID: {exc.message}", hint=exc.hint) from exc
    return Value(act_as, given.source)


def _max_in_flight(given: Value[str | None]) -> Value[int]:
    if given.value is None:
        return Value(limits.TARGET_IN_FLIGHT_DEFAULT, "default")
    text = given.value.strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_IN_FLIGHT_MAX))
    if not is_number or not 1 <= int(text) <= MAX_IN_FLIGHT_MAX:
        raise ConfigError(
            f"PROMPTYOSELF_MAX_IN_FLIGHT is {_quoted(given)}",
            hint=f"it is a whole number from 1 to {MAX_IN_FLIGHT_MAX}",
        )
    return Value(int(text), given.source)


def _retention(given: Value[str | None]) -> Value[timedelta]:
    if given.value is None:
        return Value(limits.RETENTION_DEFAULT, "default")
    from promptyoself.domain.intervals import parse_duration

    try:
        return Value(parse_duration(given.value, what="PROMPTYOSELF_RETENTION"), given.source)
    except InvalidInterval as exc:
        raise ConfigError(exc.message, hint=exc.hint) from exc


def _callback_allow(given: Value[str | None]) -> Value[str]:
    if given.value is None:
        return Value("", "default")
    from promptyoself.domain.addresses import read_allowed

    read_allowed(given.value)
    return Value(given.value, given.source)


def _quoted(given: Value[str | None]) -> str:
    return repr((given.value or "")[:_SHOWN_CHARS_MAX])


def _log(given: Value[str | None]) -> Value[str]:
    level = (given.value or "warning").strip().lower()
    if level not in LOG_LEVELS:
        raise ConfigError(f"PROMPTYOSELF_LOG is {_quoted(given)}", hint=f"it is one of {', '.join(LOG_LEVELS)}")
    return Value(level, given.source)


# -- places -------------------------------------------------------------------------------------------------


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """Return an XDG folder; a relative one is ignored, as the specification asks."""
    named = environ.get(variable, "")
    return Path(named) if named.startswith("/") else _home(environ) / below_home


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  Path.home() raises where there is none


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        from promptyoself.domain.intervals import format_duration

        return format_duration(value)
    return "" if value is None else str(value)
