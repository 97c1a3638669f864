"""One transaction at a SQLite database."""

from __future__ import annotations

from promptyoself.storage.sqlite_statements import SqliteStatements
from promptyoself.storage.tx import SqlTx


class SqliteTx(SqliteStatements, SqlTx):
    """See `Tx` for what each method promises. The one write lock is held throughout, or nothing is written."""
