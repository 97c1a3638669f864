"""promptyoself: a durable scheduler of prompts for AI agents.

The rooms, and which way the arrows between them point: docs/architecture.md.
"""

__version__ = "0.1.0"
