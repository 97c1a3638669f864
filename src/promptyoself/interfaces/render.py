"""Answers for a person on a terminal: sentences and tables. Nothing is computed here; a document comes in."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptyoself.interfaces.phrases import distance, excerpt, printable

if TYPE_CHECKING:
    from promptyoself.interfaces.wire import Document

_STATE_STYLES: Final = {
    "active": "green", "delivered": "green", "accepted": "green", "ok": "green", "live": "green",
    "paused": "yellow", "pending": "yellow", "unknown": "yellow", "leased": "yellow", "warn": "yellow",
    "dead": "red", "fail": "red", "failed": "red", "revoked": "red", "expired": "red",
}  # fmt: skip


def render(name: str, document: Document, stream: TextIO) -> None:
    """Print the answer of a command. Colours follow NO_COLOR and the terminal; others' text cannot steer it."""
    console = Console(file=stream, highlight=False, soft_wrap=False, markup=False, emoji=False)
    _VIEWS.get(name, _message)(console, document)
    for line in _understood(document) if name != "explain" else ():
        console.print(Text(printable(line)), soft_wrap=True)  # to be copied: no break within a value
    for warning in document.get("warnings", ()):
        console.print(Text(f"note: {printable(warning)}", style="yellow"))


def _understood(document: Document) -> list[str]:
    """Return what phrases in plain words were read as, in a form that can be typed back."""
    lines = []
    if isinstance(rule := document.get("understood"), dict):
        words = rule["words"].removesuffix(f" ({rule['timezone']})")
        lines.append(f"{_read_as(rule)} ({words}, {rule['timezone']})")
    return lines + [f"{_read_as(one)} ({one['timezone']})" for one in document.get("understood_bounds", ())]


def _read_as(phrase: Document) -> str:
    return f'Understood "{phrase["given"]}" as {phrase["option"]} "{phrase["value"]}"'


def _message(console: Console, document: Document) -> None:
    message = document.get("message")
    if isinstance(message, str):
        console.print(Text(printable(message)))


def _registered(console: Console, document: Document) -> None:
    upcoming = document["message"].partition(". ")[2]
    verb = "Scheduled" if document["created"] else "Updated"
    console.print(Text.assemble((f"{verb} #{document['id']}.", "bold green"), f" {printable(upcoming)}"))
    console.print(Text(f"  {printable(document['description'])}"))
    console.print(Text(f"  then: {', '.join(_clock(at) for at in document['next_runs'][1:]) or 'never again'}"))
    console.print(Text(f"  promptyoself why --id {document['id']} says what became of it", style="dim"))


def _schedules(console: Console, document: Document) -> None:
    if not document["schedules"]:
        console.print(Text("No schedules. `promptyoself register --help` shows how to make one."))
        return
    now = datetime.fromisoformat(document["now"])
    rows = [
        [
            str(one["id"]),
            one["name"] or excerpt(one["prompt_text"], 40),
            one["agent_id"],
            f"{one['schedule_type']} {one['schedule_value']}",
            _next(one, now),
            _state(one["state"]),
            _count(one),
        ]
        for one in document["schedules"]
    ]
    _table(console, ["id", "prompt", "agent", "rule", "next", "state", "fired"], rows)
    console.print(Text(document["database"], style="dim"))


def _schedule(console: Console, document: Document) -> None:
    if document.get("schedule") is None:
        _message(console, document)
        return
    if "details" not in document:
        _message(console, document)
        return
    rows = [
        [key.replace("_", " "), _plain(value)]
        for key, value in {**document["schedule"], **document["details"]}.items()
        if value is not None
    ]
    rows.append(["in words", document["description"]])
    rows.append(["coming", ", ".join(_clock(at) for at in document["next_runs"]) or "nothing"])
    _table(console, [], rows)


def _history(console: Console, document: Document) -> None:
    if not document["deliveries"]:
        console.print(Text("Nothing was delivered yet, and nothing is on its way."))
    for one in document["deliveries"]:
        console.print(_delivery_line(one))
        for attempt in one["attempts"]:
            why = (
                f": {attempt['detail'] or attempt['error_code']}" if attempt["detail"] or attempt["error_code"] else ""
            )
            line = f"    attempt {attempt['number']}  {_clock(attempt['started_at'])}  {attempt['outcome']}{why}"
            console.print(Text(printable(line)))
        console.print(Text(f"    idempotency key {one['idempotency_key']}", style="dim"))


def _delivery_line(one: Document) -> Text:
    late = "" if one["lateness_ms"] is None else f", {one['lateness_ms'] / 1000:.1f} s late"
    reason = f": {one['reason']}" if one["reason"] else ""
    return Text.assemble(
        f"delivery {one['id']}  due {_clock(one['fire_at'])}  ",
        (one["state"], _STATE_STYLES.get(one["state"], "")),
        printable(f"{late}{reason}"),
    )


def _deliveries(console: Console, document: Document) -> None:
    rows = [
        [
            str(one["id"]),
            str(one["schedule_id"]),
            one["agent_id"],
            _clock(one["fire_at"]),
            _state(one["state"]),
            one["reason"] or "",
        ]
        for one in document["deliveries"]
    ]
    _table_or(console, ["id", "schedule", "agent", "due", "state", "reason"], rows, "No deliveries.")


def _why(console: Console, document: Document) -> None:
    for sentence in document["sentences"]:
        console.print(Text(printable(sentence)))


def _journal(console: Console, document: Document) -> None:
    rows = [[str(one["id"]), _clock(one["at"]), one["event"], _plain(one["sentence"])] for one in document["events"]]
    _table_or(console, ["ID", "WHEN", "EVENT", "WHAT"], rows, "Nothing happened.")


def _preview(console: Console, document: Document) -> None:
    now = datetime.fromisoformat(document["now"])
    console.print(Text(printable(document["description"]), style="bold"))
    rows = [
        [_clock(run["at"]), run["utc"], distance(datetime.fromisoformat(run["at"]) - now), _put_off(run)]
        for run in document["runs"]
    ]
    _table_or(console, [document["timezone"], "UTC", "", ""], rows, "It does not fire in this span.")


def _put_off(run: Document) -> str:
    """Return what becomes of a fire time that is not sent at its instant."""
    if "skipped" in run:
        return f"skipped: {run['skipped']}"
    if "sent_at" not in run:
        return ""
    return f"held until {_clock(run['sent_at'])}" if run["held"] else f"sent {_clock(run['sent_at'])}"


def _explained(console: Console, document: Document) -> None:
    now = datetime.fromisoformat(document["now"])
    what = "plain words for " if document["is_phrase"] else ""
    console.print(Text(printable(document["description"]), style="bold"))
    read = document["understood"]
    typed = f"{read['option']} {shlex.quote(read['value'])} --timezone {shlex.quote(read['timezone'])}"
    console.print(Text(printable(f"  {what}{document['schedule_type']}: {typed}")))
    if document["fields"]:
        _table(console, [], [[f"  {one['name']}", one["value"], one["means"]] for one in document["fields"]])
    rows = []
    for run in document["next_runs"]:
        at = datetime.fromisoformat(run)
        rows.append([_clock(run), run[-len("+02:00") :], distance(at - now)])
    _table(console, [document["timezone"], "offset", ""], rows)
    if document["is_last"]:
        console.print(Text("  and never again"))


def _simulate(console: Console, document: Document) -> None:
    from promptyoself.interfaces import render_simulate  # the one long answer; others need none of it

    render_simulate.show(console, document)


def _executed(console: Console, document: Document) -> None:
    _message(console, document)
    waiting = [one for one in document.get("executed", []) if not one["delivered"]]
    if waiting:
        console.print(Text(f"{len(waiting)} not delivered; `promptyoself why --id N` says why.", style="yellow"))


def _agents(console: Console, document: Document) -> None:
    rows = [[one["id"], one["name"], excerpt(one["description"] or "")] for one in document["agents"]]
    _table_or(console, ["id", "name", "description"], rows, "Letta has no agents.")


def _messages(console: Console, document: Document) -> None:
    rows = [
        [str(one["id"]), _clock(one["received_at"]), one["prompt"], "read" if one["acked_at"] else ""]
        for one in document["messages"]
    ]
    _table_or(console, ["id", "received", "prompt", ""], rows, f"The mailbox of {document['agent_id']} is empty.")


def _acked(console: Console, document: Document) -> None:
    console.print(Text(f"Message {document['message']['id']} is acknowledged."))


def _token(console: Console, document: Document) -> None:
    console.print(Text(printable(document["message"])))
    console.print(Text(document["token"], style="bold"), soft_wrap=True)  # to be copied: no break within it


def _tokens(console: Console, document: Document) -> None:
    rows = [
        [
            str(one["id"]),
            one["agent_id"] or one["kind"],
            one["name"] or "",
            _state(one["state"]),
            _clock(one["created_at"]),
            _clock(one["expires_at"]) if one["expires_at"] else "never",
            _clock(one["last_used_at"]) if one["last_used_at"] else "never",
        ]
        for one in document["tokens"]
    ]
    heads = ["id", "speaks for", "name", "state", "issued", "expires", "last used"]
    _table_or(console, heads, rows, "No tokens. `promptyoself token create --help` shows how to issue one.")


def _config(console: Console, document: Document) -> None:
    rows = [[one["name"], one["value"], one["source"]] for one in document["settings"]]
    _table(console, ["setting", "value", "from"], rows)
    if document["token_file"]:
        console.print(Text(f"operator's token (after the first `promptyoself serve`): {document['token_file']}"))


def _doctor(console: Console, document: Document) -> None:
    for one in document["checks"]:
        console.print(
            Text.assemble(
                (f"{one['result']:<4}", _STATE_STYLES[one["result"]]), f"  {one['name']}: {printable(one['found'])}"
            )
        )
        if one["cure"]:
            console.print(Text(f"      {printable(one['cure'])}", style="dim"))


def _moved(console: Console, document: Document) -> None:
    rows = [[one["table"], str(one["rows"]), one["checksum"]] for one in document.get("tables", ())]
    if rows:
        _table(console, ["table", "rows", "checksum, the same on both sides"], rows)
    _message(console, document)


def _restored(console: Console, document: Document) -> None:
    rows = [[one["table"], str(one["was"]), str(one["now"] + 1)] for one in document["ids_left_out"]]
    _table(console, ["table", "last id in the copy", "next id"], rows)
    if document["tokens"]:
        _tokens(console, document)
    _message(console, document)


def _help(console: Console, document: Document) -> None:
    console.out(document["help"], highlight=False)


def _version(console: Console, document: Document) -> None:
    console.out(f"promptyoself {document['version']}", highlight=False)


def _imported(console: Console, document: Document) -> None:
    rows = []
    for verb in ("created", "updated", "unchanged"):
        for one in document[verb]:
            will = f"would be {verb}" if document["dry_run"] and verb != "unchanged" else verb
            told = [*([", ".join(one["changed"])] if one["changed"] else []), *([one["note"]] if one["note"] else [])]
            rows.append(
                [
                    one["source"],
                    f"{will}: {'; '.join(told)}" if told else will,
                    one["name"] or excerpt(one["prompt_text"], 40),
                    one["description"],
                    ", ".join(_clock(at) for at in one["next_runs"]) or "-",
                ]
            )
    if rows:
        _table(console, ["source", "what", "prompt", "rule", "coming"], rows)
    for one in document["refused"]:
        console.print(Text.assemble((f"{printable(one['source'])} refused", "red"), f": {printable(one['reason'])}"))
    for one in (*document["created"], *document["updated"]):
        for warning in one["warnings"]:
            console.print(Text(f"note: {printable(one['source'])}: {printable(warning)}", style="yellow"))
    _message(console, document)


def _exported(console: Console, document: Document) -> None:
    """Print what is exported as it is, to be piped or copied; a file's place in a sentence."""
    if "ics" in document:
        console.file.write(printable(document["ics"].replace("\r\n", "\n")))
    elif "export" in document:
        import json

        console.file.write(json.dumps(document["export"], indent=2) + "\n")
    else:
        _message(console, document)


_VIEWS: Final[dict[str, Callable[[Console, Any], None]]] = {
    "register": _registered,
    "list": _schedules,
    "show": _schedule,
    "update": _schedule,
    "pause": _schedule,
    "resume": _schedule,
    "history": _history,
    "why": _why,
    "journal": _journal,
    "preview": _preview,
    "explain": _explained,
    "simulate": _simulate,
    "execute": _executed,
    "deliveries": _deliveries,
    "agents": _agents,
    "inbox": _messages,
    "ack": _acked,
    "token create": _token,
    "token list": _tokens,
    "config": _config,
    "doctor": _doctor,
    "db move": _moved,
    "db restored": _restored,
    "import crontab": _imported,
    "import letta-cron": _imported,
    "import promptyoself-fast": _imported,
    "import json": _imported,
    "export": _exported,
    "help": _help,
    "version": _version,
}


def _table_or(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str | Text]], nothing: str) -> None:
    if rows:
        _table(console, heads, rows)
    else:
        console.print(Text(printable(nothing)))


def _table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    table = Table(box=box.SIMPLE_HEAD if heads else None, show_header=bool(heads), pad_edge=False)
    for head in heads or [""] * len(rows[0]):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def _state(state: str) -> Text:
    return Text(state, style=_STATE_STYLES.get(state, ""))


def _next(one: Document, now: datetime) -> str:
    coming = [datetime.fromisoformat(one[key]) for key in ("snoozed_until", "next_run") if one[key] is not None]
    if not coming:
        return "-"
    at = min(coming)
    put_off = ", put off" if one["snoozed_until"] is not None and at == coming[0] else ""
    return f"{_clock(at.isoformat())} ({distance(at - now)}{put_off})"


def _count(one: Document) -> str:
    most = one["max_repetitions"]
    return str(one["repetition_count"]) if most is None else f"{one['repetition_count']}/{most}"


def _clock(instant: str) -> str:
    at = datetime.fromisoformat(instant)
    return f"{at:%a %Y-%m-%d %H:%M:%S}" if at.second else f"{at:%a %Y-%m-%d %H:%M}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
