"""Letta: doors into the promptyoself package.

This file has the name of Letta's official package. When Python finds it in that package's place, it becomes that
package, with these functions added: whoever then imports `letta_client`, the package itself included, gets both.
"""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import timedelta
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from promptyoself.__main__ import world
from promptyoself.interfaces import seed

_FOLLOW = timedelta(seconds=30)


def get_letta_client() -> Any:  # noqa: ANN401  the official client, whose import takes a second
    """Return the official client for the server and key of the settings. It never repeats a request."""
    with closing(world({})) as services:
        return services.letta_client()


def send_prompt_to_agent(agent_id: str, prompt_text: str) -> bool:
    """Deliver a prompt now, in its turn, and return whether Letta accepted it; what it refused does not come later."""
    with closing(world({})) as services:
        return seed.send(services, agent_id, prompt_text, wait=_FOLLOW)


def test_letta_connection() -> bool:
    """Return whether Letta answers and lets us in."""
    with closing(world({})) as services:
        return seed.is_reachable(services)


def _official() -> ModuleType | None:
    """Load Letta's package from wherever Python would find it without this folder; None when it is not installed."""
    here = Path(__file__).resolve().parent
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = PathFinder.find_spec("letta_client", elsewhere)
    if spec is None or spec.loader is None:
        return None
    package = module_from_spec(spec)
    sys.modules["letta_client"] = package
    spec.loader.exec_module(package)
    return package


if __name__ == "letta_client":
    _own = {one.__name__: one for one in (get_letta_client, send_prompt_to_agent, test_letta_connection)}
    _package = _official()
    for _name, _function in _own.items():
        if _package is not None:
            setattr(_package, _name, _function)
