#!/usr/bin/env python3
"""promptyoself as an SMCP plugin: the same program as the `promptyoself` command, started by its path.

SMCP runs this file with its own interpreter and no package around it. The package is taken from the checkout that this
folder belongs to, when it does to one, else from what is installed. PROMPTYOSELF_PYTHON names another
interpreter to run in, for those who keep the two environments apart.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INSTALL_HINT = "pip install promptyoself in this interpreter's environment, or name another by PROMPTYOSELF_PYTHON"


def main() -> int:
    """Answer SMCP's call and return the exit code: one JSON object on stdout, whatever happens."""
    try:
        _hand_over()
        find_package()
        from promptyoself.__main__ import main as run
    except (ImportError, OSError) as error:
        print(json.dumps(_cannot_start(error)))
        return 1
    return run(door="smcp")


def register_prompt(args: dict[str, Any]) -> dict[str, Any]:
    """Schedule a prompt: `agent-id`, `prompt`, and one of `time`, `cron`, `every`, `rrule`."""
    return _answered("register", args)


def execute_prompts(args: dict[str, Any]) -> dict[str, Any]:
    """Deliver what is due, once, or with `loop` until a signal, every `interval` seconds at least."""
    return _answered("execute", args)


def find_package() -> None:
    """Make `import promptyoself` find the package, and no import find this folder's files in place of packages."""
    # Started by path, Python looks here first, and letta_client.py would stand for the package of that name.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    checkout = HERE.parents[2] / "src"
    if (checkout / "promptyoself" / "__init__.py").is_file() and str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))


def _answered(command: str, args: dict[str, Any]) -> dict[str, Any]:
    find_package()
    from promptyoself.__main__ import world
    from promptyoself.interfaces.seed import answered

    return answered(command, args, services=world)


def _hand_over() -> None:
    """Start again in the interpreter named by PROMPTYOSELF_PYTHON; the variable is not passed on, so once only."""
    environ = dict(os.environ)
    python = environ.pop("PROMPTYOSELF_PYTHON", "")
    if not python:
        return
    command = [python, str(HERE / "cli.py"), *sys.argv[1:]]
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.run(command, env=environ, check=False).returncode)  # noqa: S603  the operator's own choice
    os.execve(python, command, environ)  # noqa: S606  the operator's own choice


def _cannot_start(error: Exception) -> dict[str, Any]:
    if isinstance(error, OSError):
        what = f"PROMPTYOSELF_PYTHON cannot be started: {error.strerror}"
        return {"error": what, "code": "config", "hint": "name an interpreter's full path, or unset it"}
    what = f"promptyoself is not installed here ({error}): {INSTALL_HINT}"
    return {"error": what, "code": "not_installed", "hint": INSTALL_HINT}


if __name__ == "__main__":
    sys.exit(main())
