"""The dashboard: what is served, under which policy, and what a person can do with it in a real browser."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from promptyoself.domain.errors import Unauthenticated
from promptyoself.domain.models import OPERATOR, ScheduleState
from promptyoself.domain.ports import ScheduleFilter
from promptyoself.interfaces.http.app import Parts, make_app
from promptyoself.interfaces.identity import Credentials, Identity
from tests.interfaces.http.browser import CHROMIUM, WHY_NOT, Page, chromium
from tests.interfaces.http.conftest import NamedKeeper
from tests.interfaces.world import Door

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "src/promptyoself/interfaces/http/dashboard/page"
REGISTER = ("register", "--agent-id", "agent-1", "--target", "inbox", "--every", "1h")
KEY = "pys_for-a-test-that-opens-nothing"
HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


# -- what is served -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: str(file.name))
def test_every_file_is_served_under_a_strict_policy_to_everybody(file: Path, client: TestClient) -> None:
    del client.headers["Authorization"]
    answer = client.get("/" if file.name == "index.html" else f"/dashboard/{file.name}")
    assert (answer.status_code, answer.content) == (200, file.read_bytes())
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_but_its_files_is_served(client: TestClient) -> None:
    for path in ("/dashboard/install.py", "/dashboard/%2e%2e/install.py", "/dashboard/../app.py", "/dashboard/index"):
        assert client.get(path).status_code == 404
    assert client.get("/dashboard", follow_redirects=False).headers["location"] == "/"
    assert client.get("/dashboard/").status_code == 200


def test_nothing_is_inline_from_elsewhere_or_read_as_html() -> None:
    for file in PAGE.iterdir():
        text = file.read_text()
        places = [url for url in re.findall(r"https?://[^\s\"')]+", text) if url != "http://www.w3.org/2000/svg"]
        assert places == [], file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    page = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for name in re.findall(r'(?:src|href)="(dashboard/[^"]+)"', page):
        assert (PAGE / name.removeprefix("dashboard/")).exists()


# -- the command --------------------------------------------------------------------------------------------


def test_the_command_prints_the_way_in(door: Door) -> None:
    door.services.filed = KEY
    assert door.ok("dashboard")["url"] == f"http://127.0.0.1:8289/#token={KEY}"
    assert door.ok("dashboard", "--url", "https://prompts.example.org/")["url"].startswith(
        "https://prompts.example.org/#"
    )


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "javascript:alert(1)", "127.0.0.1", 'http://x/"><script>', "http://x/?a", "http://[x"]
)
def test_an_address_that_is_none_is_refused(url: str, door: Door) -> None:
    door.services.filed = KEY
    assert door.refused("dashboard", "--url", url)["code"] == "invalid_input"


def test_without_a_token_it_says_how_to_come_by_one(door: Door) -> None:
    refused = door.refused("dashboard")
    assert (refused["code"], "promptyoself serve" in refused["hint"]) == ("config", True)


def test_an_agent_does_not_get_the_operators_token(door: Door) -> None:
    door.services.filed, door.services.owner = KEY, "agent-1"
    assert door.refused("dashboard")["code"] == "forbidden"


def test_the_browser_is_led_in_by_a_file_of_ours_alone(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def opens(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", opens)
    door.services.filed = KEY
    answer = door.call("dashboard", "--open")
    assert KEY not in answer.out + opened[0]
    page = Path(opened[0].removeprefix("file://"))
    assert f"#token={KEY}" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o600


# -- in a browser -------------------------------------------------------------------------------------------


class Gate(NamedKeeper):
    async def identify(self, credentials: Credentials) -> Identity:
        if credentials.bearer != KEY:
            raise Unauthenticated("nobody knows you")
        return Identity(OPERATOR, "token 1")


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Serve on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            app.state.parts.stopping.set()
            server.should_exit = True
            await serving


@pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)
def test_a_person_sees_changes_and_makes_schedules(door: Door, tmp_path: Path) -> None:
    asyncio.run(_a_person_at_work(door, tmp_path))


async def _a_person_at_work(door: Door, tmp_path: Path) -> None:
    door.ok(*REGISTER, "--prompt", HOSTILE, "--name", "<b>bold</b>")
    door.ok("skip", "--id", "1", "--reason", HOSTILE)
    app = make_app(Parts(door.services, Gate()))
    async with served(app) as url, chromium(tmp_path / "profile") as page:
        await _comes_in(page, url)
        # What another process does stands there by itself.
        await asyncio.to_thread(Door(tmp_path).ok, *REGISTER, "--prompt", "stretch", "--name", "from elsewhere")
        await page.has("#2 operator via cli registered it")
        await page.until("[...document.querySelectorAll('li a')].some((one) => one.text === '#2 from elsewhere')")
        await _pauses_and_cancels(page, door)
        await _makes_one(page)
        await _looks_at_deliveries(page, tmp_path)
        await _stops_all(page, door)
        assert await page.eval("document.title") == "Schedules - promptyoself"
        await page.press("Sign out")
        await page.has("Open this page with promptyoself dashboard")
        assert await page.eval("sessionStorage.length") == 0
        assert not [one for one in page.errors if "Failed to load resource" not in one]


async def _comes_in(page: Page, url: str) -> None:
    await page.go(url)
    await page.has("Open this page with promptyoself dashboard")
    assert not await page.eval("document.body.innerText.includes('bold')")
    await page.go("about:blank")
    await page.go(f"{url}/#token={KEY}")
    await page.has("<b>bold</b>")
    await page.until("location.hash === '#/'")
    await page.until("document.getElementById('live').textContent === 'live'")
    assert await page.eval("localStorage.length") == 0


async def _pauses_and_cancels(page: Page, door: Door) -> None:
    def state() -> ScheduleState:
        with door.services.store.reading() as tx:
            return tx.schedules(ScheduleFilter())[0].state

    await page.eval("location.hash = '#/schedules/1'")
    await page.has(HOSTILE)
    await page.has("skipped the fire time of")
    await page.press("Pause schedule 1")
    await page.has("Schedule 1 is paused")
    assert state() is ScheduleState.PAUSED
    await page.press("Cancel")
    await page.has("Cancel schedule 1?")
    await page.press("Keep it")
    assert state() is ScheduleState.PAUSED
    await page.press("Cancel")
    await page.press("Cancel it")
    await page.has("Schedule 1 is cancelled")
    assert state() is ScheduleState.CANCELLED


async def _makes_one(page: Page) -> None:
    await page.press("New")
    await page.write("agent_id", "agent-7")
    await page.write("prompt", "Look over the notes.")
    await page.eval("document.querySelector('[name=target]').value = 'inbox'")
    await page.write("rule", "weekday at 9")
    await page.has("9am")  # the service says what may be meant
    await page.write("rule", "weekday at 9am")
    await page.has("at 09:00 on Monday to Friday")
    await page.press("Schedule it")
    await page.has("Prompt scheduled with ID 3")
    await page.has("Look over the notes.")
    await page.press("Edit")
    await page.write("name", "notes")
    await page.press("Save")
    await page.has("Schedule 3 is updated")


async def _looks_at_deliveries(page: Page, folder: Path) -> None:
    await page.press("Deliveries")
    await page.has("1 of schedule #1")
    await page.press("Attempts of delivery 1")
    await page.has("No attempt yet.")
    await page.eval("document.querySelector('tbody tr').id = 'old'")
    await asyncio.to_thread(Door(folder).ok, "update", "--id", "3", "--name", "later")
    await page.until("document.getElementById('old') === null")  # the list is made anew, and what was unfolded stays so
    await page.has("No attempt yet.")
    await page.press("Schedules")
    await page.press("Run schedule 2 now")
    await page.has("Delivery 2 of schedule 2 is due now")


async def _stops_all(page: Page, door: Door) -> None:
    await page.press("Stop all deliveries")
    await page.press("Stop all")
    await page.has("Let deliveries go on")
    with door.services.store.reading() as tx:
        assert tx.stop_switch() is not None
    await page.press("Let deliveries go on")
    await page.has("Stop all deliveries")
