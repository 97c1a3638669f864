"""Zones, instants and defaults that hostile texts are read under."""

from __future__ import annotations

from datetime import UTC, datetime

from promptyoself.application.requests import Defaults

ZONES = ("UTC", "Europe/Riga", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata")
NOWS = (
    datetime(2027, 3, 24, 10, 0, tzinfo=UTC),
    datetime(2027, 3, 28, 0, 59, 59, 999_999, tzinfo=UTC),  # in Riga: a microsecond before the clocks go forward
    datetime(2027, 10, 31, 0, 30, tzinfo=UTC),  # in Riga: within the hour that comes twice
    datetime(2028, 2, 29, 23, 59, tzinfo=UTC),
)
DEFAULTS = Defaults(timezone="Europe/Riga", target="letta", targets=frozenset({"letta", "inbox"}), agent_id="agent-1")
