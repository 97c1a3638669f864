"""The starter's own promises that need no Letta: it fails loudly, and it never touches a stranger's process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.letta_server.processes import Daemon
from tests.letta_server.server import LOCAL_MCP, LettaServer, LettaServerError, Options, wait_for


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    return Daemon("sleeper", tmp_path, tmp_path / "sleeper.log", command)


def test_a_taken_port_is_an_error_that_names_it_before_anything_is_installed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(LettaServerError, match=f"port {port}, meant for letta, is taken"):
            LettaServer(tmp_path, port).up()
    assert not (tmp_path / "venv").exists()


def test_a_daemon_that_ends_at_its_start_fails_with_the_tail_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such database')"]
    daemon = Daemon("short", tmp_path, tmp_path / "short.log", command)
    daemon.start()
    with pytest.raises(LettaServerError, match="no such database"):
        wait_for(daemon, lambda: False, "never said")


def test_a_daemon_is_found_again_by_its_pid_file_and_stopped(daemon: Daemon) -> None:
    daemon.start()
    pid = daemon.pid
    assert pid is not None
    daemon.start()
    assert daemon.pid == pid, "a second start starts nothing"
    daemon.stop(signal.SIGTERM)
    assert daemon.pid is None


def test_a_pid_that_belongs_to_a_stranger_by_now_is_taken_for_dead(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "sleeper.pid").write_text(f"{os.getpid()} 1\n")
    assert daemon.pid is None
    daemon.kill()  # and we are still here


def test_options_of_an_earlier_up_are_read_though_it_knew_fewer(tmp_path: Path) -> None:
    server = LettaServer(tmp_path, 1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "options.json").write_text('{"redis": true, "password": null}')
    assert server.options == Options(redis=True, password=None, local_mcp=False)


def test_a_letta_that_allows_local_mcp_takes_loopback_for_public_and_no_other_address() -> None:
    asked = "[ip_address(one).is_global for one in ('127.0.0.1', '10.0.0.1', '1.1.1.1')]"
    told = subprocess.run(
        [sys.executable, "-c", f"from ipaddress import ip_address; print({asked})"],
        env={"PYTHONPATH": str(LOCAL_MCP)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "[True, False, True]"
