"""The commands that look after this install: settings and the database file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from promptyoself.interfaces import wire

if TYPE_CHECKING:
    from promptyoself.interfaces.call import Call
    from promptyoself.interfaces.wire import Document


def config(call: Call) -> Document:
    """Print every setting and where it came from, secrets as ***; and where the operator's token is kept, never it."""
    settings = [{"name": one.name, "value": one.value, "source": one.source} for one in call.services.settings]
    return wire.success(settings=settings, token_file=call.services.token_file)


def db_upgrade(call: Call) -> Document:
    """Open the database, which brings it to this version's schema or says why it cannot be."""
    store = call.services.store
    with store.reading() as tx:
        counts = tx.counts()
    return wire.success(database=store.location, counts=counts, message=f"{store.location} is at this version's schema")


def db_backup(call: Call) -> Document:
    """Copy the database to a new file."""
    path = Path(call.text("to") or "").expanduser().absolute()
    call.services.backup(str(path))
    size = path.stat().st_size
    return wire.success(path=str(path), bytes=size, message=f"{call.services.store.location} is copied to {path}")
