"""The one door through which time and chance come in. Nothing else reads a clock or draws a number."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


class SystemClock:
    """This machine's clocks."""

    def now(self) -> datetime:
        """Return the wall clock: aware UTC with microseconds."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never step back, and that go on while the process is stopped."""
        return time.monotonic()


class SystemChance:
    """This machine's chance."""

    def fraction(self) -> float:
        """Return a number in 0..1 (1 excluded)."""
        import random  # it brings hashlib, and a command that stores a row draws no number

        return random.random()

    def token(self) -> str:
        """Return 32 hex digits that nobody else has."""
        return os.urandom(16).hex()

    def secret(self) -> str:
        """Return 43 url-safe characters that nobody can guess: 256 random bits."""
        import secrets  # few commands issue a token

        return secrets.token_urlsafe(32)
