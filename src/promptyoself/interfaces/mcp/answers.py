"""What of a command's answer a model is shown: some of the keys of wire.py, under the same names.

One name differs: `id` is `schedule_id`, `delivery_id` or `message_id` here, as in the tools' arguments, so that no
model takes one for another.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from promptyoself.interfaces.wire import Document

_AT = "RFC 3339 with offset, in the schedule's zone"


class _Shown(BaseModel):
    """Keys that are not named here are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Answer(_Shown):
    """What every answer carries."""

    message: str = Field(description="what was done or found, in words")
    now: str = Field(description="the present instant, RFC 3339 with offset")
    timezone: str = Field(description="the IANA time zone of the instants here")
    warnings: list[str] = Field(default_factory=list, description="what may surprise; read them")

    @classmethod
    def of(cls, document: Document) -> Self:
        """Return what is shown of a command's answer."""
        return cls.model_validate(document)

    def dumped(self) -> dict[str, Any]:
        """Return it as JSON; what does not apply is left out."""
        return self.model_dump(mode="json", exclude_none=True)


class _Ahead(Answer):
    description: str = Field(description="the rule in words")
    next_runs: list[str] = Field(description=f"the next three fire times; none: it does not fire again ({_AT})")


class Understood(_Shown):
    """What words were read as."""

    given: str
    value: str = Field(description="the exact rule that is stored")


class Scheduled(_Ahead):
    """The answer of schedule_prompt."""

    schedule_id: int = Field(validation_alias="id", description="names the schedule in every other tool")
    created: bool = Field(description="false: a schedule with this key was there, and is updated")
    understood: Understood | None = None


class Schedule(_Shown):
    """A schedule."""

    schedule_id: int = Field(validation_alias="id")
    name: str | None = None
    key: str | None = None
    agent_id: str
    prompt: str = Field(validation_alias="prompt_text", description="the text that is delivered; cut in lists")
    description: str | None = Field(default=None, description="the rule in words")
    schedule_type: str = Field(description="once, cron, interval or rrule")
    schedule_value: str
    timezone: str
    state: str = Field(description="active, paused, completed or cancelled")
    state_reason: str | None = None
    next_run: str | None = Field(default=None, description=f"the next fire time; absent: none ({_AT})")
    next_runs: list[str] | None = Field(default=None, description=f"the next three fire times ({_AT})")
    last_run: str | None = None
    snoozed_until: str | None = None
    repetition_count: int
    max_repetitions: int | None = None
    target: str = Field(description="letta, or inbox")
    created_by: str


class Changed(_Ahead):
    """The answer of tools that change one schedule."""

    schedule: Schedule
    until: str | None = Field(default=None, description="when a pause ends by itself; absent: it does not")
    understood: Understood | None = None


class Listed(Answer):
    """The answer of list_my_schedules."""

    schedules: list[Schedule]
    count: int = Field(description="how many there are; `schedules` may hold fewer")


class Run(_Shown):
    """A fire time."""

    at: str = Field(description="in the zone")
    utc: str
    skipped: str | None = Field(default=None, description="why nothing is sent then")
    sent_at: str | None = Field(default=None, description="when it is sent, when that is later")


class Previewed(Answer):
    """The answer of preview_schedule."""

    description: str = Field(description="the rule in words")
    runs: list[Run] = Field(description="fire times, in order")
    understood: Understood | None = None


class Attempt(_Shown):
    """One try at a delivery."""

    number: int
    outcome: str
    started_at: str
    error_code: str | None = None
    detail: str | None = None


class Delivery(_Shown):
    """The duty to hand a prompt over once, and what became of it."""

    delivery_id: int = Field(validation_alias="id")
    schedule_id: int
    kind: str = Field(description="scheduled, or run_now")
    state: str = Field(description="pending, leased, accepted, unknown, delivered, dead, skipped or cancelled")
    reason: str | None = None
    fire_at: str = Field(description="the planned instant")
    due_at: str
    accepted_at: str | None = Field(default=None, description="when it arrived")
    finished_at: str | None = None
    lateness_ms: int | None = Field(default=None, description="arrival minus the planned instant")
    missed: int = Field(description="fire times missed before it, for which it also stands")
    may_be_repeat: bool
    reply_excerpt: str | None = None
    attempts: list[Attempt] | None = None


class Sent(_Ahead):
    """The answer of run_now."""

    delivery: Delivery


class History(_Ahead):
    """The answer of schedule_history."""

    schedule_id: int = Field(validation_alias="id")
    deliveries: list[Delivery] = Field(description="newest first")


class Why(_Ahead):
    """The answer of why."""

    schedule_id: int = Field(validation_alias="id")
    sentences: list[str] = Field(description="what happened, oldest first, then how things stand")


class Message(_Shown):
    """A prompt in the mailbox."""

    message_id: int = Field(validation_alias="id")
    schedule_id: int
    delivery_id: int
    envelope: str | None = Field(default=None, description="what promptyoself says about the prompt")
    prompt: str = Field(description="the prompt itself, verbatim")
    received_at: str
    acked_at: str | None = None


class Inbox(Answer):
    """The answer of read_inbox."""

    messages: list[Message] = Field(description="oldest first")
    is_more: bool = Field(description="true: there are more; acknowledge these and read again")


class Acked(Answer):
    """The answer of ack."""

    message_id: int


class Claimed(Answer):
    """The answer of claim_once."""

    key: str
    claimed: bool = Field(
        description="true: this is the first time, go on; false: it was done before, do not repeat it"
    )
    claimed_at: str
    expires_at: str = Field(description="until when the claim stands")
    delivery_id: int | None = Field(default=None, description="the delivery in which it was claimed")


class Coming(_Shown):
    """A fire time of one of the agent's schedules."""

    schedule_id: int
    name: str | None = None
    at: str


class OnTime(Answer):
    """The answer of am_i_on_time."""

    is_on_time: bool | None = Field(default=None, description="absent: no scheduled prompt is in progress")
    late_s: float | None = Field(default=None, description="seconds that it came late")
    delivery: Delivery | None = Field(default=None, description="what you are working on")
    name: str | None = Field(default=None, description="its schedule's name")
    others_in_flight: int
    waiting: int = Field(description="deliveries that are due and wait for their turn")
    unread: int = Field(description="messages in the mailbox that were not acknowledged")
    coming: list[Coming] = Field(description="the next three fire times of all your schedules")
