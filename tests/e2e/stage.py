"""What end-to-end tests stand on: a database, programs of ours in processes of their own, and a receiver.

Every wait has a bound, every process is ended by its own id, and nothing is asserted from our tables that the
receiver's record could say.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar

from promptyoself.domain.models import CatchUp, Definition, DeliveryState, Overlap, Policy, Provenance
from promptyoself.domain.ports import DeliveryFilter, NewSchedule
from promptyoself.domain.triggers import Trigger, TriggerKind, make_trigger
from promptyoself.storage.sqlite import SqliteStore

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = (sys.executable, "-m", "promptyoself")
CALL_S_MAX: Final = 60.0
LOOK_EVERY_S: Final = 0.02
T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], *, within_s: float) -> T:
    """Return the first answer of `look` that is true; fail when there is none in time."""
    until_s = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until_s, f"not within {within_s} s: {what}"
        time.sleep(LOOK_EVERY_S)


class Process:
    """One program of ours. Its output goes to files, so that it never waits for a reader."""

    def __init__(self, command: Sequence[str | bytes], folder: Path, env: Mapping[str, str]) -> None:
        self._out, self._err = _log(folder, "out"), _log(folder, "err")
        self._popen = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """True until it ends."""
        return self._popen.poll() is None

    @property
    def stdout(self) -> str:
        """All that it has written so far."""
        return Path(self._out.name).read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """Its log so far."""
        return Path(self._err.name).read_text(encoding="utf-8")

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; return the wall clock just after."""
        self._popen.send_signal(number)
        return time.time()

    def wait(self, within_s: float = CALL_S_MAX) -> int:
        """Wait for its end and return the exit code."""
        return self._popen.wait(within_s)

    def answer(self, within_s: float = CALL_S_MAX) -> dict[str, Any]:
        """Wait for its end and return the one JSON object on its stdout."""
        self.wait(within_s)
        return one_object(self.stdout)

    def cpu_s(self) -> float:
        """Return the seconds of processor time that it has used (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Kill it if it lives, and reap it."""
        if self.is_alive:
            self._popen.kill()
        self._popen.wait(CALL_S_MAX)
        self._out.close()
        self._err.close()


def _log(folder: Path, kind: str) -> IO[bytes]:
    number = len(list(folder.glob(f"*.{kind}")))
    return (folder / f"{number}.{kind}").open("wb")


def one_object(text: str) -> dict[str, Any]:
    """Read exactly one JSON object; anything beside it is an error."""
    found = json.loads(text)
    assert isinstance(found, dict), text
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request that the receiver has read. Instants are seconds since 1970."""

    number: int
    agent: str
    otid: str
    text: str
    envelope: str | None
    begun_s: float
    answered_s: float | None
    run: str | None
    others: int
    """Requests open and runs at work at the same agent when it came."""

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.otid.partition("#")[0]


class Receiver:
    """The fake Letta's process, and what it has written down."""

    def __init__(self, folder: Path, *, port: int = 0, manners: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._record = folder / "received.jsonl"
        self._record.touch()
        command = [sys.executable, "-m", "tests.e2e.receiver", str(self._record), "--port", str(port)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = Process([*command, "--manners", json.dumps(manners or {})], folder, env)
        line = wait_for("the receiver's port", lambda: self._process.stdout.strip(), within_s=30)  # noqa: PLW0108  read anew each time
        self.url = f"http://127.0.0.1:{int(line)}"

    def events(self) -> list[dict[str, Any]]:
        """Return all that was written down, in order; the last line may still be half written."""
        whole, _, _ = self._record.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def arrivals(self) -> list[Arrival]:
        """Return the requests that were read, in the order in which they began."""
        begun: dict[int, dict[str, Any]] = {}
        read: dict[int, dict[str, Any]] = {}
        answered: dict[int, dict[str, Any]] = {}
        for event in self.events():
            kinds = {"begun": begun, "read": read, "answered": answered}
            if event["what"] in kinds:
                kinds[event["what"]][event["number"]] = event
        return [
            Arrival(
                number=number,
                agent=event["agent"],
                otid=event["otid"],
                text=event["text"],
                envelope=event["envelope"],
                begun_s=begun[number]["at"],
                answered_s=answered.get(number, {}).get("at"),
                run=answered.get(number, {}).get("run"),
                others=begun[number]["others"],
            )
            for number, event in read.items()
        ]

    def count(self, what: str) -> int:
        """Return how many events of a kind there are: cheap, for waits."""
        return self._record.read_bytes().count(f'{{"what": "{what}"'.encode())

    def asked(self) -> int:
        """Return how many requests of any kind have come."""
        with urllib.request.urlopen(self.url + "/test/asked", timeout=10) as answer:  # noqa: S310  ours, on loopback
            return int(answer.read())

    def behave(self, **manners: Mapping[str, Any]) -> None:
        """Change the manners: agents by name (`_` for `-`), `everybody` for the rest."""
        named = {"*" if name == "everybody" else name.replace("_", "-"): dict(one) for name, one in manners.items()}
        self._post("/test/manners", named)

    def start_foreign_run(self, agent: str) -> None:
        """Let the agent work on something that is not ours, without end."""
        self._post("/test/foreign", {"agent": agent})

    def _post(self, path: str, body: object) -> None:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")  # noqa: S310  ours, on loopback
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310  ours, on loopback
            pass

    def end(self) -> None:
        """Kill it: what it wrote down stays."""
        self._process.end()


class Stage:
    """A folder with one database, one receiver when asked for, and processes that end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = folder / "data" / "p.db"
        self.letta_url = "http://127.0.0.1:9"
        self.program: Sequence[str] = PROGRAM
        """What runs, where a call names nothing else."""
        self._processes: list[Process | Receiver] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._processes:
            one.end()

    @property
    def operator_token(self) -> str:
        """The token that a service of this stage has filed."""
        return Path(f"{self.db}.operator-token").read_text(encoding="ascii").strip()

    # -- processes ------------------------------------------------------------------------------------------

    def receiver(self, *, port: int = 0, manners: Mapping[str, Mapping[str, Any]] | None = None) -> Receiver:
        """Start a receiver; programs started from now on talk to it."""
        made = Receiver(self.folder, port=port, manners=manners)
        self._processes.append(made)
        self.letta_url = made.url
        return made

    def start(self, *words: str | bytes, env: Mapping[str, str] | None = None, program: Sequence[str] = ()) -> Process:
        """Start `promptyoself` with these words."""
        made = Process([*(program or self.program), *words], self.folder, {**self._env(), **(env or {})})
        self._processes.append(made)
        return made

    def loop(self, *words: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a loop, and wait until its heartbeat is stored."""
        made = self.start("execute", "--loop", *words, env=env)
        wait_for(f"the loop's heartbeat; it says {made.stderr}", lambda: made.pid in self._executor_pids(), within_s=30)
        return made

    def call(self, *words: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run a command to its end and return its answer."""
        return self.start(*words, env=env).answer()

    def register(self, agent: str, prompt: str, *words: str) -> int:
        """Register by the command line and return the id."""
        answer = self.call("register", "--agent-id", agent, "--prompt", prompt, *words)
        assert answer.get("status") == "success", answer
        return int(answer["id"])

    def _env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.folder),
            "PROMPTYOSELF_DB": str(self.db),
            "LETTA_BASE_URL": self.letta_url,
            "PROMPTYOSELF_TIMEZONE": "UTC",
            "PROMPTYOSELF_LOG": "info",
            "PYTHONUTF8": "1",
        }

    def _executor_pids(self) -> set[int]:
        if not self.db.exists():
            return set()
        with self.store() as store, store.reading() as tx:
            return {executor.pid for executor in tx.executors(alive_since=datetime.now(UTC) - timedelta(seconds=30))}

    # -- the database ---------------------------------------------------------------------------------------

    def store(self) -> _Opened:
        """Open the database in this process."""
        return _Opened(self.db)

    def add_due(self, prompts: Iterable[tuple[str, str]], *, first: datetime, apart: timedelta) -> None:
        """Store one-offs (agent, prompt) that came due one after the other from `first`, as if registered in time."""
        self.add(
            a_one_off(f"{number:032x}", agent, prompt, fire_at=first + number * apart)
            for number, (agent, prompt) in enumerate(prompts)
        )

    def add(self, schedules: Iterable[NewSchedule]) -> None:
        """Store schedules in one transaction."""
        with self.store() as store, store.transaction() as tx:
            for new in schedules:
                tx.add_schedule(new)

    def states(self) -> Counter[DeliveryState]:
        """Count deliveries by state."""
        with self.store() as store, store.reading() as tx:
            return Counter(delivery.state for delivery in tx.deliveries(DeliveryFilter(limit=10_000)))


class _Opened:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> SqliteStore:
        self._store = SqliteStore.open(self._path, new_uid=lambda: "ab" * 16)
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def a_one_off(uid: str, agent: str, prompt: str, *, fire_at: datetime) -> NewSchedule:
    """Return a schedule that fires once at `fire_at`, past or future."""
    made_at = fire_at - timedelta(hours=1)
    trigger = make_trigger(TriggerKind.ONCE, fire_at.isoformat(), timezone="UTC", now=made_at)
    return _new(uid, agent, prompt, trigger, Policy(), fire_at=fire_at, made_at=made_at)


def an_interval(uid: str, agent: str, prompt: str, every: str, *, anchor_at: datetime, first: datetime) -> NewSchedule:
    """Return a schedule that fires each `every`, counted from `anchor_at`, the first time at `first`; it skips none."""
    trigger = make_trigger(TriggerKind.INTERVAL, every, timezone="UTC", now=anchor_at)
    policy = Policy(overlap=Overlap.QUEUE, catch_up=CatchUp.ALL)
    return _new(uid, agent, prompt, trigger, policy, fire_at=first, made_at=anchor_at)


def _new(
    uid: str, agent: str, prompt: str, trigger: Trigger, policy: Policy, *, fire_at: datetime, made_at: datetime
) -> NewSchedule:
    return NewSchedule(
        uid=uid,
        definition=Definition(agent_id=agent, prompt=prompt, trigger=trigger, target="letta", policy=policy),
        provenance=Provenance(created_by="operator via cli"),
        next_fire_at=fire_at,
        created_at=made_at,
    )


# -- what must hold -----------------------------------------------------------------------------------------


def by_agent(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """Sort arrivals by agent, in the order in which they began."""
    sorted_: defaultdict[str, list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda arrival: arrival.begun_s):
        sorted_[arrival.agent].append(arrival)
    return sorted_


def assert_each_arrived_once(arrivals: Sequence[Arrival], texts: Iterable[str]) -> None:
    """Check that exactly these prompts arrived, each by one request."""
    counts, expected = Counter(arrival.text for arrival in arrivals), Counter(texts)
    assert counts == expected, f"lost {list(expected - counts)[:5]}, too many {list(counts - expected)[:5]}"
    assert max(Counter(arrival.key for arrival in arrivals).values(), default=1) == 1


def assert_never_two_at_once(arrivals: Iterable[Arrival]) -> None:
    """Check that no request came to an agent while another was open there or its run was at work."""
    overlapping = [arrival for arrival in arrivals if arrival.others]
    assert not overlapping, overlapping[:3]
