"""How a mutant breaks the program: a name is given another value, a statement another text, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from promptyoself.storage import queries


def put(owner: object, name: str, wrong: object) -> None:
    """Give what `owner` has under this name another value."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, wrong)


def alter(name: str, right: str, wrong: str) -> None:
    """Put `wrong` in the place of `right`, in every dialect that has the statement."""
    parse = queries.parse

    def altered(text: str) -> Mapping[str, str]:
        found = dict(parse(text))
        if name in found:
            assert right in found[name], f"{name} has changed: {found[name]}"
            found[name] = found[name].replace(right, wrong)
        return found

    put(queries, "parse", altered)
