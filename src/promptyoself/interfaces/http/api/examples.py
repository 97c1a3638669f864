"""Examples of the OpenAPI document; a test holds each against its schema."""

from __future__ import annotations

from typing import Any, Final

_SCHEDULE: Final = {
    "id": 7,
    "key": None,
    "name": "notes",
    "agent_id": "agent-0c9f2a4e",
    "prompt_text": "Look over the notes.",
    "schedule_type": "cron",
    "schedule_value": "0 9 * * mon-fri",
    "timezone": "Europe/Riga",
    "next_run": "2030-01-31T09:00:00+02:00",
    "last_run": "2030-01-30T09:00:00+02:00",
    "active": True,
    "state": "active",
    "state_reason": None,
    "created_at": "2030-01-02T15:04:05+02:00",
    "max_repetitions": None,
    "repetition_count": 21,
    "catch_up": "latest",
    "overlap": "skip",
    "target": "letta",
    "conversation": None,
    "skip_on": None,
    "created_by": "operator via http",
    "snoozed_until": None,
}
_OUTLOOK: Final = {
    "now": "2030-01-30T18:00:00+02:00",
    "next_runs": ["2030-01-31T09:00:00+02:00", "2030-02-01T09:00:00+02:00", "2030-02-04T09:00:00+02:00"],
    "description": "at 09:00, Monday to Friday (Europe/Riga)",
    "warnings": [],
}
_TAG: Final = "3-active-9c1e02d44f6b7a10"

ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "register": {
        "status": "success",
        "id": 7,
        "next_run": "2030-01-31T09:00:00+02:00",
        "message": "Prompt scheduled with ID 7. Next: Thu 09:00 Europe/Riga (in 15 h)",
        "timezone": "Europe/Riga",
        "created": True,
        **_OUTLOOK,
        "etag": _TAG,
    },
    "list": {
        "status": "success",
        "schedules": [_SCHEDULE],
        "count": 1,
        "next_cursor": "czc",
        "now": "2030-01-30T18:00:00+02:00",
        "timezone": "Europe/Riga",
        "warnings": [],
    },
    "update": {
        "status": "success",
        "schedule": _SCHEDULE,
        "message": "Schedule 7 is updated. Next: Thu 09:00 Europe/Riga (in 15 h)",
        **_OUTLOOK,
        "etag": _TAG,
    },
    "cancel": {
        "status": "success",
        "cancelled_id": 7,
        "message": "Schedule 7 is cancelled",
        "schedule": {**_SCHEDULE, "active": False, "state": "cancelled", "state_reason": "cancelled", "next_run": None},
        **_OUTLOOK,
        "next_runs": [],
    },
    "pause": {
        "status": "success",
        "schedule": {**_SCHEDULE, "active": False, "state": "paused", "state_reason": "on holiday"},
        "message": "Schedule 7 is paused: on holiday",
        "until": "2030-02-04T09:00:00+02:00",
        **_OUTLOOK,
        "etag": "3-paused-5b6dd2f8c0a14e97",
    },
    "pause-all": {
        "status": "success",
        "schedule": None,
        "message": "All deliveries are stopped; `resume --all` lets them go on",
        "reason": "Letta is being moved",
        "until": None,
    },
    "why": {
        "status": "success",
        "id": 7,
        "sentences": ["Wed 2030-01-30 09:00 Europe/Riga: fired, as delivery 41.", "It fires next on Thu 09:00."],
        "count": 2,
    },
}

BODIES: Final[dict[str, dict[str, Any]]] = {
    "register": {
        "weekdays": {
            "summary": "every weekday at nine",
            "value": {
                "agent_id": "agent-0c9f2a4e",
                "prompt": "Look over the notes.",
                "cron": "0 9 * * mon-fri",
                "timezone": "Europe/Riga",
                "name": "notes",
            },
        },
        "once": {
            "summary": "once, in plain words",
            "value": {"agent_id": "agent-0c9f2a4e", "prompt": "Call the dentist.", "time": "tomorrow 9am"},
        },
    },
    "update": {"later": {"summary": "half past nine", "value": {"cron": "30 9 * * mon-fri"}}},
    "pause": {"holiday": {"summary": "until Monday", "value": {"until": "monday at 9:00", "reason": "on holiday"}}},
    "pause-all": {"moving": {"summary": "stop everything", "value": {"reason": "Letta is being moved"}}},
    "skip": {"two": {"summary": "the next two", "value": {"count": 2, "reason": "holiday"}}},
    "snooze": {"later": {"summary": "half an hour later", "value": {"for": "30m"}}},
    "preview": {"last": {"summary": "on the last of each month", "value": {"cron": "0 9 L * *", "count": 3}}},
    "explain": {"both": {"summary": "the 13th and every Friday", "value": {"text": "0 0 13 * 5"}}},
    "simulate": {"month": {"summary": "a month", "value": {"for": "30d", "outage": ["2030-01-31T09:00/8h"]}}},
    "execute": {"short": {"summary": "without following runs", "value": {"wait": 0}}},
    "upload": {"hello": {"summary": "a tool", "value": {"source_code": "def hello() -> str:\n    return 'hello'\n"}}},
    "import": {
        "crontab": {
            "summary": "what a crontab would become",
            "value": {"kind": "crontab", "content": "0 9 * * 1-5 water the plants\n", "agent_id": "agent-0c9f2a4e"},
        }
    },
    "db-backup": {"backup": {"summary": "beside the database", "value": {"to": "promptyoself-backup.db"}}},
}
