"""The file that holds the operator's token for programs of this machine: beside the database, its owner's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from promptyoself.domain.access import TOKEN_CHARS, is_token
from promptyoself.domain.errors import ConfigError

ENDING: Final = ".operator-token"
_MODE: Final = 0o600


def token_path(database: Path) -> Path:
    """Return where the token of a database's operator is kept."""
    return database.with_name(f"{database.name}{ENDING}")


class OperatorTokenFile:
    """A file with one token. `new_uid` names drafts, so that two writers never share one."""

    def __init__(self, path: Path, *, new_uid: Callable[[], str]) -> None:
        self.path = path
        self._new_uid = new_uid

    def read(self) -> str | None:
        """Return the token in the file; None when there is no file, or no token in it.

        Raises ConfigError for a file that others may read or write, that is another's, or that cannot be read: what
        stands in it may be known to others, or may have been put there by them.
        """
        try:
            # Not through a link: it could lead to a file of another's choosing.
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unusable(exc.strerror or type(exc).__name__) from exc
        try:
            self._check(os.fstat(handle))
            text = os.read(handle, TOKEN_CHARS + 2).decode("ascii", "replace").strip()
        finally:
            os.close(handle)
        return text if is_token(text) and len(text) == TOKEN_CHARS else None

    def write(self, text: str) -> None:
        """Put a token in the file, whole and 0600 from the first moment, in place of what was there.

        Raises ConfigError.
        """
        draft = self.path.with_name(f".{self.path.name}.{self._new_uid()}.new")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(handle)
            draft.replace(self.path)
        except OSError as exc:
            raise self._unusable(exc.strerror or type(exc).__name__) from exc
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise self._unusable("it is no plain file")
        if found.st_uid != os.geteuid():
            raise self._unusable("it belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise self._unusable("other users may read or write it")

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"the file for the operator's token, {self.path}, cannot be used: {why}",
            hint="remove it, or make it yours with mode 0600; the next `promptyoself serve` writes a new one",
        )
