"""Made-up requests find no server error, and no answer that the document does not promise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from schemathesis import GenerationMode

from tests.interfaces.http.conftest import client_of
from tests.interfaces.http.fuzzing import attack, operations
from tests.interfaces.http.test_schedules import made

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tests.interfaces.world import FakeServices

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
"""Requests of each kind to each operation; `make fuzz-http` sends many more, other ones each time."""


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: str(mode.value))
def test_no_request_finds_what_is_not_documented(app: FastAPI, services: FakeServices, mode: GenerationMode) -> None:
    client = client_of(app)
    for number in range(1, 4):
        made(client, target="inbox")
        client.post(f"/api/v1/schedules/{number}/run-now")
    for operation in operations(app):
        attack(operation, services, mode=mode, examples=EXAMPLES, is_fixed="FUZZ_EXAMPLES" not in os.environ)
