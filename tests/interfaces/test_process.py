"""The program as a process: one JSON object, exit codes, nothing else on stdout; the plugin as SMCP starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT: Final = Path(__file__).resolve().parents[2]
PLUGIN: Final = ROOT / "smcp/plugins/promptyoself"
BOUND_S: Final = 60
NOWHERE: Final = "http://127.0.0.1:9"
"""The discard port: nothing answers there."""


class Program:
    """Starts the program, or the plugin, with an environment and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROMPTYOSELF", "LETTA"))}
        self.environ = kept | {"HOME": str(folder), "LETTA_BASE_URL": NOWHERE, "PROMPTYOSELF_TIMEZONE": "UTC"}
        self.environ.pop("XDG_DATA_HOME", None)

    def start(self, *command: str | Path | bytes, **environ: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self, process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any], str]:
        try:
            out, err = process.communicate(timeout=BOUND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        assert out.endswith(b"}\n"), (out, err)
        assert out.count(b"\n") == 1
        document = json.loads(out)
        assert isinstance(document, dict)
        assert b"Traceback" not in err, err.decode()
        return process.returncode, document, err.decode()

    def run(self, *words: str | bytes, **environ: str) -> tuple[int, dict[str, Any], str]:
        return self.finish(self.start(sys.executable, "-m", "promptyoself", *words, **environ))

    def smcp(self, *words: str, **environ: str) -> tuple[int, dict[str, Any], str]:
        return self.finish(self.start(sys.executable, PLUGIN / "cli.py", *words, **environ))


@pytest.fixture(scope="module", autouse=True)
def hang_up_as_in_a_terminal() -> Iterator[None]:
    """Heed SIGHUP, whatever whoever began the tests does: an ignored signal is inherited, as from nohup."""
    was = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, was)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def as_smcp(name: str, value: object) -> list[str]:
    """Return an argument as SMCP passes it: `_` as `-`, a true boolean as a bare flag, a value as its own item."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    return [option, str(value)]


def test_the_whole_way_on_the_command_line(program: Program) -> None:
    code, made, err = program.run("register", "--agent-id", "a", "--prompt", "--help", "--every", "1m")
    assert (code, made["status"], err) == (0, "success", "")
    assert any("cannot be reached" in warning for warning in made["warnings"])
    code, listed, _ = program.run("list")
    assert listed["schedules"][0]["prompt_text"] == "--help"
    assert program.run("cancel", "--id", str(made["id"]))[1]["cancelled_id"] == made["id"]
    assert program.run("execute")[1]["executed"] == []
    assert program.run("bogus")[0] == 2
    assert program.run("cancel", "--id", "99")[0] == 1
    assert program.run()[0] == 2
    assert program.run("--help")[0] == 0


def test_the_database_is_made_in_the_data_folder_for_its_owner_alone(program: Program) -> None:
    program.run("list")
    place = program.folder / ".local/share/promptyoself/promptyoself.db"
    assert place.stat().st_mode & 0o777 == 0o600


def test_bytes_that_are_no_text_are_refused(program: Program) -> None:
    code, refused, _ = program.run("register", "--agent-id", "a", "--prompt", b"\xff\xfe", "--every", "1m")
    assert (code, refused["code"]) == (2, "usage")
    assert "UTF-8" in refused["error"]


def test_contradicting_settings_are_refused_in_json(program: Program) -> None:
    (program.folder / ".env").write_text("LETTA_API_KEY=sk-secret\n")
    code, refused, err = program.run("list")
    assert (code, refused["code"]) == (1, "config")
    assert "sk-secret" not in f"{refused}{err}"


def test_a_c_locale_carries_every_text(program: Program) -> None:
    code, made, _ = program.run(
        "register", "--agent-id", "a", "--prompt", "\u0161\u6f22\U0001f600", "--every", "1m", LC_ALL="C.UTF-8"
    )
    assert (code, made["status"]) == (0, "success")
    code, listed, _ = program.run("list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert listed["schedules"][0]["prompt_text"] == "\u0161\u6f22\U0001f600"


def test_a_reader_that_has_gone_is_no_reason_to_complain(program: Program) -> None:
    with program.start(sys.executable, "-m", "promptyoself", "--help") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in {0, 1}


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "1>/dev/full"])
def test_a_stdout_or_stderr_that_is_not_there_is_no_crash(program: Program, closed: str) -> None:
    shell = program.start("sh", "-c", f"exec '{sys.executable}' -m promptyoself list {closed}")
    _, err = shell.communicate(timeout=BOUND_S)
    assert b"Traceback" not in err
    assert shell.returncode in {0, 1}


def test_a_sigterm_that_python_drops_ends_the_loop_that_begins_all_the_same(program: Program) -> None:
    code = """
import asyncio, signal, weakref
from promptyoself import interruption
from promptyoself.bootstrap import _signalled

class Thing: ...

async def begin():
    stopping = asyncio.Event()
    _signalled(stopping)
    return stopping.is_set()

interruption.heed()
thing = Thing()
gone = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
del thing
print(asyncio.run(begin()), asyncio.run(begin()))
"""
    process = program.start(sys.executable, "-c", code)
    out, err = process.communicate(timeout=BOUND_S)
    assert b"Exception ignored" in err
    assert out.split() == [b"True", b"False"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_loop_ends_in_good_order_with_one_object(program: Program, number: signal.Signals) -> None:
    program.run("register", "--agent-id", "a", "--prompt", "x", "--every", "1s", "--target", "inbox")
    process = program.start(sys.executable, "-m", "promptyoself", "execute", "--loop", "--interval", "30")
    wait_for_a_message(program)
    process.send_signal(number)
    code, stopped, _ = program.finish(process)
    assert (code, stopped["status"]) == (0, "success")
    assert stopped["count"] >= 1
    assert "nothing is running" in " ".join(program.run("list")[1]["warnings"])


def test_a_closed_terminal_ends_in_good_order_and_not_at_all_what_was_begun_to_outlive_it(program: Program) -> None:
    code = """
import asyncio, signal, sys
from promptyoself import interruption
from promptyoself.bootstrap import _signalled

async def begin():
    stopping = asyncio.Event()
    _signalled(stopping)
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    for _ in range(10):
        await asyncio.sleep(0)
    return stopping.is_set()

if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
interruption.heed()
print(asyncio.run(begin()))
"""
    for words, is_told in (((), b"True"), (("nohup",), b"False")):
        process = program.start(sys.executable, "-c", code, *words)
        out, err = process.communicate(timeout=BOUND_S)
        assert (out.strip(), err) == (is_told, b"")


def wait_for_a_message(program: Program) -> None:
    until = time.monotonic() + BOUND_S  # noqa: TID251  a real process needs a real clock
    while program.run("inbox", "--agent-id", "a")[1]["count"] == 0:
        assert time.monotonic() < until, "nothing was delivered"  # noqa: TID251


hostile_words = st.lists(
    st.one_of(
        st.sampled_from(
            [b"register", b"list", b"show", b"--id", b"--prompt", b"--help", b"--json", b"--every", b"--", b"-1", b"db"]
        ),
        st.binary(min_size=1, max_size=8).map(lambda word: word.replace(b"\0", b"0")),
    ),
    max_size=5,
)


@given(words=hostile_words)
@settings(max_examples=12)
def test_whatever_the_words_the_answer_is_one_object(
    words: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = Program(tmp_path_factory.mktemp("hostile"))
    code, document, _ = program.run(*words)
    assert code in {0, 1, 2}
    assert isinstance(document.get("error"), str) == (code != 0)


# -- SMCP ---------------------------------------------------------------------------------------------------


def test_smcp_loads_the_plugin_and_calls_it(program: Program) -> None:
    process = program.start(sys.executable, PLUGIN / "cli.py", "--describe")
    out, _ = process.communicate(timeout=10)  # SMCP's own bound
    described = json.loads(out)
    commands = {command["name"]: command for command in described["commands"]}
    register = {parameter["name"]: parameter for parameter in commands["register"]["parameters"]}
    arguments = {"agent_id": "a", "prompt": "--help", "every": "1m", "target": "inbox", "skip_validation": True}
    assert arguments.keys() <= register.keys()
    words = [word for name, value in arguments.items() for word in as_smcp(name, value)]
    code, made, _ = program.smcp("register", *words)
    assert (code, made["id"]) == (0, 1)
    (stored,) = program.smcp("list", *as_smcp("all", value=True))[1]["schedules"]
    assert (stored["prompt_text"], stored["created_by"]) == ("--help", "operator via smcp")
    code, refused, _ = program.smcp("show", *as_smcp("id", 99))
    assert code == 1
    assert isinstance(refused["error"], str)
    assert program.smcp("nonsense")[0] == 2


def test_the_plugin_takes_the_checkouts_package_when_none_is_installed(program: Program) -> None:
    bare = program.start(sys.executable, "-S", PLUGIN / "cli.py", "list")
    assert program.finish(bare)[1]["count"] == 0


def test_the_plugin_alone_says_what_to_install(program: Program) -> None:
    alone = program.folder / "plugins/promptyoself"
    alone.mkdir(parents=True)
    (alone / "cli.py").write_text((PLUGIN / "cli.py").read_text())
    code, refused, err = program.finish(program.start(sys.executable, "-S", alone / "cli.py", "list"))
    assert (code, refused["code"], err) == (1, "not_installed", "")
    assert "pip install promptyoself" in refused["error"]


def test_the_plugin_hands_over_to_the_interpreter_that_is_named(program: Program) -> None:
    code, answer, _ = program.finish(
        program.start(sys.executable, "-S", PLUGIN / "cli.py", "--version", PROMPTYOSELF_PYTHON=sys.executable)
    )
    assert (code, answer["status"]) == (0, "success")
    code, refused, _ = program.smcp("list", PROMPTYOSELF_PYTHON="/nowhere/python")
    assert (code, refused["code"]) == (1, "config")
    assert "PROMPTYOSELF_PYTHON" in refused["error"]


def test_the_first_descriptions_commands_work_from_the_plugins_folder(program: Program) -> None:
    def literally(line: str) -> tuple[int, dict[str, Any], str]:
        python = f"'{sys.executable}'"
        shell = subprocess.Popen(
            ["sh", "-c", f"exec {line.replace('python', python, 1)}"],
            cwd=PLUGIN,
            env=program.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return program.finish(shell)

    code, made, _ = literally('python cli.py register --agent-id test-agent --prompt "Every minute test" --every "1m"')
    assert (code, made["id"]) == (0, 1)
    code, executed, _ = literally("python cli.py execute")
    assert (code, executed["executed"], executed["message"]) == (0, [], "0 prompts executed")


SEED: Final = """
import json
from datetime import datetime, timedelta, UTC
import cli, db, letta_client, scheduler

made = cli.register_prompt({"agent-id": "a", "prompt": "x", "every": "1h", "target": "inbox"})
assert made["id"] == 1, made
assert "interval" in cli.register_prompt({"agent-id": "a", "prompt": "x", "every": "0m"})["error"]
soon = datetime.now(UTC) + timedelta(milliseconds=200)
second = db.add_schedule("a", "once", "once", "", next_run=soon, target="inbox")
assert second == 2
while not db.get_due_schedules():
    pass
(due,) = db.get_due_schedules()
assert (due.id, due.agent_id, due.prompt_text, due.schedule_type, due.active) == (2, "a", "once", "once", True)
assert scheduler.calculate_next_run_for_schedule(due) is None
(executed,) = scheduler.execute_due_prompts()
assert executed["delivered"] and executed["completed"], executed
assert cli.execute_prompts({})["executed"] == []
paused = db.update_schedule(1, prompt_text="y", active=False, last_run=datetime.now(UTC))
assert (paused.prompt_text, paused.active, paused.state) == ("y", False, "paused")
assert db.update_schedule(1, active=True, schedule_value="2h").schedule_value == "2h"
assert scheduler.calculate_next_run("0 9 * * *", datetime(2030, 1, 1)) == datetime(2030, 1, 1, 9)
assert scheduler.calculate_next_run("0 9 * * *").tzinfo is not None
assert scheduler.calculate_next_run_for_schedule(db.update_schedule(1)) > datetime.now(UTC)
loop = scheduler.PromptScheduler(interval_seconds=30)
db.add_schedule("a", "soon", "once", "", next_run=datetime.now(UTC) + timedelta(milliseconds=300), target="inbox")
loop.start()
assert loop.running
while db.get_due_schedules() or cli.execute_prompts({})["executed"]:
    pass
loop.stop()
assert not loop.running
assert letta_client.test_letta_connection() is False
assert letta_client.send_prompt_to_agent("a", "hello") is False
assert letta_client.get_letta_client().max_retries == 0
assert letta_client.Letta, "the official package is there too"
print(json.dumps({"status": "success"}))
"""


def test_the_first_descriptions_names_work_for_real(program: Program) -> None:
    environ = {"PYTHONPATH": str(PLUGIN)}
    code, done, err = program.finish(program.start(sys.executable, "-c", SEED, **environ))
    assert (code, done["status"]) == (0, "success"), err


@pytest.mark.slow
def test_the_demo_shows_a_retry_and_ends_by_itself(program: Program) -> None:
    began = time.monotonic()  # noqa: TID251  what a person waits for
    code, told, _ = program.run("demo", "--json")
    assert (code, told["status"]) == (0, "success")
    assert time.monotonic() - began < 30  # noqa: TID251  fifteen, on a machine that does nothing else
    (receipt,) = told["receipts"]
    assert receipt["attempts"][0]["outcome"] == "failed"
    assert told["delivered"] >= 3
    process = program.start(sys.executable, "-m", "promptyoself", "demo")
    out, err = process.communicate(timeout=BOUND_S)
    assert (process.returncode, err) == (0, b"")
    assert b"What to type next" in out
    assert not list(program.folder.glob("promptyoself-demo-*"))
