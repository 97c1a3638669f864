# ruff: noqa: ANN401  a maker of classes handles anything
"""Frozen values, as `dataclasses` makes them, at a tenth of the cost of starting up.

SMCP starts one process a call, and `dataclasses` compiles six functions for every class and imports `inspect` to do
so: with forty-odd classes that was half of a cold start (docs/decisions/0009). The type checker sees dataclasses; at
run time this makes the part of them that values need: frozen, with slots, compared and hashed by their fields.

A service makes millions of some of them. A class of which HOT values were made gets functions compiled for its fields,
three times as quick: what starts, makes few and ends never pays for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    V = TypeVar("V")
    _set = object.__setattr__
    HOT = 64
    _copiers: dict[type, Callable[[Any, dict[str, Any]], Any]] = {}
    """Of the classes that were made hot: a value and changes to a new value."""

    class _Factory:
        """A default that is made anew for each value."""

        __slots__ = ("make",)

        def __init__(self, make: Callable[[], Any]) -> None:
            self.make = make

    _UNSET = object()

    class _LazyFields:
        """What `dataclasses.fields`, `replace` and `is_dataclass` ask a class for, made when somebody asks."""

        __slots__ = ("_made", "_names")

        def __init__(self, names: tuple[str, ...]) -> None:
            self._names = names
            self._made: dict[str, Any] = {}

        def __get__(self, _value: object, _owner: type) -> dict[str, Any]:
            if not self._made and self._names:
                import dataclasses

                self._made = dataclasses.make_dataclass("Fields", self._names).__dataclass_fields__
            return self._made

    def field(*, default_factory: Callable[[], Any]) -> Any:
        """Give a field a default that is made anew for each value."""
        return _Factory(default_factory)

    def dataclass(*, frozen: bool, slots: bool, kw_only: bool = False) -> Callable[[type[V]], type[V]]:
        """Make a class a frozen value with slots; its annotated names are its fields, in order."""
        if not (frozen and slots):
            raise TypeError("values are frozen and have slots; use dataclasses for anything else")

        def wrap(cls: type[V]) -> type[V]:
            names = tuple(cls.__dict__.get("__annotations__", ()))  # noqa: RUF063  inspect is what this module avoids
            defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
            body = {
                name: member
                for name, member in cls.__dict__.items()
                if name not in defaults and name not in {"__dict__", "__weakref__"}
            }
            made = {
                "__init__": _init(
                    cls.__qualname__, names, defaults, kw_only=kw_only, ends=hasattr(cls, "__post_init__")
                ),
                "__repr__": _repr,
                "__eq__": _eq,
                "__hash__": _hash,
                "__setattr__": _refuse,
                "__delattr__": _refuse,
                "__getstate__": _state,
                "__setstate__": _restore,
                "__match_args__": () if kw_only else names,
                "__dataclass_fields__": _LazyFields(names),
            }
            return type(cls)(
                cls.__name__, cls.__bases__, made | body | {"__slots__": names, "__qualname__": cls.__qualname__}
            )

        return wrap

    def replace(value: V, /, **changes: Any) -> V:
        """Return a value of the same class with some fields changed, whoever made the class."""
        cls = type(value)
        copier = _copiers.get(cls)
        if copier is not None:
            return copier(value, changes)
        if type(cls.__dict__.get("__dataclass_fields__")) is not _LazyFields:
            import dataclasses

            return dataclasses.replace(value, **changes)
        return cls(**({name: getattr(value, name) for name in cls.__slots__} | changes))

    def _init(
        title: str, names: tuple[str, ...], defaults: dict[str, Any], *, kw_only: bool, ends: bool
    ) -> Callable[..., None]:
        known = frozenset(names)
        made = 0

        def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807  it becomes the class's
            nonlocal made
            made += 1
            # Not `==`: two threads that count at once may both step over it.
            if made >= HOT and type(self).__bases__ == (object,):
                _heat(type(self), names, defaults, kw_only=kw_only, ends=ends)
            if args:
                _place(title, () if kw_only else names, args, given)
            if given.keys() != known:
                _complete(title, names, defaults, given)
            for name in names:
                _set(self, name, given[name])
            if ends:
                self.__post_init__()

        return __init__

    def _heat(cls: type, names: tuple[str, ...], defaults: dict[str, Any], *, kw_only: bool, ends: bool) -> None:
        """Give a class an `__init__` and a copier that name its fields.

        A frozen value's field is set by a call each. So both work on a twin of the class, with the same slots and
        nothing that refuses, and turn it into a frozen value at the end.
        """
        twin = type(cls.__name__, (object,), {"__slots__": names})
        given = {f"_{name}": default for name, default in defaults.items() if type(default) is not _Factory}
        made = {f"_{name}": default.make for name, default in defaults.items() if type(default) is _Factory}
        space = {"_set": _set, "_cls": cls, "_twin": twin, "_unset": _UNSET, "_names": frozenset(names)} | given | made
        ends_with = ["self.__class__ = _cls", *(["self.__post_init__()"] if ends else [])]
        takes = ", ".join(
            name if name not in defaults else f"{name}={f'_{name}' if f'_{name}' in given else '_unset'}"
            for name in names
        )
        sets = [
            f"self.{name} = {name}"
            if f"_{name}" not in made
            else f"self.{name} = _{name}() if {name} is _unset else {name}"
            for name in names
        ]
        star = "*, " if kw_only and names else ""
        init = [f"def __init__(self, {star}{takes}):", "_set(self, '__class__', _twin)", *sets, *ends_with]
        copy = [
            "def copied(value, changes):",
            "self = _twin()",
            *(f"self.{name} = value.{name}" for name in names),
            "for name in changes:",
            " if name not in _names: raise TypeError(f'{_cls.__qualname__} has no field {name}')",
            " setattr(self, name, changes[name])",
            *ends_with,
            "return self",
        ]
        for lines in (init, copy):
            exec("\n ".join(lines), space)  # noqa: S102  names of fields only, as dataclasses does
        cls.__init__ = space["__init__"]
        _copiers[cls] = space["copied"]

    def _complete(title: str, names: tuple[str, ...], defaults: dict[str, Any], given: dict[str, Any]) -> None:
        """Add the defaults of what was not given; refuse what is missing, and what is no field."""
        for name in names:
            if name in given:
                continue
            if name not in defaults:
                raise TypeError(f"{title} needs {name!r}")
            default = defaults[name]
            given[name] = default.make() if type(default) is _Factory else default
        if len(given) > len(names):
            raise TypeError(f"{title} has no field {', '.join(sorted(given.keys() - set(names)))}")

    def _place(title: str, names: tuple[str, ...], args: tuple[Any, ...], given: dict[str, Any]) -> None:
        """Put positional arguments under their names."""
        if len(args) > len(names):
            raise TypeError(f"{title} takes {len(names)} positional arguments, not {len(args)}")
        for name, argument in zip(names, args, strict=False):
            if name in given:
                raise TypeError(f"{title} got {name!r} twice")
            given[name] = argument

    def _fields(self: Any) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])

    def _repr(self: Any) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__qualname__}({shown})"

    def _eq(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _fields(self) == _fields(other)

    def _hash(self: Any) -> int:
        return hash((type(self), _fields(self)))

    def _refuse(self: Any, name: str, *_value: Any) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"{type(self).__qualname__}.{name} is frozen; use replace()")

    def _state(self: Any) -> tuple[Any, ...]:
        return _fields(self)

    def _restore(self: Any, state: tuple[Any, ...]) -> None:
        for name, member in zip(self.__slots__, state, strict=True):
            _set(self, name, member)


__all__ = ["dataclass", "field", "replace"]
