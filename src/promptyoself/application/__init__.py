"""Use cases: they fetch through ports, let the domain decide, and save what was decided.

No SQL, no HTTP, no printing, and no choice of adapters.
"""
