"""The source and schema of custom tools, made of what our MCP door offers: the same tools, by another way.

Four habits of Letta 0.16.8 decide how they look:

- Its runner pastes arguments of type number, array or object into the script as they come: a text there would be run as
  code. And a null, which its strict mode makes models send for what is optional, breaks integers and booleans. So every
  parameter is a string to Letta, and texts that stand for something else are turned back by the tool.
- It parses each text as JSON where the annotation is `str`, so that the prompt `{"a": 1}` would arrive as `{'a': 1}`.
  It leaves `Optional[str]` alone.
- For that parsing it imports all of itself in each run, which takes seconds; a name that is taken spares them.
- It takes our schema, and reads the docstring only when somebody edits the tool.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from keyword import iskeyword
from textwrap import indent
from typing import Any, Final

from promptyoself.domain import limits
from promptyoself.domain.errors import TargetRefused
from promptyoself.domain.ports_attach import AgentTool
from promptyoself.targets import letta_attach_call

_KINDS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list, as JSON",
    "object": "an object, as JSON",
}
_RESERVED: Final = frozenset({"self", "agent_state", "agent_id", "client", "ask_promptyoself"})
_FUTURE: Final = "from __future__ import annotations\n"
_HEAD: Final = """\
# Made by `promptyoself letta attach`, which writes it anew each time.
import sys
from typing import Optional

sys.modules.setdefault("letta", None)  # or each run would import all of Letta, and read texts as JSON
"""


def schema_of(tool: AgentTool) -> dict[str, object]:
    """Return the tool as Letta describes it to models. Raises TargetRefused for a name that no function can have."""
    properties = {name: _property(name, spec) for name, spec in _parameters(tool).items()}
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": {"type": "object", "properties": properties, "required": _required(tool)},
    }


def source_of(tool: AgentTool) -> str:
    """Return the tool as Python source: a function that calls us, and gives the answer's text. Raises TargetRefused."""
    parameters = _parameters(tool)
    literals = sorted(name for name, spec in parameters.items() if _kind(spec) in _KINDS)
    signature = ", ".join(f"{name}: Optional[str] = None" for name in parameters)
    arguments = ", ".join(f'"{name}": {name}' for name in parameters)
    bounds = f"{limits.TOOL_CALL_FOR.total_seconds()!r}, {limits.TOOL_ANSWER_BYTES_MAX}"
    call = f'return ask_promptyoself("{tool.name}", {{{arguments}}}, set({literals!r}), {bounds})'
    body = indent(f'"""{_docstring(tool)}"""\n{call}\n', "    ")
    # The tool stands last: Letta takes the last function for it.
    return f"{_HEAD}\n{_caller()}\n\ndef {tool.name}({signature}) -> str:\n{body}"


def _caller() -> str:
    """Return the source of what every tool does; the script that it becomes part of has its beginning already."""
    return inspect.getsource(letta_attach_call).partition(_FUTURE)[2].lstrip()


def _parameters(tool: AgentTool) -> dict[str, Mapping[str, Any]]:
    found = tool.parameters.get("properties", {})
    specs = {str(name): spec for name, spec in found.items()} if isinstance(found, Mapping) else {}
    for name in (tool.name, *specs):
        if not name.isidentifier() or iskeyword(name) or name in _RESERVED:
            raise TargetRefused(
                f"the tool {tool.name!r} has a name that Letta cannot take: {name!r}",
                hint="attach with the promptyoself that serves; --via mcp takes any name",
            )
    return specs


def _required(tool: AgentTool) -> list[str]:
    found = tool.parameters.get("required", [])
    return [str(name) for name in found] if isinstance(found, list) else []


def _property(name: str, spec: Mapping[str, Any]) -> dict[str, object]:
    choices = spec.get("enum") or next((one["enum"] for one in spec.get("anyOf", ()) if "enum" in one), None)
    told: dict[str, object] = {"type": "string", "description": _told(name, spec)}
    return {**told, "enum": list(choices)} if choices and _kind(spec) == "string" else told


def _kind(spec: Mapping[str, Any]) -> str:
    """Return a parameter's JSON type, null left aside."""
    kinds = [one.get("type") for one in spec.get("anyOf", [spec])]
    kinds = [kind for one in kinds for kind in (one if isinstance(one, list) else [one]) if kind not in {None, "null"}]
    return str(kinds[0]) if kinds else "string"


def _told(name: str, spec: Mapping[str, Any]) -> str:
    described = " ".join(str(spec.get("description") or name).split())
    kind = _KINDS.get(_kind(spec))
    return described if kind is None else f"{described} ({kind})"


def _docstring(tool: AgentTool) -> str:
    described = "\n".join(line.strip() for line in tool.description.strip().splitlines())
    parameters = _parameters(tool)
    lines = [f"    {name} (str): {_told(name, spec)}" for name, spec in parameters.items()]
    args = "\n\nArgs:\n" + "\n".join(lines) if lines else ""
    text = f"{described}{args}\n\nReturns:\n    str: What promptyoself says.\n"
    return text.replace("\\", "\\\\").replace('"', '\\"')
