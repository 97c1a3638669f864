"""What is written about the project is so: dependencies, locks, links, commands, and nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("base.txt", "dev.txt", "all.txt", "build.txt")
# A path below one of these is somebody's own machine. The system's own folders (/usr, /etc, /proc) are everybody's.
MACHINE_PATH = re.compile(r"(?<![\w~.$}/*-])/(?:tmp|work|root|home|opt|mnt|Users)/(?!user\b|you\b)[\w.-]+/[\w.-]")
LINES_MAX = 500
HOST_IN_LOCK = re.compile(r"https?://|file:|--(?:extra-)?index-url|--find-links")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared(*groups: str) -> list[Requirement]:
    document = pyproject()
    lines = list(document["project"]["dependencies"])
    for group in groups:
        lines += document["dependency-groups"][group]
    if "dev" in groups:  # work is done with every extra; the base lock has none
        for extra in document["project"].get("optional-dependencies", {}).values():
            lines += (line for line in extra if not line.startswith("promptyoself["))  # `all` names the others
    return [Requirement(line) for line in lines]


def pins(lock: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / lock).read_text()
    return {
        canonicalize_name(name): Version(version)
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("requirement", declared("build", "dev"), ids=lambda requirement: str(requirement.name))
def test_every_dependency_earns_a_line(requirement: Requirement) -> None:
    lines = (ROOT / "docs/dependencies.md").read_text().splitlines()
    assert any(line.startswith(f"| `{requirement.name}` |") for line in lines)


def test_no_line_is_left_of_a_dependency_that_went() -> None:
    described = set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE))
    assert described == {requirement.name for requirement in declared("build", "dev")}


@pytest.mark.parametrize(("lock", "groups"), [("base.txt", ("build",)), ("dev.txt", ("build", "dev"))])
def test_the_lock_holds_what_pyproject_asks_for(lock: str, groups: tuple[str, ...]) -> None:
    locked = pins(lock)
    for requirement in declared(*groups):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), f"{requirement}: make lock"


@pytest.mark.parametrize(
    ("part", "whole"), [("base.txt", "dev.txt"), ("all.txt", "dev.txt"), ("build.txt", "base.txt")]
)
def test_locks_agree(part: str, whole: str) -> None:
    assert pins(part).items() <= pins(whole).items(), "make lock"


def test_the_lock_of_images_holds_every_extra_and_no_tool() -> None:
    project = pyproject()["project"]
    lines = [
        *project["dependencies"],
        *(line for name in ("serve", "fleet") for line in project["optional-dependencies"][name]),
    ]
    locked = pins("all.txt")
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), f"{requirement}: make lock"
    assert project["optional-dependencies"]["all"] == ["promptyoself[serve,fleet]"]
    assert not locked.keys() & {"pytest", "hatchling", "mypy"}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_host_and_hashes_every_file(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert not HOST_IN_LOCK.search(text)
    for block in re.split(r"\n(?=[\w.-]+==)", text)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_base_install_leaves_smcp_alone() -> None:
    assert not pins("base.txt").keys() & {
        "mcp",
        "fastapi",
        "starlette",
        "uvicorn",
        "psycopg",
        "psycopg2",
        "asyncpg",
        "pgqueuer",
    }


def test_the_readme_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("target", ["help", "demo", "test", "check", "test-letta", "bench", "format", "clean"])
def test_make_help_explains_every_target(target: str) -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE)


def test_links_between_pages_resolve() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in tracked()
        if page.suffix == ".md"
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if not link.startswith(("https://", "#")) and not (page.parent / link.split("#")[0]).exists()
    ]
    assert broken == []


def test_no_file_names_a_place_on_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path != Path(__file__).resolve()
        for match in MACHINE_PATH.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_the_wheel_carries_every_sql_file_and_shell_script(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    source = ROOT / "src"
    written = {str(path.relative_to(source)) for path in source.rglob("*.sql")}
    written |= {str(path.relative_to(source)) for path in source.glob("promptyoself/interfaces/shells/*")}
    assert "promptyoself/interfaces/shells/zsh" in written
    with zipfile.ZipFile(wheel) as archive:
        assert written <= set(archive.namelist())


def test_a_long_module_says_at_its_top_why_it_is_long() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > LINES_MAX:
            head = ast.get_docstring(ast.parse(text)) or ""
            assert re.search(r"\b\d00 lines\b", head), f"{path.relative_to(ROOT)} does not say why it is so long"
