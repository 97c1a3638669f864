"""What goes out, for the OpenAPI document alone: wire.py shapes every answer, and no answer passes through here.

Every model may have more keys than it names, for keys are only ever added; a test holds that none is left untold.

Over 600 lines, for it is a table, a line a key: models quote one another, and the document tells them as one list.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Instant = str
"""RFC 3339 with the offset of the schedule's zone."""


class Shape(BaseModel):
    """The base of all that is answered."""

    model_config = ConfigDict(extra="allow")


class Success(Shape):
    """An answer."""

    status: Literal["success"]


class Schedule(Shape):
    """A schedule, as lists show it."""

    id: int
    key: str | None
    name: str | None
    agent_id: str
    prompt_text: str
    schedule_type: Literal["once", "cron", "interval", "rrule"]
    schedule_value: str
    timezone: str
    next_run: Instant | None
    last_run: Instant | None
    active: bool
    state: Literal["active", "paused", "completed", "cancelled"]
    state_reason: str | None
    created_at: Instant
    max_repetitions: int | None
    repetition_count: int
    catch_up: Literal["skip", "latest", "all"]
    overlap: Literal["skip", "queue"]
    target: str
    conversation: str | None
    skip_on: str | None
    created_by: str
    snoozed_until: Instant | None


class Details(Shape):
    """What only one schedule's own answer tells."""

    start_at: Instant | None
    end_at: Instant | None
    jitter: str | None
    catch_up_window: str | None
    quiet_hours: str | None
    skip_on_until: str | None
    retry_for: str | None
    expires_after: str | None
    envelope: Literal["none", "brief", "full"]
    replies: Literal["ignore", "obey"]
    content: dict[str, Any] | None
    paused_until: Instant | None
    passed_until: Instant | None
    owner: str
    origin_delivery_id: int | None
    depth: int
    revision: int
    updated_at: Instant


class Delivery(Shape):
    """A delivery: one occurrence that is to be handed over."""

    id: int
    schedule_id: int
    agent_id: str
    target: str
    kind: Literal["scheduled", "run_now"]
    state: Literal["pending", "leased", "accepted", "unknown", "delivered", "dead", "skipped", "cancelled"]
    reason: str | None
    error_code: str | None
    fire_at: Instant
    due_at: Instant
    snoozed_until: Instant | None
    fire_number: int
    missed: int
    revision: int
    idempotency_key: str
    attempts_counted: int
    refusals: int
    may_be_repeat: bool
    run_id: str | None
    reply_excerpt: str | None
    sent_at: Instant | None
    accepted_at: Instant | None
    finished_at: Instant | None
    lateness_ms: int | None
    created_at: Instant


class Attempt(Shape):
    """One try at a delivery."""

    number: int
    outcome: Literal["open", "accepted", "delivered", "refused", "busy", "failed", "unknown", "final", "abandoned"]
    started_at: Instant
    finished_at: Instant | None
    otid: str
    executor_id: str
    error_code: str | None
    status: int | None
    run_id: str | None
    detail: str | None


class Receipt(Delivery):
    """A delivery with every attempt, first to last."""

    attempts: list[Attempt]


class Message(Shape):
    """A message of the mailbox."""

    id: int
    agent_id: str
    prompt: str
    envelope: str | None
    schedule_id: int
    delivery_id: int
    received_at: Instant
    acked_at: Instant | None


class Run(Shape):
    """A fire time: in the zone, and in UTC."""

    at: Instant
    utc: Instant


class Opening(Run):
    """A fire time, and what becomes of it where it is not sent at its instant."""

    sent_at: Instant = Field(default="", description="only when it goes out later than it fires")
    held: bool = Field(default=False, description="true when quiet hours put it off")
    skipped: str = Field(default="", description="only when it is not sent: why")


class Understood(Shape):
    """What words for a rule were read as; `option` and `value` say it exactly."""

    given: str
    option: str
    value: str
    words: str
    timezone: str


class UnderstoodBound(Shape):
    """What words for an instant were read as."""

    given: str
    option: str
    value: str
    timezone: str


class Outlook(Success):
    """What lies ahead of a schedule."""

    now: Instant
    next_runs: list[Instant]
    description: str = Field(description="the rule in words")
    warnings: list[str]
    etag: str = Field(default="", description="stands for the schedule as it is now, as the `ETag` header does")
    understood: Understood | None = Field(default=None, description="only of a rule that was given in words")
    understood_bounds: list[UnderstoodBound] = Field(default=[], description="only of instants given in words")
    skip_on: str | None = Field(default=None, description="the calendar on whose days it does not fire")
    skip_on_until: str | None = Field(default=None, description="the last day that the calendar knows")


class Registered(Outlook):
    """A schedule was made, or the one of the same key was updated."""

    id: int
    next_run: Instant | None
    message: str
    timezone: str
    created: bool = Field(description="false when the key was known, and its schedule was updated")
    database: str | None = Field(default=None, description="where it is kept; for operators")
    replayed: bool = Field(default=False, description="true when this Idempotency-Key was answered before")


class Page(Success):
    """A page of a list."""

    count: int = Field(description="how many are on this page")
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null on the last one")


class Schedules(Page):
    """Schedules, oldest first."""

    schedules: list[Schedule]
    now: Instant
    timezone: str
    warnings: list[str]
    database: str | None = Field(default=None, description="where they are kept; for operators")


class Shown(Outlook):
    """One schedule in full."""

    schedule: Schedule
    details: Details


class Cancelled(Outlook):
    """A schedule was cancelled."""

    cancelled_id: int
    schedule: Schedule
    message: str


class Updated(Outlook):
    """A schedule was changed."""

    schedule: Schedule
    message: str


class Changed(Outlook):
    """A schedule was paused or resumed."""

    schedule: Schedule
    message: str
    until: Instant | None = Field(default=None, description="when a pause ends by itself")


class ChangedAll(Success):
    """All deliveries were stopped, or go on."""

    schedule: None
    message: str
    reason: str | None = None
    until: Instant | None = Field(default=None, description="when deliveries go on by themselves")


class RunNow(Outlook):
    """A delivery was opened."""

    delivery: Delivery
    message: str
    timezone: str


class Skipped(Success):
    """Fire times were passed over."""

    skipped: list[Run]
    delivery_ids: list[int]
    next_run: Instant | None
    schedule: Schedule
    message: str


class Snoozed(Success):
    """What was next was put off."""

    put_off: str
    delivery: Delivery
    comes_at: Instant
    next_run: Instant | None
    message: str
    warnings: list[str]


class History(Success):
    """Receipts, newest first."""

    id: int
    deliveries: list[Receipt]
    count: int
    timezone: str
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null on the last one")


class Why(Success):
    """What happened, in sentences."""

    id: int
    sentences: list[str]
    count: int


class Deliveries(Page):
    """Deliveries, newest first."""

    deliveries: list[Delivery]


class Retried(Success):
    """A delivery is tried again."""

    delivery: Delivery
    message: str


class Inbox(Success):
    """Messages, oldest first."""

    messages: list[Message]
    count: int
    agent_id: str
    now: Instant
    timezone: str


class Acked(Success):
    """A message is done."""

    message: Message


class Preview(Success):
    """When a rule would fire."""

    runs: list[Opening]
    description: str
    timezone: str
    now: Instant
    warnings: list[str]
    understood: Understood | None = Field(default=None, description="only of a rule that was given in words")
    understood_bounds: list[UnderstoodBound] = Field(default=[], description="only of instants given in words")


class Explained(Success):
    """What a text for a rule means."""

    given: str
    is_phrase: bool = Field(description="true for plain words, false for a rule that is written exactly")
    schedule_type: Literal["once", "cron", "interval", "rrule"]
    schedule_value: str
    understood: Understood
    fields: list[dict[str, Any]] = Field(description="of a cron expression: each field in words")
    next_runs: list[Instant]
    is_last: bool = Field(description="true when it does not fire after those")
    description: str
    timezone: str
    now: Instant
    warnings: list[str]


class Simulated(Success):
    """Every fire time of a span, and what would become of it; docs/simulate.md has the keys within."""

    from_: Instant = Field(alias="from")
    until: Instant
    timezone: str
    runs: list[dict[str, Any]]
    runs_left_out: int
    days: list[dict[str, Any]]
    totals: dict[str, Any]
    schedules: int = Field(description="how many were looked at")
    collisions: list[dict[str, Any]]
    completed: list[dict[str, Any]]
    paused: list[dict[str, Any]]
    database: str | None = Field(default=None, description="where the schedules are kept; for operators")
    now: Instant
    warnings: list[str]


class Executed(Success):
    """What one pass did."""

    executed: list[dict[str, Any]]
    message: str


class Tested(Success):
    """Letta answers."""

    url: str
    version: str | None
    latency_ms: float
    message: str


class Agent(Shape):
    """An agent as Letta lists it."""

    id: str
    name: str
    description: str | None


class Agents(Success):
    """Letta's agents."""

    agents: list[Agent]
    count: int


class Uploaded(Success):
    """A tool is stored at Letta."""

    tool_id: str
    name: str
    message: str


class Check(Shape):
    """What one look of `doctor` found."""

    name: str
    result: Literal["ok", "warn", "fail"]
    found: str
    cure: str | None


class Doctor(Success):
    """No check failed."""

    checks: list[Check]
    message: str


class Setting(Shape):
    """A setting, secrets as ***, and where its value came from."""

    name: str
    value: str
    source: str


class Config(Success):
    """Every setting."""

    settings: list[Setting]
    token_file: str | None = Field(description="where the operator's token of this machine is kept")


class Upgraded(Success):
    """The database is at this version's schema."""

    database: str
    counts: dict[str, int]
    message: str


class BackedUp(Success):
    """The database is copied."""

    path: str
    bytes: int
    message: str


class Imported(Success):
    """What an import did, or would do."""

    dry_run: bool
    created: list[dict[str, Any]]
    updated: list[dict[str, Any]]
    unchanged: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    counts: dict[str, int]
    message: str
    warnings: list[str]


class Exported(Success):
    """Schedules, to be imported again (`export`), or their coming fires (`ics`)."""

    format: Literal["json", "ics"]
    count: int
    warnings: list[str]
    export: dict[str, Any] | None = Field(default=None, description="of format json: give it to POST /api/v1/import")
    ics: str | None = Field(default=None, description="of format ics: the calendar")


class ErrorKind(Shape):
    """What an error code stands for."""

    code: str
    status: int
    title: str


class Errors(Success):
    """Every error code."""

    errors: list[ErrorKind]


class Event(Shape):
    """Something that happened: a fact of the journal."""

    id: int
    event: str
    at: Instant
    schedule_id: int | None
    agent_id: str | None
    delivery_id: int | None
    actor: str
    sentence: str
    detail: dict[str, str | int | bool | None]


class Gap(Shape):
    """A stretch of the journal of which some is not kept any more."""

    after: int
    until: int
    missing: int


class Journal(Success):
    """What happened, oldest first."""

    events: list[Event]
    count: int
    next_after: int = Field(description="give it as `after` for what comes next")
    newest: int
    gap: Gap | None


class RegisteredAll(Success):
    """All schedules were made, or updated."""

    ids: list[int] = Field(description="in the order of the schedules that were sent")
    count: int
    created: int
    updated: int
    next_run: Instant | None = Field(description="the first fire time of all")
    now: Instant
    message: str
    warnings: list[str] = Field(description="the first of them; each said once")


class Token(Shape):
    """A token, without its text."""

    id: int
    kind: Literal["agent", "operator", "letta-proxy"]
    agent_id: str | None
    name: str | None
    state: Literal["live", "expired", "revoked"]
    created_by: str
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None
    revoked_at: Instant | None


class Issued(Token, Success):
    """A token was issued; `token` is its text, shown this once."""

    token: str
    message: str


class Tokens(Success):
    """Tokens, without their texts."""

    tokens: list[Token]
    count: int


class Revoked(Success):
    """A token opens nothing any more."""

    token: Token
    message: str


class Claimed(Success):
    """Whether the claim was the first."""

    claimed: bool
    message: str
    key: str
    agent_id: str
    claimed_at: Instant
    expires_at: Instant | None
    delivery_id: int | None = Field(description="the delivery that the agent worked on when it was claimed")


class Coming(Run):
    """What comes next to an agent."""

    schedule_id: int
    name: str | None


class OnTime(Success):
    """What an agent is working on, and how late it came."""

    agent_id: str
    message: str
    now: Instant
    timezone: str
    is_on_time: bool | None = Field(description="null when it works on nothing of ours")
    late_s: float | None
    delivery: Delivery | None
    name: str | None
    others_in_flight: int
    waiting: int
    unread: int
    coming: list[Coming]
    warnings: list[str]
