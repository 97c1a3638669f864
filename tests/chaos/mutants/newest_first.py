"""A lane takes its newest delivery first."""

from __future__ import annotations

from tests.chaos.mutants.breaking import alter

alter("pending_in_lane", "ORDER BY fire_at, id", "ORDER BY fire_at DESC, id")
