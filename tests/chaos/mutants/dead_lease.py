"""A lease outlives its holder: what a killed process held is never taken over."""

from __future__ import annotations

from tests.chaos.mutants.breaking import alter

alter("lease_lane", "OR leased_until <= :now ", "OR leased_until + 600000000 <= :now ")
