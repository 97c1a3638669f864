"""The completion scripts, driven by the shells themselves where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptyoself.interfaces.commands import COMMANDS, GLOBALS
from promptyoself.interfaces.completion import SHELLS, script
from tests.interfaces.world import Door

PLAIN = re.compile(r"[\w.:/+-]+", re.ASCII)


def has(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed: its script is not driven")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripts of every shell, a `promptyoself` that is this checkout's, and a database with odd names."""
    made = tmp_path_factory.mktemp("shells")
    for shell in SHELLS:
        (made / shell).write_text(script(shell), encoding="utf-8")
    program = made / "promptyoself"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m promptyoself "$@"\n')
    program.chmod(0o755)
    door = Door(made)
    for name in ('it\'s a "test": x', "back\\slash $(touch pwned) `id` ; rm *"):
        door.ok("register", "--agent-id", "agent-1", "--prompt", "x", "--every", "1h", "--name", name)
    door.services.close()
    (made / "odd name:x=y.db").touch()
    return made


def run(folder: Path, *argv: str, stdin: str = "") -> str:
    environ = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    environ |= {"PROMPTYOSELF_DB": str(folder / "promptyoself.db")}
    done = subprocess.run(
        argv, cwd=folder, env=environ, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


# -- bash -----------------------------------------------------------------------------------------------------

DRIVER = r"""
source ./bash
[[ $(complete -p promptyoself) == 'complete -F _promptyoself promptyoself' ]] || exit 1
compopt() { :; }
while IFS= read -r line; do
    COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9
    IFS=$'\n' read -r -d '' -a COMP_WORDS < <(printf '%s\0' "$line" | sed -E 's/[:=]+/\n&\n/g; s/ +/\n/g')
    [[ $line == *[\ :=] ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _promptyoself
    printf '%s\x1f' "${COMPREPLY[@]}"
    printf '\n'
done
"""


def by_bash(folder: Path, lines: Sequence[str]) -> list[set[str]]:
    out = run(folder, "bash", "--norc", "-c", DRIVER, stdin="".join(f"{line}\n" for line in lines))
    return [set(filter(None, line.split("\x1f"))) for line in out.splitlines()]


BASH_CASES = {
    "promptyoself reg": {"register", "register-all"},
    "promptyoself db ": {"upgrade", "backup", "move", "restored"},
    "promptyoself db b": {"backup"},
    "promptyoself --db /tmp/a:b.db lis": {"list"},
    "promptyoself --json sho": {"show"},
    "promptyoself register --over": {"--overlap"},
    "promptyoself register --overlap skip --over": set(),
    "promptyoself register --overlap=skip --over": set(),
    "promptyoself register --prompt --overlap --over": {"--overlap"},
    "promptyoself register --prompt list --every 1h --time": {"--time", "--timezone"},
    "promptyoself register --time 2030-01-31T09:00 --ov": {"--overlap"},
    "promptyoself register --timezone Europe/Ri": {"Europe/Riga"},
    "promptyoself register --timezone=Europe/Ri": {"Europe/Riga"},
    "promptyoself register --timezone right": set(),
    "promptyoself register --catch-up ": {"skip", "latest", "all"},
    "promptyoself register --catch-up=": {"skip", "latest", "all"},
    "promptyoself register --prompt ": set(),
    "promptyoself db backup --to odd": {"odd name:x=y.db"},
    "promptyoself db backup --to ./bas": {"./bash"},
    "promptyoself deliveries --state de": {"dead", "delivered"},
    "promptyoself completion z": {"zsh"},
    "promptyoself completion zsh ": set(),
    "promptyoself pause --id ": {'1  it\'s a "test": x', "2  back\\slash $(touch pwned) `id` ; rm *"},
    "promptyoself pause --id 2": {"2"},
    "promptyoself pause --id 3": set(),
    "promptyoself pause --db none.db --id ": set(),
    "promptyoself retry --id ": set(),
    "promptyoself nonsense --id ": set(),
    "promptyoself show -h --js": {"--json"},
}


@has("bash")
def test_bash_completes_commands_options_and_values(folder: Path) -> None:
    answers = dict(zip(BASH_CASES, by_bash(folder, list(BASH_CASES)), strict=True))
    assert answers == BASH_CASES
    assert not (folder / "pwned").exists()


@has("bash")
def test_bash_knows_every_command_and_option_of_the_table(folder: Path) -> None:
    lines = [f"promptyoself {command.name} --" for command in COMMANDS]
    for command, offered in zip(COMMANDS, by_bash(folder, ["promptyoself ", *lines])[1:], strict=True):
        assert offered == {f"--{option.name}" for option in (*command.options, *GLOBALS)}, command.name
    (firsts,) = by_bash(folder, ["promptyoself "])
    assert firsts == {command.name.split()[0] for command in COMMANDS}


# -- zsh and fish ---------------------------------------------------------------------------------------------


@has("zsh")
def test_zsh_reads_its_script_and_offers_ids_by_number(folder: Path) -> None:
    asks = r"""
        compdef() { print -r -- "compdef $*"; }
        _describe() { local -a all; all=("${(@P)argv[-1]}"); print -rl -- "${all[@]%%:*}"; }
        compadd() { local word; for word in "${@:2}"; do [[ $word == $PREFIX* ]] && print -r -- $word; done; }
        compset() { PREFIX=${PREFIX#*=}; }
        source ./zsh
        ask() { words=("$@"); CURRENT=$#; PREFIX=$argv[-1]; print -r -- "[$*]"; _promptyoself; }
        ask promptyoself db ''
        ask promptyoself deliveries --state ''
        ask promptyoself pause --id ''
        ask promptyoself register --overlap=
        ask promptyoself completion ''
        ask promptyoself upload --name x --
    """
    told = run(folder, "zsh", "-f", "-c", asks).split("[promptyoself ")
    assert told[0] == "compdef _promptyoself promptyoself\n"
    answers = {question: set(words) for question, *words in (one.replace("]\n", "\n").split("\n") for one in told[1:])}
    assert answers["db "] == {"upgrade", "backup", "move", "restored", ""}
    assert answers["deliveries --state "] >= {"dead", "delivered"}
    assert answers["pause --id "] == {"1", "2", ""}
    assert answers["register --overlap="] == {"skip", "queue", ""}
    assert answers["completion "] == {"bash", "zsh", "fish", "ids", ""}
    assert answers["upload --name x --"] >= {"--source-code", "--json"}
    assert "--name" not in answers["upload --name x --"]


@has("fish")
def test_fish_completes_commands_options_and_values(folder: Path) -> None:
    asked = [line for line in BASH_CASES if "odd" not in line and "=" not in line]
    lines = "\n".join(f"echo '[{line}]'; complete -C '{line}'" for line in asked)
    told = run(folder, "fish", "--no-config", "-c", f"source ./fish\n{lines}").split("[promptyoself ")[1:]
    answers = {one.split("]\n")[0]: {line.split("\t")[0] for line in one.split("]\n")[1].splitlines()} for one in told}
    assert answers["reg"] == {"register", "register-all"}
    assert answers["db "] == {"upgrade", "backup", "move", "restored"}
    assert answers["--db /tmp/a:b.db lis"] == {"list"}
    assert answers["register --prompt list --every 1h --time"] == {"--time", "--timezone"}
    assert answers["register --timezone Europe/Ri"] == {"Europe/Riga"}
    assert answers["deliveries --state de"] == {"dead", "delivered"}
    assert answers["pause --id "] == {"1", "2"}
    assert answers["pause --db none.db --id "] == set()
    assert answers["completion z"] == {"zsh"}
    assert answers["completion zsh "] == set()
    assert not (folder / "pwned").exists()


# -- all ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed_as_it_is_and_as_json_on_request(door: Door, shell: str) -> None:
    assert door.call("completion", shell).out == script(shell)
    assert door.ok("completion", shell, "--json")["script"] == script(shell)
    assert not re.search(r"@[A-Z_]+@", script(shell))


def test_ids_are_printed_with_names_one_a_line(folder: Path) -> None:
    lines = run(folder, "promptyoself", "completion", "ids").splitlines()
    assert lines == ['1\tit\'s a "test": x', "2\tback\\slash $(touch pwned) `id` ; rm *"]


def test_asking_for_ids_makes_no_database(folder: Path) -> None:
    assert run(folder, "promptyoself", "completion", "ids", "--db", "new.db") == ""
    assert not (folder / "new.db").exists()


def test_what_scripts_hold_needs_no_quoting() -> None:
    for command in COMMANDS:
        for one in (*command.options, *GLOBALS):
            assert all(PLAIN.fullmatch(word) for word in (one.name, *one.choices)), one
        for argument in command.arguments:
            assert all(PLAIN.fullmatch(word) for word in (argument.name, *argument.choices)), argument


def test_an_option_is_a_flag_in_every_command_or_in_none() -> None:
    kinds: dict[str, set[bool]] = {}
    for command in COMMANDS:
        for option in (*command.options, *GLOBALS):
            kinds.setdefault(option.name, set()).add(option.kind == "flag")
    assert {name for name, found in kinds.items() if len(found) > 1} == set(), "fish tells flags by their name alone"
