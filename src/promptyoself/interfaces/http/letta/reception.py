"""Who may come in below /v1: whoever Letta lets in, and on Letta's schedule routes holders of our own tokens too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from promptyoself.interfaces.failures import is_loopback
from promptyoself.interfaces.http.asking import credentials_of
from promptyoself.interfaces.http.reach import is_near

if TYPE_CHECKING:
    from starlette.types import Scope

    from promptyoself.interfaces.identity import Credentials, Gatekeeper, Identity

_FOR_EVERYBODY: Final = frozenset({"/v1/health", "/v1/health/"})
"""What Letta tells without a key."""


class Reception:
    """Asks the gatekeeper, and tells it from where a request came."""

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        self._gatekeeper = gatekeeper

    async def identify(self, scope: Scope) -> Identity:
        """Return the caller of a schedule route. Raises Unauthenticated, Forbidden, LimitExceeded, CannotVerify."""
        return await self._gatekeeper.identify_as_letta(_credentials(scope))

    async def check_passing(self, scope: Scope) -> None:
        """Raise Unauthenticated, or CannotVerify, when a request from elsewhere may not be passed on.

        On this machine Letta alone judges who asks: it can be reached without us. From elsewhere only whom it vouches
        for is passed on: a Letta that asks nobody for a key must not be open to a network through us.
        """
        if is_near(scope) or scope["path"] in _FOR_EVERYBODY:
            return
        # An x-agent-id is Letta's to judge here: it goes on, and opens nothing of ours.
        await self._gatekeeper.identify_as_letta(_credentials(scope)._replace(agent_header=None))


def _credentials(scope: Scope) -> Credentials:
    address = (scope.get("client") or (None, 0))[0]
    if is_loopback(address or "") and not is_near(scope):
        address = None  # a proxy on this machine hides whose request it is
    return credentials_of(Headers(scope=scope), address)
