"""Does a Letta server know this key? Asked for whoever comes to our doors with one that is not ours."""

from __future__ import annotations

import re
from time import monotonic  # noqa: TID251  two requests share one bound; nothing else is decided by it

from promptyoself.domain import limits
from promptyoself.domain.access import KeyVerdict
from promptyoself.domain.errors import CannotVerify, TargetUnreachable
from promptyoself.domain.secret import Secret
from promptyoself.targets.letta_check import status_of
from promptyoself.targets.letta_settings import LettaSettings

_PATH = "/v1/agents/?limit=1"
"""Needs a key wherever any is needed, unlike health; every version has it."""
_OK = 200
_NO = frozenset({401, 403})
_CAN_BE_A_KEY = re.compile(r"[\x21-\x7e]+")


def check_key(
    settings: LettaSettings,
    key: Secret | None,
    *,
    stranger: Secret,
    timeout_s: float = limits.KEYS_TIMEOUT.total_seconds(),
) -> KeyVerdict:
    """Return what the server of `settings` makes of `key`, or of no key at all, within `timeout_s` seconds in all.

    The key of `settings` plays no part. A key that was let in is believed only when `stranger`, which nobody has, is
    not. Raises CannotVerify when there is no answer in time, or one that is neither yes nor no.
    """
    if key is not None and not _CAN_BE_A_KEY.fullmatch(key.reveal()):
        return KeyVerdict.REFUSED  # it would not even go into a header
    until_s = monotonic() + timeout_s
    if not _is_let_in(settings, key, until_s):
        return KeyVerdict.REFUSED
    if key is None or _is_let_in(settings, stranger, until_s):
        return KeyVerdict.UNCHECKED
    return KeyVerdict.ACCEPTED


def _is_let_in(settings: LettaSettings, key: Secret | None, until_s: float) -> bool:
    theirs = LettaSettings(base_url=settings.base_url, api_key=key)
    try:
        status = status_of(theirs, _PATH, timeout_s=max(0.01, until_s - monotonic()))
    except TargetUnreachable as error:
        raise _cannot(error.message) from error
    if status in _NO:
        return False
    if status != _OK:
        raise _cannot(f"{settings.base_url} answered HTTP {status}")
    return True


def _cannot(why: str) -> CannotVerify:
    return CannotVerify(
        f"whether this key may come in is for Letta to say, which cannot be asked: {why}",
        hint="try again when Letta answers, or come with a token (promptyoself token create)",
    )
