"""What the files of deploy/ say, read just enough to hold it against the program. None of it starts anything."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


class Instruction(NamedTuple):
    """One instruction of a Dockerfile, its continued lines joined."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The words of its exec form."""
        found = json.loads(self.rest)
        assert isinstance(found, list)
        return found


def dockerfile() -> list[Instruction]:
    """Return the instructions of deploy/Dockerfile, comments left out."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def last_stage() -> list[Instruction]:
    """Return the instructions that make what is shipped."""
    found = dockerfile()
    return found[max(number for number, one in enumerate(found) if one.name == "FROM") :]


def compose() -> dict[str, Any]:
    """Return compose.yaml, its anchors resolved."""
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert isinstance(found, dict)
    return found


class Unit:
    """A unit of systemd: what each key was given, in order; an empty value forgets what was before it."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._found: dict[tuple[str, str], list[str]] = {}
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self._found.setdefault((section, key), []).append(value)

    def all(self, section: str, key: str) -> list[str]:
        """Return every value of a key."""
        return self._found.get((section, key), [])

    def one(self, section: str, key: str) -> str:
        """Return the value of a key that is given once."""
        (value,) = self.all(section, key)
        return value

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it sets."""
        pairs = " ".join(self.all("Service", "Environment")).split()
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
