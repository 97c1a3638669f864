"""`demo`: prompts registered, fired, delivered, retried after a failure, and their receipts, in a folder of its own."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from promptyoself.interfaces import wire
from promptyoself.interfaces.background import BackgroundLoop
from promptyoself.interfaces.cli import answer
from promptyoself.interfaces.cli_execute import sentence

if TYPE_CHECKING:
    from promptyoself.application.passes import Entry
    from promptyoself.domain.ports import Clock
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document

WATCH_FOR_S: Final = 11.0
"""How long deliveries are watched; with starting and telling, the whole takes less than 15 s."""
AGENT: Final = "demo-agent"
_INTERVAL: Final = timedelta(seconds=60)
_ARRIVALS: Final = {1: 1, 2: 3, 3: 1}
"""Deliveries to wait for, by schedule: once, three times, and once after a failure."""

_NEXT: Final = """
What to type next:
  promptyoself register --agent-id me --prompt "Stretch." --every 30s --target inbox   # your own first prompt
  promptyoself execute --loop                             # deliver, until Ctrl-C; or `serve`: with a dashboard
  promptyoself inbox --agent-id me                        # read what arrived
  promptyoself list                                       # what is scheduled, and when it fires next

With a Letta agent:
  export LETTA_BASE_URL=http://localhost:8283             # and LETTA_API_KEY, when your server wants one
  promptyoself test                                       # does Letta answer?
  promptyoself agents                                     # the ids of your agents
  promptyoself register --agent-id agent-... --prompt "Look over yesterday's notes." \\
      --cron "0 9 * * mon-fri" --timezone Europe/Riga
  promptyoself doctor                                     # is everything in place?"""


def demo(call: Call) -> Document:
    """Play the whole way of a prompt once, for real, and clean up."""
    with TemporaryDirectory(prefix="promptyoself-demo-") as folder:
        return _Demo(call, Path(folder)).play()


class _Demo:
    def __init__(self, call: Call, folder: Path) -> None:
        self._call = call
        self._flags = {"demo": str(folder)}
        self._left = dict(_ARRIVALS)
        self._all_arrived = threading.Event()

    def play(self) -> Document:
        say = self._call.say
        say("promptyoself demo: about 12 seconds, in a folder of its own that is deleted at the end.")
        say("\n1. A scheduler runs in the background, as `promptyoself execute --loop` does.")
        loop = BackgroundLoop(lambda: self._call.open_services(self._flags), interval=_INTERVAL, on_entry=self._told)
        loop.start()
        try:
            registered = self._register()
            say("\n4. They fire, and are delivered. Prompt 3 fails at first, and is tried again.")
            self._all_arrived.wait(WATCH_FOR_S)
        finally:
            loop.stop()
        receipts = self._run("history", "--id", "3")["deliveries"]
        sentences = self._run("why", "--id", "3")["sentences"]
        self._show(receipts, sentences)
        messages = self._run("inbox", "--agent-id", AGENT)["messages"]
        say(f"\n7. The agent finds {len(messages)} messages in its inbox, each prompt verbatim. The last one:")
        for message in messages[-1:]:
            say(f"   {message['prompt']}")
        say(_NEXT)
        left = sum(self._left.values())
        return wire.success(
            registered=registered,
            receipts=receipts,
            sentences=sentences,
            delivered=len(messages),
            message="All prompts arrived" if not left else f"{left} prompts were still on their way",
        )

    def _register(self) -> list[Document]:
        say = self._call.say
        clock = self._call.open_services(self._flags).clock
        say("\n2. Three prompts are registered: once, at an interval, and one for a target that fails at first.")
        to_agent = ("--agent-id", AGENT)
        registered = [
            self._say_run("register", *to_agent, "--prompt", "Did the build finish?", "--time", _soon(clock, 2)),
            self._say_run("register", *to_agent, "--prompt", "Stretch.", "--every", "3s", "--max-repetitions", "3"),
            self._say_run(
                "register", *to_agent, "--prompt", "Call it a day.", "--time", _soon(clock, 1), "--target", "flaky"
            ),
        ]
        say("\n3. A cron rule is tried out before it is registered: what would it do?")
        seen = self._say_run("preview", "--cron", "0 9 * * mon-fri", "--timezone", "Europe/Riga", "--count", "3")
        say(f"   {seen['description']}: " + ", ".join(_day(run["at"]) for run in seen["runs"]))
        return registered

    def _told(self, entry: Entry) -> None:
        """Tell of a delivery as it happens; called in the loop's thread."""
        self._call.say(f"   {entry.schedule.definition.prompt:<22} {sentence(entry)}")
        schedule_id = entry.schedule.id
        if entry.outcome == "delivered" and schedule_id in self._left:
            self._left[schedule_id] -= 1
            if sum(self._left.values()) == 0:
                self._all_arrived.set()

    def _show(self, receipts: list[Document], sentences: list[str]) -> None:
        say = self._call.say
        say("\n5. Every delivery has a receipt, with each attempt: `promptyoself history --id 3`")
        for receipt in receipts:
            late = "" if receipt["lateness_ms"] is None else f", {receipt['lateness_ms'] / 1000:.1f} s late"
            say(f"   delivery {receipt['id']}: {receipt['state']}{late}, idempotency key {receipt['idempotency_key']}")
            for one in receipt["attempts"]:
                say(f"     attempt {one['number']}: {one['outcome']}{': ' + one['detail'] if one['detail'] else ''}")
        say("\n6. The journal answers why: `promptyoself why --id 3`")
        for line in sentences:
            say(f"   {line}")

    def _say_run(self, *words: str) -> Document:
        self._call.say("   $ promptyoself " + " ".join(_quoted(word) for word in words))
        document = self._run(*words)
        if "id" in document:
            self._call.say(f"   {document['message']}")
        return document

    def _run(self, *words: str) -> Document:
        return answer(words, services=lambda _flags: self._call.open_services(self._flags), door="demo")


def _soon(clock: Clock, seconds: int) -> str:
    return (clock.now() + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def _day(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%a %Y-%m-%d %H:%M}"


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
