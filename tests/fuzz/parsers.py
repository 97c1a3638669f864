"""Every parser of the program, with seeds that it knows and what has to be true of what it takes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from promptyoself.application.requests import ScheduleRequest, define, redefine
from promptyoself.application.rules import read_rule
from promptyoself.config import VARIABLES, load_settings
from promptyoself.domain import limits, triggers
from promptyoself.domain.agents import validate_agent_id, validate_conversation
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import make_trigger
from promptyoself.interfaces.cli_simulate import _outage
from promptyoself.interfaces.commands import COMMANDS, GLOBALS
from promptyoself.interfaces.parse import parse, require
from promptyoself.targets.letta_answers import of_refusal, run_failure
from promptyoself.targets.letta_evidence import reply_excerpt, run_of
from promptyoself.targets.letta_http import Reply
from tests.fuzz import sources
from tests.fuzz.claims import BrokenClaim, timed, trigger_answers
from tests.fuzz.given import DEFAULTS, NOWS, ZONES
from tests.fuzz.mutations import corpus, mutated


class Parser(NamedTuple):
    """A parser: `read` reads a text, checks what it was taken for, and lets the refusals out."""

    name: str
    seeds: Sequence[str]
    read: Callable[[str, Random], object]
    refuses_junk: bool = True
    """Whether a word of no meaning makes every text that was taken one that has to be refused."""
    refuses_whole: bool = True
    """Whether a text can be refused as a whole: a crontab is refused line by line, an answer of Letta's never."""


# -- rules ----------------------------------------------------------------------------------------------------

CRONS = corpus("cron")
RRULES = corpus("rrule")
DURATIONS = corpus("duration")
INSTANTS = corpus("instant")
PHRASES = corpus("phrase")


def plainly(call: Callable[[str], object]) -> Callable[[str, Random], object]:
    """Return a reader that is nothing but this call."""
    return lambda text, _chance: timed(call, text)


def of_trigger(kind: str) -> Callable[[str, Random], object]:
    """Return a reader of expressions of one kind."""

    def read(text: str, chance: Random) -> object:
        now, timezone = chance.choice(NOWS), chance.choice(ZONES)
        trigger = timed(make_trigger, kind, text, timezone=timezone, now=now)
        trigger_answers(trigger, now=now)
        return trigger.expression

    return read


def duration(text: str, _chance: Random) -> object:
    """Read a duration; what it is written as afterwards means the same."""
    found = timed(triggers.parse_duration, text)
    if triggers.parse_duration(triggers.format_duration(found)) != found:
        raise BrokenClaim(f"{found!r} is written {triggers.format_duration(found)}")
    return found


def instant(text: str, chance: Random) -> object:
    """Read an instant; what it is written as afterwards means the same."""
    timezone = chance.choice(ZONES)
    found = timed(triggers.parse_instant, text, timezone=timezone)
    if found.tzinfo is not UTC or triggers.parse_instant(found.isoformat(), timezone=timezone) != found:
        raise BrokenClaim(f"{found!r} is not the instant that its own text says")
    return found


def quiet(text: str, chance: Random) -> object:
    """Read quiet hours; they end when they began, and later than asked."""
    hours = timed(QuietHours.parse, text)
    if QuietHours.parse(str(hours)) != hours:
        raise BrokenClaim(f"{hours!r} is written {hours}")
    now = chance.choice(NOWS)
    release_at = timed(hours.release_at, now, chance.choice(ZONES))
    if release_at is not None and release_at <= now:
        raise BrokenClaim(f"quiet until {release_at}, which is not later than {now}")
    return hours


def rule(text: str, chance: Random) -> object:
    """Read a rule however it is written; what is stored can be typed back, and means the same."""
    now, timezone = chance.choice(NOWS), chance.choice(ZONES)
    found = timed(read_rule, text, timezone=timezone, now=now)
    trigger = timed(make_trigger, found.kind, found.expression, timezone=found.timezone, now=now)
    trigger_answers(trigger, now=now)
    again = read_rule(found.expression, timezone=found.timezone, now=now)
    if (again.kind, again.expression) != (found.kind, found.expression):
        raise BrokenClaim(f"{found.kind} {found.expression!r} is read back as {again.kind} {again.expression!r}")
    return found.expression


# -- requests -------------------------------------------------------------------------------------------------

POLICIES = {
    "catch_up": ("skip", "latest", "all", "all:6h", "latest:1d", "ALL:90s", ":", "all:"),
    "overlap": ("skip", "queue", " Queue "),
    "quiet_hours": ("22:00-07:00", "22:00-07:00 mon-fri skip", "00:00-24:00 sun hold", "13:00-14:00 sat,sun"),
    "retry_for": ("24h", "30d", "31d", "1s"),
    "expires_after": ("1h", "PT5M", ""),
    "envelope": ("none", "brief", "full"),
    "jitter": ("5m", "24h", "25h", "0s"),
    "start_at": INSTANTS,
    "end_at": INSTANTS,
    "timezone": ("Europe/Riga", "UTC", "Mars/Base", "europe/riga", "../UTC", "GMT+3"),
    "target": ("letta", "inbox", "mail"),
    "conversation": ("new", "conv-1", "", "a/b"),
    "agent_id": ("agent-1", "agent-00000000-0000-4000-8000-000000000000", "..", ""),
    "name": ("standup", "", "x" * 300),
    "key": ("standup", "", "x" * 300),
    "prompt": ("Look over the notes.", "", "\u202eabc", "\ud800"),
    "time": (*INSTANTS, *PHRASES),
    "cron": CRONS,
    "every": (*DURATIONS, *PHRASES),
    "rrule": RRULES,
}


def request(text: str, chance: Random) -> object:
    """Read a request of register or update with one or two hostile options among good ones."""
    options: dict[str, str] = {"prompt": "x"}
    names = chance.sample(sorted(POLICIES), 2)
    if not {"time", "cron", "every", "rrule"}.intersection(names):
        options |= {"every": "1h"}
    options[names[0]] = chance.choice(POLICIES[names[0]])
    options[names[1]] = text if chance.random() < 0.5 else mutated(chance, POLICIES[names[1]])
    now = chance.choice(NOWS)
    asked = ScheduleRequest(**options)  # type: ignore[arg-type]  # the one number is not among them
    definition = timed(define, asked, DEFAULTS, now=now)
    trigger_answers(definition.trigger, now=now)
    return timed(redefine, definition, ScheduleRequest(timezone="America/New_York"), DEFAULTS, now=now)


def command_line(text: str, chance: Random) -> object:
    """Read a command line: the words of a seed, with hostile ones among them."""
    words = text.split("\x1f")
    if chance.random() < 0.2:
        words.insert(chance.randint(0, len(words)), mutated(chance, COMMAND_LINES))
    parsed = timed(parse, words)
    if parsed.wants is None:
        require(parsed)
    return parsed


COMMAND_LINES = (
    *("\x1f".join(command.example.replace('"', "").split()) for command in COMMANDS),
    *("\x1f".join((*one.name.split(), f"--{option.name}", "7")) for one in COMMANDS for option in one.options),
    *(f"--{option.name}" for option in GLOBALS),
    *("--", "-", "-h", "help\x1fdb\x1fbackup", "--version", "--describe", "show\x1f--id=7"),
)


# -- settings -------------------------------------------------------------------------------------------------

DOTENVS = corpus("dotenv")
TOMLS = corpus("toml")


logging.getLogger("dotenv").setLevel(logging.ERROR)  # it tells each line of a .env that is none


def settings(text: str, chance: Random) -> object:
    """Read settings of which one source is hostile: the environment, a .env, or the config file."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        environ = {"HOME": folder, "TZ": "UTC"}
        match chance.randrange(3):
            case 0:
                (home / ".env").write_bytes(text.encode("utf-8", "surrogateescape"))
            case 1:
                (home / ".config/promptyoself").mkdir(parents=True)
                (home / ".config/promptyoself/config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
            case _:
                variable = chance.choice([name for names in VARIABLES.values() for name in names])
                environ[variable] = text.replace("\x00", "")
        found = timed(load_settings, environ, home, flags={"db": None, "timezone": None, "base_url": None})
        return [setting.value for setting in timed(found.shown)]


def outage(text: str, chance: Random) -> object:
    """Read a pretended outage; it ends after it began."""
    found = timed(_outage, text, chance.choice(ZONES))
    if found.end_at <= found.begin_at:
        raise BrokenClaim(f"{found} ends before it begins")
    return found


OUTAGES = (
    "2027-03-28T00:00/2027-03-28T06:00",
    "2027-03-28T00:00/6h",
    "2027-03-28T00:00Z/PT45M",
    "2027-03-28T00:00/",
    "9999-12-30T00:00/7d",
)


# -- Letta's answers ------------------------------------------------------------------------------------------

ANSWERS = corpus("answer")
STATUSES = (200, 204, 301, 400, 401, 402, 403, 404, 405, 409, 413, 415, 418, 422, 429, 500, 502, 503, 504, 599)


def answer(text: str, chance: Random) -> object:
    """Read an answer of a Letta server, whatever it holds: nothing is raised, and what is kept is bounded."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    reply = Reply(status=chance.choice(STATUSES), value=value, retry_after=chance.choice((None, timedelta(days=9))))
    verdicts = [timed(of_refusal, reply, is_working=is_working) for is_working in (False, True)]
    runs = [timed(run_of, item) for item in (*reply.items, reply.mapping)]
    told = [timed(reply_excerpt, reply.items), *(run_failure(one.error, one.stop_reason)[1] for one in runs)]
    told += [getattr(verdict, "detail", None) for verdict in verdicts]
    if any(text is not None and len(text) > limits.REPLY_EXCERPT_CHARS_MAX for text in told):
        raise BrokenClaim(f"kept without a bound: {max(told, key=lambda text: len(text or ''))!r}")
    return verdicts


# -- all of them ----------------------------------------------------------------------------------------------

PARSERS: tuple[Parser, ...] = (
    Parser("cron", CRONS, of_trigger("cron")),
    Parser("rrule", RRULES, of_trigger("rrule")),
    Parser("interval", DURATIONS, of_trigger("interval")),
    Parser("once", INSTANTS, of_trigger("once")),
    Parser("duration", DURATIONS, duration),
    Parser("instant", INSTANTS, instant),
    Parser("timezone", (*ZONES, "Etc/GMT+3", "riga", "Europe", "posix/UTC"), plainly(triggers.check_timezone)),
    Parser("quiet hours", POLICIES["quiet_hours"], quiet),
    Parser("rule", (*CRONS, *RRULES, *DURATIONS, *INSTANTS, *PHRASES, *PHRASES), rule),
    Parser("outage", OUTAGES, outage),
    Parser("agent id", POLICIES["agent_id"], plainly(validate_agent_id), refuses_junk=False),
    Parser("conversation", POLICIES["conversation"], plainly(validate_conversation), refuses_junk=False),
    Parser("request", sorted({seed for seeds in POLICIES.values() for seed in seeds}), request, refuses_junk=False),
    Parser("command line", COMMAND_LINES, command_line, refuses_junk=False),
    Parser("crontab", corpus("crontab"), sources.crontab, refuses_junk=False, refuses_whole=False),
    Parser("letta-cron", corpus("letta_cron"), sources.letta_cron),
    Parser("export", corpus("exported"), sources.exported),
    Parser("promptyoself-fast", corpus("older"), sources.older),
    Parser("calendar", corpus("calendar"), sources.calendar),
    Parser("Letta's answers", ANSWERS, answer, refuses_junk=False, refuses_whole=False),
    Parser("settings", (*DOTENVS, *TOMLS, "30d", "64", "agent", "x.db", "~/x.db"), settings, refuses_junk=False),
)
