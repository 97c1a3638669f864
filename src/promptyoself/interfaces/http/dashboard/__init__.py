"""The dashboard: one static page over the API. It holds nothing of its own, and is empty until it has a token."""

from promptyoself.interfaces.http.dashboard.install import install

__all__ = ["install"]
