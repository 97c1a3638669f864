"""The bodies and queries of our routes: each command's options, without what has no meaning over a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from promptyoself.interfaces.http.api.forms import Form, Query, body_of, query_of

PATH: Final = frozenset({"id"})
"""What stands in the address."""
SERVER_FILES: Final = frozenset({"skip_on"})
"""Names of files: over a network they would be the server's own."""
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
else:
    RegisterBody = body_of("register", leave=SERVER_FILES, words=_WORDS)
    UpdateBody = body_of("update", leave=SERVER_FILES | PATH, words=_WORDS)
    PauseBody = body_of("pause", leave=PATH | {"all"})
    ResumeBody = body_of("resume", leave=PATH | {"all"})
    RunNowBody = body_of("run-now", leave=PATH)
    SkipBody = body_of("skip", leave=PATH)
    SnoozeBody = body_of("snooze", leave=PATH)
    ListQuery = query_of("list")
    HistoryQuery = query_of("history", leave=PATH)
    WhyQuery = query_of("why", leave=PATH)
    JournalQuery = query_of("journal")
