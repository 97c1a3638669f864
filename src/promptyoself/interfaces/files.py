"""Files of others as text, and files of ours: read whole within a bound, written whole or not at all.

Every refusal is a sentence with the name in it; nothing of a file's content is in one.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

from promptyoself.domain.errors import InvalidInput
from promptyoself.interfaces.parse import shown

STDIN: Final = "-"
_NEVER: Final = "name a file, or - for stdin"


def read_text(name: str, *, most: int) -> str:
    """Return a UTF-8 file's text, or stdin's for `-`. `most` is in bytes.

    Links are followed; a folder, a pipe or a device is refused, and so are NUL bytes. Raises InvalidInput.
    """
    data = _stdin(most) if name == STDIN else _content(checked_file(name), name, most)
    if len(data) > most:
        raise InvalidInput(f"{_called(name)} has more than {most} bytes, which is too much to be read here")
    if b"\0" in data:
        raise InvalidInput(f"{_called(name)} is no text: it holds NUL bytes", hint=_NEVER)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{_called(name)} is no UTF-8 text (byte {exc.start})", hint="convert it to UTF-8") from None


def checked_text(text: str, called: str, *, most: int) -> str:
    """Return a text that came in place of a file, within the bounds of one. Raises InvalidInput."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{called} is no valid Unicode text") from None
    if size > most:
        raise InvalidInput(f"{called} has more than {most} bytes, which is too much to be read here")
    if "\0" in text:
        raise InvalidInput(f"{called} is no text: it holds NUL characters")
    return text


def checked_file(name: str) -> Path:
    """Return the path of a file that is there and is a file. Raises InvalidInput."""
    if not name:
        raise InvalidInput("the file's name is empty", hint=_NEVER)
    try:
        path = Path(name).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {shown(name)}", hint=_NEVER) from None
    except (OSError, ValueError, RuntimeError) as exc:  # links in a circle, a NUL in the name, no such home
        raise InvalidInput(f"{shown(name)} cannot be read: {_why(exc)}") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise InvalidInput(f"{shown(name)} is {what}", hint=_NEVER)
    return path


def write_new(name: str, text: str, *, may_replace: bool) -> Path:
    """Write a file (0600) whole: nobody ever sees half of it. Return its absolute path.

    One that is there already is replaced only when `may_replace`, and nothing but a file ever is; of a link the link,
    not what it leads to. Raises InvalidInput.
    """
    if not name.strip():
        raise InvalidInput("the new file's name is empty", hint="name a file, or leave --to out for stdout")
    path = _place(name)
    if os.path.lexists(path):
        if not may_replace:
            raise InvalidInput(f"{shown(name)} is there already", hint="choose another name, or --force to replace it")
        if path.exists() and not path.is_file():
            raise InvalidInput(f"{shown(name)} is no regular file, and is not replaced", hint="choose another name")
    draft = path.with_name(f".{path.name[:100]}.{os.getpid()}.new")
    try:
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(handle, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123  it is open already
            file.write(text)
            file.flush()
            os.fsync(handle)
        if may_replace:
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        raise InvalidInput(
            f"{shown(name)} is there already", hint="choose another name, or --force to replace it"
        ) from None
    except (OSError, ValueError) as exc:
        raise InvalidInput(f"{shown(name)} cannot be written: {_why(exc)}", hint="choose another place") from None
    finally:
        draft.unlink(missing_ok=True)
    return path


def is_same(name: str, other: str) -> bool:
    """Return whether two names lead to the same file that is there."""
    try:
        return Path(name).expanduser().samefile(other)
    except (OSError, ValueError, RuntimeError):
        return False


def _place(name: str) -> Path:
    try:
        return Path(name).expanduser().absolute()
    except (OSError, ValueError, RuntimeError) as exc:
        raise InvalidInput(f"{shown(name)} cannot be written: {_why(exc)}", hint="choose another place") from None


def _content(path: Path, name: str, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as exc:
        raise InvalidInput(f"{shown(name)} cannot be read: {_why(exc)}") from None


def _stdin(most: int) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInput("stdin is closed", hint="name a file")
    try:
        return sys.stdin.buffer.read(most + 1)
    except OSError as exc:
        raise InvalidInput(f"stdin cannot be read: {_why(exc)}") from None


def _called(name: str) -> str:
    return "stdin" if name == STDIN else shown(name)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
