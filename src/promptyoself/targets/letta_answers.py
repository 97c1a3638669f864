"""What each of Letta's answers to a prompt proves. docs/letta.md has the same table for people; a test walks it.

Letta tells failures of the LLM from its own by the body: `{"error":{"type":"llm_..."}}` means that the agent's run
began and failed, `{"detail":...}` comes from Letta's doors.
"""

from __future__ import annotations

from datetime import timedelta

from promptyoself.domain import limits
from promptyoself.domain.answers import Busy, Failed, Final, Refused, SendResult, Unclear
from promptyoself.targets.letta_http import Broken, Reply

NO_REDIS = "requires redis"
NOT_FOUND = 404
_OK = 200
_WORK_FAILURES = frozenset({"bedrock_permission_denied"})
_RUN_ERROR_CHARS_MAX = 200


def of_broken(broken: Broken) -> Refused | Unclear:
    """Return what a request without an answer proves: nothing sent, or nothing known."""
    if broken.is_withheld:
        return Unclear(code="lease_lost", detail="the lane's lease was lost right before the send")
    if broken.was_sent:
        return Unclear(
            code="connection_lost", detail=f"the connection broke after the prompt went out: {broken.detail}"
        )
    return Refused(code="unreachable", detail=f"Letta cannot be reached: {broken.detail}", is_target_wide=True)


def of_refusal(reply: Reply, *, is_working: bool) -> SendResult:
    """Return what an answer other than success proves.

    `is_working` True for the blocking routes, which answer after the agent has worked: there an error that does not
    name its kind may come from the middle of the work.
    """
    if kind := work_failure(reply):
        return Failed(code=kind, detail="the agent's run failed at its LLM", status=reply.status)
    match reply.status:
        case 401 | 403:
            return _wide("unauthorized", "Letta refused the key or password", reply)
        case 402:
            return _wide("payment_required", "Letta asks for payment", reply)
        case 404:
            return _of_404(reply)
        case 409:
            return _of_409(reply, is_working=is_working)
        case 400 | 413 | 415 | 422 if not (is_working and reply.status == 400):  # noqa: PLR2004  HTTP's own number
            return Final(code="invalid_request", detail="Letta refuses the request as malformed", status=reply.status)
        case 429:
            return _wide("overloaded", "Letta asks for a slower pace", reply, is_overload=True)
        case 502 | 503 if not (is_working and reply.mapping):
            return _wide("unavailable", "Letta is not available", reply, is_overload=reply.status == 503)  # noqa: PLR2004
        case status if 300 <= status < 400:  # noqa: PLR2004  HTTP's own numbers
            return _wide("wrong_route", "the server redirects: LETTA_BASE_URL is not the API's own address", reply)
        case _:
            return Unclear(code=f"http_{reply.status}", detail=f"Letta answered HTTP {reply.status} without saying why")


def of_read(reply: Reply | Broken) -> Refused | None:
    """Return why a question (not a prompt) was not answered, None when it was."""
    if isinstance(reply, Broken):
        return Refused(code="unreachable", detail=f"Letta cannot be reached: {reply.detail}", is_target_wide=True)
    if reply.status == _OK:
        return None
    match of_refusal(reply, is_working=False):
        case Refused() as refused:
            return refused
        case _:
            return _wide("unavailable", f"Letta answered HTTP {reply.status} to a plain question", reply)


def is_unknown_route(reply: Reply) -> bool:
    """Return True for a 404 or 405 of the web framework or a proxy, which says nothing of agents."""
    # A tuple: the detail may be an object, which no set can be asked for.
    return reply.status in {NOT_FOUND, 405} and reply.mapping.get("detail") in (None, "Not Found", "Method Not Allowed")


def is_without_redis(reply: Reply) -> bool:
    """Return True when the server says that it has no Redis: it refused before any work."""
    return reply.status == 503 and NO_REDIS in str(reply.mapping.get("detail")).lower()  # noqa: PLR2004  HTTP's own


def work_failure(reply: Reply) -> str | None:
    """Return the kind of failure when the agent's run began and failed, else None."""
    error = reply.mapping.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    if isinstance(kind, str) and (kind.startswith("llm_") or kind in _WORK_FAILURES):
        return kind[:60]
    return None


def run_failure(error: object, stop_reason: object) -> tuple[str, str]:
    """Return code and detail of a failed run. The provider's own body is cut off: it may quote the prompt."""
    if isinstance(error, dict):
        return str(error.get("error_type") or "run_failed")[:60], str(error.get("message") or "")[:_RUN_ERROR_CHARS_MAX]
    text = str(error or "").split(" - {", maxsplit=1)[0][:_RUN_ERROR_CHARS_MAX]
    head, _, rest = text.partition(": ")
    code = "llm_error" if stop_reason == "llm_api_error" or "API error" in rest or "OpenAI" in rest else "run_failed"
    if head == "RATE_LIMIT_EXCEEDED":
        code = "llm_rate_limit"
    elif head == "UNAUTHENTICATED":
        code = "llm_authentication"
    return code, text or f"the run ended with {stop_reason or 'an error'}"


def _of_404(reply: Reply) -> Final | Refused:
    if is_unknown_route(reply):
        return _wide("wrong_route", "the server does not know Letta's routes: is LETTA_BASE_URL right?", reply)
    if "conversation" in str(reply.mapping.get("detail")).lower():
        return Final(code="conversation_not_found", detail="Letta has no such conversation", status=reply.status)
    return Final(code="agent_not_found", detail="Letta has no such agent", status=reply.status)


def _of_409(reply: Reply, *, is_working: bool) -> Busy | Unclear:
    detail = reply.mapping.get("detail")
    run_id = reply.mapping.get("run_id")
    if isinstance(detail, dict) and detail.get("code") == "PENDING_APPROVAL":
        return Busy(detail="the agent waits for a person's approval of a tool call")
    if is_working and not isinstance(run_id, str) and "another" not in str(detail):
        return Unclear(code="http_409", detail="Letta met a conflict, perhaps while it worked")
    return Busy(detail="the agent works on something else", run_id=run_id if isinstance(run_id, str) else None)


def _wide(code: str, detail: str, reply: Reply, *, is_overload: bool = False) -> Refused:
    retry_after = min(reply.retry_after, limits.BACKOFF_MAX) if reply.retry_after else None
    return Refused(
        code=code,
        detail=detail,
        status=reply.status,
        is_target_wide=True,
        is_overload=is_overload,
        retry_after=retry_after if retry_after != timedelta(0) else None,
    )
