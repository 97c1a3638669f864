"""What a caller asks for, as text, and the definition it means. Every door reads its options through here.

A request holds options as they were given; None means not given. In an update an empty text clears what can be
cleared (name, key, conversation, end, window ...).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeVar

from promptyoself.domain import limits
from promptyoself.domain.agents import validate_agent_id, validate_conversation
from promptyoself.domain.errors import InvalidInput, UsageError
from promptyoself.domain.models import CatchUp, Definition, EnvelopeMode, Overlap, Policy, Replies
from promptyoself.domain.quiet import QuietHours
from promptyoself.domain.triggers import (
    Trigger,
    TriggerKind,
    check_timezone,
    make_trigger,
    parse_duration,
    parse_instant,
)
from promptyoself.domain.values import dataclass, replace

if TYPE_CHECKING:
    from promptyoself.domain.addresses import Allowed
    from promptyoself.domain.content import Content
    from promptyoself.domain.holidays import Holidays

E = TypeVar("E", bound=StrEnum)
_SHOWN_CHARS_MAX = 60
"""Characters of a caller's own text that a refusal repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A phrase in plain words, and the exact value that it was compiled to: what is stored, and can be typed back."""

    given: str
    given_to: str
    """The option that it was given to, such as `--every`."""
    option: str
    """The option that takes the value, such as `--cron`."""
    value: str
    timezone: str
    notes: tuple[str, ...] = ()
    """What the words may also mean, for the answer's warnings."""

    @property
    def is_rule(self) -> bool:
        """True for the trigger itself, False for one of its bounds."""
        return self.given_to in {"--time", "--every"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """The options of register and update, under CLI.md's names."""

    agent_id: str | None = None
    prompt: str | None = None
    time: str | None = None
    cron: str | None = None
    every: str | None = None
    rrule: str | None = None
    timezone: str | None = None
    start_at: str | None = None
    end_at: str | None = None
    max_repetitions: int | None = None
    jitter: str | None = None
    name: str | None = None
    key: str | None = None
    target: str | None = None
    conversation: str | None = None
    catch_up: str | None = None
    overlap: str | None = None
    quiet_hours: str | None = None
    skip_on: Holidays | Literal[""] | None = None
    """A calendar that the door has read already; an empty text clears it."""
    retry_for: str | None = None
    expires_after: str | None = None
    envelope: str | None = None
    replies: str | None = None
    content: Content | Literal[""] | None = None
    """What domain/content.py has read: messages (then without a prompt), options of the request; empty clears it."""
    understood: tuple[Understood, ...] = ()
    """The phrases that `exact` has compiled."""

    @property
    def trigger_options(self) -> dict[TriggerKind, str]:
        """Return the trigger options that were given."""
        given = {
            TriggerKind.ONCE: self.time,
            TriggerKind.CRON: self.cron,
            TriggerKind.INTERVAL: self.every,
            TriggerKind.RRULE: self.rrule,
        }
        return {kind: text for kind, text in given.items() if text is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What is taken where a request says nothing."""

    timezone: str
    target: str
    targets: frozenset[str]
    """The targets that exist here."""
    agent_id: str | None = None
    callback_allow: Allowed | None = None
    """Where callbacks may go besides public addresses."""


def exact(request: ScheduleRequest, *, timezone: str, now: datetime) -> ScheduleRequest:
    """Return a request with every phrase in plain words compiled, and told of in `understood`; doing it twice is once.

    `timezone` is where walls are read when neither the request nor a phrase says. Raises kin of InvalidInput for a
    phrase that is not certain.
    """
    if not has_phrases(request):
        return request
    from promptyoself.application.wording import compiled  # exact values need no grammar

    return compiled(request, timezone=timezone, now=now)


def has_phrases(request: ScheduleRequest) -> bool:
    """Return whether a request holds times or a rule that are not written exactly."""
    instants = (request.time, request.start_at, request.end_at)
    return any(text and not is_instant(text) for text in instants) or (
        bool(request.every) and not is_duration(request.every or "")
    )


def instant_option(text: str, *, option: str, timezone: str, now: datetime) -> tuple[datetime, Understood | None]:
    """Return the instant (aware UTC) that the value of an option such as `--until` names, and what words became.

    Words name a future one; of an exact value there is nothing to tell. Raises InvalidTrigger or InvalidTimezone.
    """
    if is_instant(text):
        return parse_instant(text, timezone=timezone), None
    from promptyoself.application.wording import bound

    said = bound(option, text, timezone, now=now)
    return parse_instant(said.value, timezone=timezone), said


def is_instant(text: str) -> bool:
    """Return whether a text is an ISO 8601 date and time."""
    try:
        parse_instant(text, timezone="UTC")
    except InvalidInput:
        return False
    return True


def is_duration(text: str) -> bool:
    """Return whether a text is a duration such as 45m."""
    try:
        parse_duration(text)
    except InvalidInput:
        return False
    return True


def define(request: ScheduleRequest, defaults: Defaults, *, now: datetime) -> Definition:
    """Return the definition that a complete request means.

    Raises UsageError for what is missing or contradictory, and kin of InvalidInput for what cannot be read.
    """
    request = exact(request, timezone=request.timezone or defaults.timezone, now=now)
    agent_id = request.agent_id or defaults.agent_id
    if not agent_id:
        raise UsageError("an agent id is missing", hint="give --agent-id, or set LETTA_AGENT_ID")
    prompt, content = _said(request, None, defaults)
    kind, expression = _one_trigger(request)
    return Definition(
        agent_id=validate_agent_id(agent_id),
        prompt=prompt,
        content=content,
        trigger=_trigger(kind, expression, request, timezone=request.timezone or defaults.timezone, now=now),
        target=_checked_target(request.target or defaults.target, defaults),
        conversation=validate_conversation(request.conversation) if request.conversation else None,
        key=_bounded_text(request.key, "key", limits.KEY_CHARS_MAX),
        name=_bounded_text(request.name, "name", limits.NAME_CHARS_MAX),
        max_repetitions=_checked_repetitions(request.max_repetitions),
        policy=_policy(request, Policy()),
    )


def redefine(old: Definition, request: ScheduleRequest, defaults: Defaults, *, now: datetime) -> Definition:
    """Return `old` with what an update's request changes; what it does not name stays."""
    request = exact(request, timezone=request.timezone or old.trigger.timezone, now=now)
    changes: dict[str, object] = {}
    if request.agent_id is not None:
        changes["agent_id"] = validate_agent_id(request.agent_id)
    if request.prompt is not None or request.content is not None:
        changes["prompt"], changes["content"] = _said(request, old, defaults)
    if request.target is not None:
        changes["target"] = _checked_target(request.target, defaults)
    if request.conversation is not None:
        changes["conversation"] = validate_conversation(request.conversation) if request.conversation else None
    if request.key is not None:
        changes["key"] = _bounded_text(request.key, "key", limits.KEY_CHARS_MAX)
    if request.name is not None:
        changes["name"] = _bounded_text(request.name, "name", limits.NAME_CHARS_MAX)
    if request.max_repetitions is not None:
        # 0 clears, as an empty text does for other options.
        changes["max_repetitions"] = _checked_repetitions(request.max_repetitions or None)
    changes["trigger"] = _retrigger(old.trigger, request, now=now)
    changes["policy"] = _policy(request, old.policy)
    return replace(old, **changes)  # type: ignore[arg-type]  # replace checks the names at run time


def _one_trigger(request: ScheduleRequest) -> tuple[TriggerKind, str]:
    given = request.trigger_options
    if len(given) != 1:
        count = "none" if not given else "more than one"
        raise UsageError(
            f"exactly one of --time, --cron, --every and --rrule is needed; {count} was given",
            hint='for example --every 1h, --cron "0 9 * * mon-fri" or --time 2030-01-31T09:00',
        )
    return next(iter(given.items()))


def _retrigger(old: Trigger, request: ScheduleRequest, *, now: datetime) -> Trigger:
    window = (request.timezone, request.start_at, request.end_at, request.jitter)
    given = request.trigger_options
    if not given and all(option is None for option in window):
        return old
    kind, expression = _one_trigger(request) if given else (old.kind, old.expression)
    if not given and kind in {TriggerKind.INTERVAL, TriggerKind.RRULE} and request.start_at is None:
        # The grid (of a rule: what its INTERVAL and COUNT count from) stays; only the window or the zone changes.
        made = _trigger(kind, expression, request, timezone=request.timezone or old.timezone, now=now, old=old)
        return replace(made, anchor_at=old.anchor_at)
    return _trigger(kind, expression, request, timezone=request.timezone or old.timezone, now=now, old=old)


def _trigger(  # one trigger is these words
    kind: TriggerKind,
    expression: str,
    request: ScheduleRequest,
    *,
    timezone: str,
    now: datetime,
    old: Trigger | None = None,
) -> Trigger:
    check_timezone(timezone)
    return make_trigger(
        kind,
        expression,
        timezone=timezone,
        now=now,
        start_at=_instant(request.start_at, timezone, old.start_at if old else None),
        end_at=_instant(request.end_at, timezone, old.end_at if old else None),
        jitter=_duration(request.jitter, old.jitter if old else timedelta(0)) or timedelta(0),
    )


def _policy(request: ScheduleRequest, old: Policy) -> Policy:
    catch_up, window = _catch_up(request.catch_up, old)
    quiet = old.quiet_hours
    if request.quiet_hours is not None:
        quiet = QuietHours.parse(request.quiet_hours) if request.quiet_hours.strip() else None
    retry_for = _duration(request.retry_for, old.retry_for) or limits.RETRY_FOR_DEFAULT
    if retry_for > limits.RETRY_FOR_MAX:
        raise InvalidInput(f"retry-for {request.retry_for!r} is longer than {limits.RETRY_FOR_MAX.days} days")
    envelope = _choice(EnvelopeMode, request.envelope, old.envelope, "envelope")
    replies = _choice(Replies, request.replies, old.replies, "replies")
    if replies is Replies.OBEY and envelope is EnvelopeMode.NONE:
        raise UsageError(
            "replies are obeyed only with an envelope: it tells the agent how to answer",
            hint="use --envelope brief or full, or --replies ignore",
        )
    return Policy(
        catch_up=catch_up,
        catch_up_window=window,
        overlap=_choice(Overlap, request.overlap, old.overlap, "overlap"),
        retry_for=retry_for,
        expires_after=_duration(request.expires_after, old.expires_after),
        envelope=envelope,
        replies=replies,
        quiet_hours=quiet,
        skip_on=old.skip_on if request.skip_on is None else request.skip_on or None,
    )


def _catch_up(text: str | None, old: Policy) -> tuple[CatchUp, timedelta | None]:
    """Read `skip`, `latest`, `all`, each with an optional window after a colon: `all:6h`."""
    if text is None:
        return old.catch_up, old.catch_up_window
    word, colon, window = text.partition(":")
    chosen = _choice(CatchUp, word, old.catch_up, "catch-up")
    return chosen, parse_duration(window) if colon else None


def _choice(kind: type[E], text: str | None, old: E, option: str) -> E:
    if text is None:
        return old
    try:
        return kind(text.strip().lower())
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise InvalidInput(f"{option} {text[:_SHOWN_CHARS_MAX]!r} is not known", hint=f"one of: {known}") from None


def _instant(text: str | None, timezone: str, old: datetime | None) -> datetime | None:
    if text is None:
        return old
    return parse_instant(text, timezone=timezone) if text.strip() else None


def _duration(text: str | None, old: timedelta | None) -> timedelta | None:
    if text is None:
        return old
    return parse_duration(text) if text.strip() else None


def _said(request: ScheduleRequest, old: Definition | None, defaults: Defaults) -> tuple[str, Content | None]:
    """Return what a request wants sent: the prompt (messages as one text), and the content when there is any.

    In an update a prompt takes the place of messages, and options alone leave the messages as they are.
    """
    given = request.content
    before = old.content if old is not None else None
    if given is None and before is None:
        return _checked_prompt(request.prompt if request.prompt is not None or old is None else old.prompt), None
    from promptyoself.domain import content as contents  # few schedules are more than a prompt

    if given:
        _check_callback(given, defaults)
        if given.messages and request.prompt is not None:
            raise UsageError("both a prompt and messages were given", hint="give --prompt, or messages in --content")
    content = before if given is None else given or None
    if content is not None and request.prompt is not None:
        content = contents.without_messages(content)
    elif content is not None and given:
        content = contents.with_messages_of(content, before)
    if content is not None and content.messages:
        return contents.rendered(content.messages), content
    return _checked_prompt(request.prompt if request.prompt is not None or old is None else old.prompt), content


def _check_callback(content: Content, defaults: Defaults) -> None:
    url = content.callback_url
    if url is not None:
        from promptyoself.domain.addresses import NOTHING, read_url

        read_url(url, defaults.callback_allow or NOTHING)


def _checked_prompt(prompt: str | None) -> str:
    if prompt is None:
        raise UsageError("the prompt is missing", hint="give --prompt with the text to deliver")
    try:
        size = len(prompt.encode())
    except UnicodeEncodeError:
        raise InvalidInput("the prompt is not valid Unicode text", hint="pass it as UTF-8") from None
    if "\0" in prompt:  # PostgreSQL keeps none, and what a file keeps is to go there one day
        raise InvalidInput("the prompt holds a NUL character", hint="leave it out")
    if not prompt.strip():
        raise InvalidInput("the prompt is empty", hint="give --prompt with the text to deliver")
    if size > limits.PROMPT_BYTES_MAX:
        raise InvalidInput(f"the prompt has {size} bytes; at most {limits.PROMPT_BYTES_MAX} are allowed")
    return prompt


def _checked_target(target: str, defaults: Defaults) -> str:
    if target not in defaults.targets:
        known = ", ".join(sorted(defaults.targets))
        raise InvalidInput(f"target {target[:_SHOWN_CHARS_MAX]!r} is not known", hint=f"one of: {known}")
    return target


def _checked_repetitions(count: int | None) -> int | None:
    if count is not None and not 1 <= count <= limits.MAX_REPETITIONS_MAX:
        raise InvalidInput(f"max-repetitions {count} is out of range; 1 to {limits.MAX_REPETITIONS_MAX} are allowed")
    return count


def _bounded_text(text: str | None, option: str, most: int) -> str | None:
    if not text:
        return None
    if len(text) > most:
        raise InvalidInput(f"the {option} has {len(text)} characters; at most {most} are allowed")
    if not text.isprintable():
        raise InvalidInput(f"the {option} holds control characters", hint="use plain printable text")
    return text
