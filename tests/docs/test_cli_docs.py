"""Every command, option, setting, key and error code stands in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promptyoself.config import VARIABLES
from promptyoself.domain import errors
from promptyoself.domain.models import FactKind
from promptyoself.interfaces.commands import COMMANDS, GLOBALS
from promptyoself.interfaces.http.problem import kinds
from promptyoself.interfaces.table import Command, Option

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/promptyoself"
CODES_WITHOUT_EXCEPTION = {
    "interrupted",
    "not_installed",
    "doctor",
    "method_not_allowed",
    "unsupported_media_type",
    "too_large",
    "too_slow",
    "busy",
    "timed_out",
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(command: Command) -> str:
    found = re.search(rf"^## `{command.name}`\n(.*?)(?=^## )", page("cli.md"), re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section for {command.name}"
    return found[1]


def error_codes() -> set[str]:
    found: list[type[errors.PromptyoselfError]] = [errors.PromptyoselfError]
    for one in found:
        found += one.__subclasses__()
    return {one.code for one in found} | CODES_WITHOUT_EXCEPTION


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_command_has_a_section_with_example_arguments_and_options(command: Command) -> None:
    text = section(command)
    assert f"promptyoself {command.example}" in text
    assert "Answer: " in text
    for option in command.options:
        assert re.search(rf"^\| `--{option.name}[ `].* \| {re.escape(option.help)}", text, re.MULTILINE), option.name
    for argument in command.arguments:
        assert re.search(rf"^\| `{argument.shown}` \| {re.escape(argument.help)}", text, re.MULTILINE), argument.name


@pytest.mark.parametrize("option", GLOBALS, ids=lambda option: str(option.name))
def test_every_global_option_is_explained(option: Option) -> None:
    assert f"`--{option.name}" in page("cli.md").partition("## `register`")[0]


def test_no_section_is_left_of_a_command_that_went() -> None:
    assert re.findall(r"^## `(.+)`$", page("cli.md"), re.MULTILINE) == [command.name for command in COMMANDS]


@pytest.mark.parametrize("name", VARIABLES)
def test_every_setting_has_a_line(name: str) -> None:
    (line,) = [line for line in page("settings.md").splitlines() if f"| `{name}` |" in line]
    assert all(f"`{variable}`" in line for variable in VARIABLES[name])


def test_every_error_code_has_cause_and_cure() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d-]) \| ([\d, -]+) \| (.+?) \| (.+?) \|$", page("errors.md"), re.MULTILINE)
    assert {code for code, *_ in rows} == error_codes()
    assert all(cause and cure for *_, cause, cure in rows)
    over_http = {code: status for code, _, status, *_ in rows if status != "-"}
    assert over_http.keys() == kinds().keys()
    assert all(str(kinds()[code].status) in status for code, status in over_http.items())


def test_every_event_is_explained() -> None:
    cells = re.findall(r"^\| (`[^|]+`) \|", page("events.md").partition("## Every event")[2], re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == {kind.value for kind in FactKind} | {
        "gap"
    }


def test_every_code_that_no_exception_has_is_known_here() -> None:
    written = {
        code for path in SOURCE.rglob("*.py") for code in re.findall(r'problem\([^)]*code="(\w+)"', path.read_text())
    }
    assert written <= error_codes()


def test_every_setting_that_is_read_is_documented() -> None:
    read = {
        name
        for folder in (SOURCE, ROOT / "smcp")
        for path in folder.rglob("*.py")
        for name in re.findall(r"\b(?:PROMPTYOSELF|LETTA)_[A-Z]+(?:_[A-Z]+)*\b", path.read_text())
    }
    constants = {"LETTA_URL_DEFAULT"}
    missing = [name for name in read - constants if name not in page("settings.md")]
    assert missing == []
