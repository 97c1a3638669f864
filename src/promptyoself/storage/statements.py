"""Running named statements inside one transaction, whichever the dialect: what each part of a `Tx` builds on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from promptyoself.domain.errors import PromptyoselfError, StoreCorrupt, StoreError
from promptyoself.storage.rows import Row, Values

T = TypeVar("T")
Model = Callable[[Row], T]
"""Makes a value of a row."""

ID_MAX: Final = 2**63 - 1
"""The largest id that a row can have."""
DAMAGED: Final = (ValueError, TypeError, KeyError, OverflowError, PromptyoselfError)
"""What the mapping of a damaged row raises: a word that is no state, text where a number was."""


class Statements(ABC):
    """Named statements of one dialect in one transaction. No exception of the driver gets out."""

    _location: str
    """Where the database is, as people read it."""
    _restore: str
    """What to do when it is damaged."""

    @abstractmethod
    def _change(self, name: str, values: Values) -> int:
        """Run a statement that writes; return how many rows it changed."""

    @abstractmethod
    def _insert(self, name: str, values: Values) -> int | None:
        """Run an INSERT of one row; return its id, or None when a conflict kept it out."""

    @abstractmethod
    def _insert_all(self, name: str, rows: Iterable[Values]) -> None:
        """Run an INSERT for each of many rows, in order; a row that cannot be stored raises, and undoes nothing."""

    @abstractmethod
    def _rows(self, name: str, values: Values) -> list[Values]:
        """Return all rows of a query as they are."""

    @abstractmethod
    def _is_key_taken(self, error: StoreError) -> bool:
        """Return whether a write failed because an agent has the schedule's key already."""

    def _all(self, name: str, values: Values, model: Model[T]) -> list[T]:
        """Return all rows of a query as models."""
        return [self._mapped(row, model) for row in self._rows(name, values)]

    def _one(self, name: str, values: Values, model: Model[T]) -> T | None:
        """Return the first row of a query as a model, or None."""
        rows = self._rows(name, values)
        return self._mapped(rows[0], model) if rows else None

    def _first(self, name: str, values: Values) -> Values | None:
        """Return the first row of a query as it is, or None."""
        return next(iter(self._rows(name, values)), None)

    def _mapped(self, row: Row, model: Model[T]) -> T:
        try:
            return model(row)
        except DAMAGED as exc:
            raise StoreCorrupt(
                f"{self._location} is damaged: a row cannot be read ({exc})", hint=self._restore
            ) from exc


def ended(location: str) -> StoreError:
    """Return the refusal of a statement outside a transaction, where each would commit by itself."""
    return StoreError(f"the transaction at {location} has ended, or a failure in it has undone it")
