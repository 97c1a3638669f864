"""The lane's lease is dropped: whoever asks for a lane gets it."""

from __future__ import annotations

from tests.chaos.mutants.breaking import alter

_GUARD = "AND (lease_token IS NULL OR leased_until <= :now OR lease_token = :token)"

alter("lease_lane", _GUARD, "")
