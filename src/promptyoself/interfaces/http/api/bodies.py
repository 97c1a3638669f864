"""The bodies and queries of our routes: each command's options, without what has no meaning over a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself.domain import limits
from promptyoself.interfaces.http.api.forms import Form, Query, body_of, query_of

PATH: Final = frozenset({"id"})
"""What stands in the address."""
SERVER_FILES: Final = frozenset({"skip_on"})
"""Names of files: over a network they would be the server's own."""
HEADERS: Final = frozenset({"if_match"})
HEADERS_NEW: Final = frozenset({"idempotency_key"})
"""What HTTP has a header for."""
_PAGE: Final = {"limit": limits.PAGE_MAX}
_WORDS_OF_PAGES: Final = {
    "limit": f"at most this many on a page (default {limits.PAGE_DEFAULT})",
    "cursor": "go on behind a page: `next_cursor` of its answer",
}
_WORDS: Final = {"agent_id": "the agent to deliver to; an agent's own token needs none"}

if TYPE_CHECKING:
    # What they hold is said by the table of commands at run time; to the type checker they are forms.
    RegisterBody = Form
    UpdateBody = Form
    PauseBody = Form
    ResumeBody = Form
    RunNowBody = Form
    SkipBody = Form
    SnoozeBody = Form
    ListQuery = Query
    HistoryQuery = Query
    WhyQuery = Query
    JournalQuery = Query
    PauseAllBody = Form
    ResumeAllBody = Form
    DeliveriesQuery = Query
    InboxQuery = Query
    RetryBody = Form
    AckBody = Form
    PreviewBody = Form
    ExplainBody = Form
    SimulateBody = Form
    ExecuteBody = Form
    UploadBody = Form
    UpgradeBody = Form
    ImportBody = Form
    ExportQuery = Query
    TokenBody = Form
    TokensQuery = Query
    ClaimBody = Form
    OnTimeQuery = Query
else:
    RegisterBody = body_of("register", leave=SERVER_FILES | HEADERS_NEW, words=_WORDS)
    UpdateBody = body_of("update", leave=SERVER_FILES | PATH | HEADERS, words=_WORDS)
    PauseBody = body_of("pause", leave=PATH | HEADERS | {"all"})
    ResumeBody = body_of("resume", leave=PATH | HEADERS | {"all"})
    PauseAllBody = body_of("pause", leave=PATH | HEADERS | {"all"}, name="PauseAllBody")
    ResumeAllBody = body_of("resume", leave=PATH | HEADERS | {"all"}, name="ResumeAllBody")
    RunNowBody = body_of("run-now", leave=PATH)
    SkipBody = body_of("skip", leave=PATH | HEADERS)
    SnoozeBody = body_of("snooze", leave=PATH | HEADERS)
    ListQuery = query_of("list", words=_WORDS_OF_PAGES, most=_PAGE)
    HistoryQuery = query_of("history", leave=PATH, most=_PAGE)
    WhyQuery = query_of("why", leave=PATH, most=_PAGE)
    DeliveriesQuery = query_of("deliveries", words=_WORDS_OF_PAGES, most=_PAGE)
    InboxQuery = query_of("inbox", most=_PAGE, words={"agent_id": "whose mailbox; an agent's own token needs none"})
    RetryBody = body_of("retry", leave=PATH)
    AckBody = body_of("ack", leave=PATH)
    PreviewBody = body_of("preview", leave=SERVER_FILES)
    ExplainBody = body_of("explain")
    SimulateBody = body_of("simulate")
    ExecuteBody = body_of("execute", leave=frozenset({"loop", "interval"}), most={"wait": limits.HTTP_WAIT_S_MAX})
    UploadBody = body_of("upload")
    UpgradeBody = body_of("db upgrade")
    ImportBody = body_of("import json", leave=frozenset({"file"}), name="ImportOptions")
    TokenBody = body_of("token create")
    TokensQuery = query_of("token list")
    ClaimBody = body_of("claim-once", words={"agent_id": "whose claim it is; an agent's own token needs none"})
    OnTimeQuery = query_of("on-time", words={"agent_id": "the agent; an agent's own token needs none"})
    ExportQuery = query_of("export", leave=frozenset({"to", "force"}))
    JournalQuery = query_of("journal")
