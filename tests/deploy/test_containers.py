"""The image and the compose file speak of commands, settings, ports and bounds that the program has."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from promptyoself.config import SECRET_FILES, VARIABLES
from promptyoself.domain import limits
from promptyoself.interfaces.http.listening import PORT_DEFAULT
from promptyoself.interfaces.parse import parse, require
from tests.deploy.reading import DEPLOY, ROOT, compose, dockerfile, last_stage

SETTINGS = {name for names in VARIABLES.values() for name in names} | set(SECRET_FILES.values())
NODES = {name: service for name, service in compose()["services"].items() if name != "postgres"}


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(s|m)", text)
    assert match, text
    return int(match[1]) * {"s": 1, "m": 60}[match[2]]


def only(name: str) -> str:
    (rest,) = [one.rest for one in last_stage() if one.name == name]
    return rest


def test_the_image_starts_a_command_of_ours_that_gets_the_signals() -> None:
    assert only("ENTRYPOINT") == '["promptyoself"]'
    (command,) = [one.words for one in last_stage() if one.name == "CMD"]
    parsed = parse(command)
    assert require(parsed).name == "serve"
    # Else it would refuse to start, or listen where nothing outside the container reaches it.
    assert parsed.options["host"] == "0.0.0.0"  # noqa: S104  within a container
    assert parsed.options["allow_plain_http"] is True
    assert only("EXPOSE") == str(PORT_DEFAULT)


def test_the_image_is_asked_for_its_readiness_at_its_own_port() -> None:
    assert f"'http://127.0.0.1:{PORT_DEFAULT}/readyz'" in only("HEALTHCHECK")


def test_the_image_runs_as_a_user_that_owns_nothing_but_its_data() -> None:
    user = only("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    made = " ".join(one.rest for one in last_stage() if one.name == "RUN")
    uid, gid = user.split(":")
    assert f"-o {uid} -g {gid} -m 0700 /data" in made
    environment = dict(part.split("=", 1) for part in shlex.split(only("ENV")))
    assert environment["XDG_DATA_HOME"] == environment["HOME"] == "/data"
    assert {name for name in environment if name.startswith(("PROMPTYOSELF_", "LETTA_"))} <= SETTINGS
    assert not [name for name in environment if re.search("KEY|PASSWORD|TOKEN|_DB", name)]


def test_the_image_is_built_from_locked_files_that_reach_the_builder() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [one.rest.split()[:-1] for one in dockerfile() if one.name == "COPY" and "--from=" not in one.rest]
    sources = {source for words in copied for source in words}
    assert sources == let_in
    assert all((ROOT / source).exists() for source in sources)
    installs = [
        part
        for one in dockerfile()
        if one.name == "RUN"
        for part in one.rest.split("&&")
        if "install " in part and "pip" in part
    ]
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes -r requirements/" in install or install.strip().endswith("--no-deps dist/*.whl")


def test_the_image_has_a_python_that_the_package_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = [one.rest.partition("=")[2] for one in dockerfile() if one.name == "ARG"]
    assert SpecifierSet(project["requires-python"]).contains(version)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    stages = [one.rest for one in dockerfile() if one.name == "FROM"]
    assert all(stage.startswith("python:${PYTHON}-slim-bookworm") for stage in stages)


def test_a_fleet_is_a_service_with_two_workers_and_postgresql() -> None:
    services = compose()["services"]
    assert services.keys() == {"serve", "worker", "postgres"}
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["postgres"]["image"].startswith("postgres:18")


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_given_a_command_of_ours(name: str) -> None:
    assert require(parse(NODES[name]["command"])).name == name


def test_a_worker_is_asked_where_it_answers() -> None:
    worker = NODES["worker"]
    port = parse(worker["command"]).options["health_port"]
    assert f"'http://127.0.0.1:{port}/readyz'" in worker["healthcheck"]["test"][-1]
    assert "healthcheck" not in NODES["serve"]  # the image's own is for it


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_time_to_drain(name: str) -> None:
    assert seconds(NODES[name]["stop_grace_period"]) > limits.END_FOR.total_seconds()


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_given_settings_that_exist_and_secrets_as_files(name: str) -> None:
    node = NODES[name]
    assert node["environment"].keys() == set(SECRET_FILES.values())
    assert {f"/run/secrets/{secret}" for secret in node["secrets"]} == set(node["environment"].values())
    assert set(node["secrets"]) <= compose()["secrets"].keys()
    assert node["env_file"] == "settings.env"
    assert node["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}


def test_the_settings_to_copy_exist_and_hold_no_secret() -> None:
    lines = (DEPLOY / "settings.env.example").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert names <= SETTINGS - set(SECRET_FILES.values()) - {name for one in SECRET_FILES for name in VARIABLES[one]}


@pytest.mark.parametrize("name", NODES)
def test_a_node_may_do_little(name: str) -> None:
    node = NODES[name]
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert node["security_opt"] == ["no-new-privileges:true"]
    # Where it may write in spite of that: the temporary folder, and its home.
    places = [*node["tmpfs"], *node.get("volumes", [])]
    assert {re.sub(r"^\w+:(?=/)|:.*$", "", place) for place in places} == {"/tmp", "/data"}


def test_nothing_is_published_beyond_this_machine() -> None:
    ports: list[str] = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports == [f"127.0.0.1:{PORT_DEFAULT}:{PORT_DEFAULT}"]


def test_the_database_is_waited_for_kept_and_stopped_in_good_order() -> None:
    found = compose()
    postgres: dict[str, Any] = found["services"]["postgres"]
    assert all(node["depends_on"] == {"postgres": {"condition": "service_healthy"}} for node in NODES.values())
    assert postgres["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert postgres["environment"]["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{postgres['secrets'][0]}"
    assert postgres["stop_signal"] == "SIGINT"
    named = {place.partition(":")[0] for service in found["services"].values() for place in service.get("volumes", [])}
    assert named == found["volumes"].keys()


def test_what_must_be_made_by_hand_is_told() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    for secret in compose()["secrets"].values():
        assert secret["file"] in page
    assert "settings.env" in page
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text()
    assert "deploy/settings.env" in (ROOT / ".gitignore").read_text()
