"""What may come in: models of bodies and queries, made of the table of commands, so that each option is said once.

Types are exact: a whole number is neither 1.0 nor true, and a text is text. A key that a command does not have is
refused with the nearest that it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Final, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from promptyoself.domain import limits
from promptyoself.interfaces.commands import find_command
from promptyoself.interfaces.http.wording import keys_said
from promptyoself.interfaces.parse import JSON_OPTIONS, SECONDS_MAX, TEXTS_MAX, OptionValue, shown
from promptyoself.interfaces.table import Command, Option

ID_MAX: Final = 2**63 - 1
COUNT_MAX: Final = 10**18 - 1
"""As many digits as the command line reads."""
_LONG: Final = {
    "prompt": limits.PROMPT_BYTES_MAX,
    "source_code": limits.PROMPT_BYTES_MAX,
    "content": limits.CONTENT_BYTES_MAX,
}
"""Texts that are whole documents; every other is an expression, a name or a sentence."""

Texts = Mapping[str, str]
Options = dict[str, OptionValue | None]


class Form(BaseModel):
    """The base of every body: strict, and closed."""

    model_config = ConfigDict(extra="forbid", strict=True)
    not_options: ClassVar[frozenset[str]] = frozenset()
    """Keys that the route itself deals with."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, given: object) -> object:
        if isinstance(given, dict):
            refuse_unknown(given, cls.model_fields)
        return given

    def options(self) -> Options:
        """Return what was given, as parse.py makes it of the same words. A flag that is false was not given."""
        # What was not given is None: of some thirty options, most requests give four.
        names = (name for name in type(self).model_fields if name in self.model_fields_set)
        given = {name: getattr(self, name) for name in names if name not in self.not_options}
        given = {name: value for name, value in given.items() if value is not None}
        return {name: _option_value(value) for name, value in given.items() if value is not False}

    def changes(self) -> Options:
        """Return what was given of an edit: null clears, as an empty text and no repetitions do on the command line."""
        nulls = (name for name in self.model_fields_set if getattr(self, name) is None)
        cleared = {name: _CLEARS[kind] for name in nulls if (kind := _kind_of(type(self), name)) in _CLEARS}
        return {**self.options(), **cleared}


class Query(BaseModel):
    """The base of every query. Its texts are read as exactly as a body's values are."""

    def options(self) -> Options:
        """Return what was given, as parse.py makes it of the same words."""
        given = self.model_dump(exclude_none=True)
        return {key: _option_value(value) for key, value in given.items() if value is not False}


_CLEARS: Final[Mapping[str, OptionValue]] = {"text": "", "count": 0}


def _kind_of(form: type[Form], name: str) -> str:
    """Return what null may clear: a text, or a number of which none is meant by zero."""
    extra = form.model_fields[name].json_schema_extra
    return str(extra.get("x-clears", "")) if isinstance(extra, dict) else ""


def refuse_unknown(given: Mapping[Any, object], known: Mapping[str, object]) -> None:
    """Raise PydanticCustomError for a key that is not known, with the nearest that is."""
    for key in given:
        if key not in known:
            raise PydanticCustomError("unknown_key", "{said}", {"said": unknown(str(key), known)})


def unknown(key: str, known: Mapping[str, object]) -> str:
    """Say that a key is not known, and which may be meant."""
    close = get_close_matches(key[:60], list(known), n=1)
    if close:
        return f"the key {shown(key)} is not known; did you mean {close[0]}?"
    return f"the key {shown(key)} is not known; {'known are ' + ', '.join(known) if known else 'none is taken here'}"


def _option_value(value: object) -> OptionValue:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return json.dumps(value)
    assert isinstance(value, str | int | float), type(value)  # noqa: S101  forms hold nothing else
    return value


# -- made of the table --------------------------------------------------------------------------------------


def body_of(
    command: str,
    *,
    leave: frozenset[str] = frozenset(),
    words: Texts | None = None,
    most: Mapping[str, int] | None = None,
    name: str | None = None,
) -> type[Form]:
    """Return the model of a body that holds a command's options, but for those in `leave` (keys).

    `words` says of a key what the table's help does not say rightly over HTTP; `most` bounds numbers by key; `name`
    is the schema's.
    """
    found = _command(command)
    fields: dict[str, Any] = {
        one.key: _field(one, _body_type(one, (most or {}).get(one.key)), (words or {}).get(one.key))
        for one in _taken(found, leave)
    }
    for argument in found.arguments:
        if argument.key not in leave:
            kind = Annotated[str, Field(min_length=1, max_length=_most(argument.key))]
            fields[argument.key] = (kind, Field(description=keys_said(argument.help)))
    return create_model(name or _name(command, "Body"), __base__=Form, **fields)


def query_of(
    command: str,
    *,
    leave: frozenset[str] = frozenset(),
    words: Texts | None = None,
    most: Mapping[str, int] | None = None,
) -> type[Query]:
    """Return the model of a query that holds a command's options, as `body_of`. `most` bounds numbers by key."""
    fields: dict[str, Any] = {
        one.key: _field(one, _query_type(one, (most or {}).get(one.key)), (words or {}).get(one.key), allows_null=False)
        for one in _taken(_command(command), leave)
    }
    return create_model(_name(command, "Query"), __base__=Query, **fields)


def _command(name: str) -> Command:
    found = find_command(name)
    assert found is not None, name  # noqa: S101  routes name commands that exist
    return found


def _name(command: str, what: str) -> str:
    return "".join(word.title() for word in command.replace("-", " ").split()) + what


def _taken(command: Command, leave: frozenset[str]) -> list[Option]:
    gone = leave - {one.key for one in command.options} - {one.key for one in command.arguments}
    assert not gone, f"{command.name} has no {gone}"  # noqa: S101  a list of exclusions must not outlive what it excludes
    return [one for one in command.options if one.key not in leave]


def _field(
    option: Option,
    kind: Any,  # noqa: ANN401  types are values here
    words: str | None,
    *,
    allows_null: bool = True,
) -> tuple[Any, Any]:
    description = words or keys_said(option.help)
    if option.is_required and not option.stands_in:
        return kind, Field(description=description)
    clears = option.kind if option.kind == "text" or (option.kind == "count" and option.allows_zero) else ""
    extra: dict[str, Any] | None = {"x-clears": clears} if allows_null and clears else None
    return (kind | None) if allows_null else kind, Field(default=None, description=description, json_schema_extra=extra)


def _body_type(option: Option, most: int | None = None) -> Any:  # noqa: ANN401  types are values here
    least = 0 if option.allows_zero else 1
    match option.kind:
        case "text":
            text = Annotated[str, Field(max_length=_most(option.key))]
            return text | dict[str, Any] if option.key in JSON_OPTIONS else text
        case "texts":
            return Annotated[list[Annotated[str, Field(max_length=_most(option.key))]], Field(max_length=TEXTS_MAX)]
        case "id":
            return Annotated[int, Field(ge=1, le=ID_MAX)]
        case "count":
            return Annotated[int, Field(ge=least, le=most or COUNT_MAX)]
        case "seconds" if option.allows_zero:
            return Annotated[float, Field(ge=0, le=most or SECONDS_MAX, allow_inf_nan=False)]
        case "seconds":
            return Annotated[float, Field(gt=0, le=most or SECONDS_MAX, allow_inf_nan=False)]
        case "flag":
            return bool
        case _:
            assert_never(option.kind)


def _query_type(option: Option, most: int | None) -> Any:  # noqa: ANN401  types are values here
    match option.kind:
        case "id" | "count":
            return Annotated[_body_type(option, most), BeforeValidator(_digits)]
        case "flag":
            return Annotated[bool, BeforeValidator(_truth)]
        case _:
            return _body_type(option)


def _most(key: str) -> int:
    return _LONG.get(key, limits.HTTP_TEXT_CHARS_MAX)


def _digits(given: object) -> object:
    """Pydantic would take ` 7`, `+7`, `7.0` and `1_0` for whole numbers."""
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= len(str(ID_MAX)):
        return int(given)
    raise PydanticCustomError("int_parsing", "a whole number")


def _truth(given: object) -> object:
    """Pydantic would take `on`, `y` and `1`, too, which the OpenAPI document does not promise."""
    if given in {"true", "false"}:
        return given == "true"
    raise PydanticCustomError("bool_parsing", "true or false")


Id = Annotated[int, BeforeValidator(_digits), Field(ge=1, le=ID_MAX)]
"""An id in a path."""

Count = Annotated[int, BeforeValidator(_digits), Field(ge=0, le=ID_MAX)]
"""A whole number of 0 or more, in a query."""
