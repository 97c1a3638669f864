"""The one tree of errors: what went wrong, and what to do next.

    PromptyoselfError                    code                 exit  HTTP
    |-- UsageError                       usage                   2   400
    |-- InvalidInput                     invalid_input           1   422
    |   |-- InvalidTrigger               invalid_trigger         1   422
    |   |   `-- TriggerNeverFires        trigger_never_fires     1   422
    |   |-- InvalidInterval              invalid_interval        1   422
    |   |-- InvalidTimezone              invalid_timezone        1   422
    |   |-- InvalidAgentId               invalid_agent_id        1   422
    |   |-- BatchRefused                 batch_refused           1   422
    |   `-- KeyReused                    key_reused              1   422
    |-- NotFound                         not_found               1   404
    |   |-- ScheduleNotFound             schedule_not_found      1   404
    |   |-- DeliveryNotFound             delivery_not_found      1   404
    |   `-- AgentNotFound                agent_not_found         1   404
    |-- Conflict                         conflict                1   409
    |   `-- RevisionConflict             conflict                1   412
    |-- Unauthenticated                  unauthenticated         1   401
    |-- Forbidden                        forbidden               1   403
    |   `-- LimitExceeded                limit_exceeded          1   429
    |-- ConfigError                      config                  1   500
    |-- TargetError                      target_error            1   502
    |   |-- TargetUnreachable            target_unreachable      1   502
    |   |   `-- CannotVerify             target_unreachable      1   503
    |   `-- TargetRefused                target_refused          1   502
    `-- StoreError                       store                   1   503
        |-- StoreBusy                    store_busy              1   503
        |-- StoreFull                    store_full              1   507
        |-- StoreReadOnly                store_read_only         1   503
        |-- StoreGone                    store_gone              1   503
        |   `-- StoreMoved               store_moved             1   503
        |-- StoreUnreachable             store_unreachable       1   503
        |-- StoreCorrupt                 store_corrupt           1   500
        |-- StoreTooNew                  store_too_new           1   500
        `-- StoreUnsafe                  store_unsafe            1   500

`code` is stable and public: programs match on it. The message is one sentence; `hint` names the next step.
Adapters translate their driver's exceptions into this tree, so that none leaves its room.
"""

from __future__ import annotations

from typing import ClassVar


class PromptyoselfError(Exception):
    """Anything promptyoself refuses or fails at, said in one sentence.

    `hint` says what to do next, or is None when the message already does.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PromptyoselfError):
    """The command line itself is wrong: unknown command, missing or contradictory option."""

    code = "usage"
    exit_code = 2
    http_status = 400


class InvalidInput(PromptyoselfError):
    """A value was understood and refused."""

    code = "invalid_input"
    http_status = 422


class InvalidTrigger(InvalidInput):
    """A time, cron expression or rule that cannot be read; the message names field, value and range."""

    code = "invalid_trigger"


class TriggerNeverFires(InvalidTrigger):
    """A rule that is well formed and matches no instant, or none that is still to come."""

    code = "trigger_never_fires"


class InvalidInterval(InvalidInput):
    """A duration that cannot be read, or is zero, negative or absurd."""

    code = "invalid_interval"


class InvalidTimezone(InvalidInput):
    """A zone name that the IANA database of this machine does not hold."""

    code = "invalid_timezone"


class InvalidAgentId(InvalidInput):
    """An agent id that could not be one, or that would change the meaning of a URL."""

    code = "invalid_agent_id"


class BatchRefused(InvalidInput):
    """Some of many things asked for at once cannot be done, so none was."""

    code = "batch_refused"


class KeyReused(InvalidInput):
    """An idempotency key that stands for another request."""

    code = "key_reused"


class NotFound(PromptyoselfError):
    """The thing named does not exist here (or is not the caller's to see)."""

    code = "not_found"
    http_status = 404


class ScheduleNotFound(NotFound):
    """No schedule has this id."""

    code = "schedule_not_found"


class DeliveryNotFound(NotFound):
    """No delivery has this id."""

    code = "delivery_not_found"


class AgentNotFound(NotFound):
    """The target knows no agent by this id."""

    code = "agent_not_found"


class Conflict(PromptyoselfError):
    """The thing named is not in a state that allows this."""

    code = "conflict"
    http_status = 409


class RevisionConflict(Conflict):
    """It was edited since the caller last saw it; nothing was overwritten."""

    http_status = 412


class Unauthenticated(PromptyoselfError):
    """Nobody knows who asks: no token, or one that is unknown, expired or revoked."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(PromptyoselfError):
    """The caller may not do this."""

    code = "forbidden"
    http_status = 403


class LimitExceeded(Forbidden):
    """A limit of the guard; the message names the limit and its value."""

    code = "limit_exceeded"
    http_status = 429


class ConfigError(PromptyoselfError):
    """Settings that contradict each other or cannot be read."""

    code = "config"


class TargetError(PromptyoselfError):
    """A target (a Letta server) could not do what was asked of it."""

    code = "target_error"
    http_status = 502


class TargetUnreachable(TargetError):
    """No answer: refused, timed out, or broken off."""

    code = "target_unreachable"


class CannotVerify(TargetUnreachable):
    """Whether somebody may come in is for the target to say, and it does not answer."""

    code = "cannot_verify"
    http_status = 503


class TargetRefused(TargetError):
    """It answered, and said no."""

    code = "target_refused"


class StoreError(PromptyoselfError):
    """The database could not do what was asked of it; nothing was half-stored."""

    code = "store"
    http_status = 503


class StoreBusy(StoreError):
    """Another process held the write lock for longer than the bound."""

    code = "store_busy"


class StoreFull(StoreError):
    """The disk, or the quota, is full."""

    code = "store_full"
    http_status = 507


class StoreReadOnly(StoreError):
    """The file or its folder cannot be written."""

    code = "store_read_only"


class StoreGone(StoreError):
    """The file was deleted, moved or replaced under a process that has it open."""

    code = "store_gone"


class StoreUnreachable(StoreError):
    """The database's server does not answer, or has broken the connection off; it may come back by itself."""

    code = "store_unreachable"


class StoreMoved(StoreGone):
    """The database was moved elsewhere, and takes no writes any more; the message says where, without a password."""

    code = "store_moved"


class StoreCorrupt(StoreError):
    """The file is not a database, or is a damaged one."""

    code = "store_corrupt"
    http_status = 500


class StoreTooNew(StoreError):
    """The database was written by a newer version of promptyoself."""

    code = "store_too_new"
    http_status = 500


class StoreUnsafe(StoreError):
    """The place cannot keep what SQLite promises (a network file system)."""

    code = "store_unsafe"
    http_status = 500
