"""Targets: they hand one delivery to an agent, and answer delivered, retryable, final or unknown.

Retries, lanes and records do not belong here: a target tries once and says what it saw.
"""
