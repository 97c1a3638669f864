"""Requests made up from the OpenAPI document, and what each answer is held against."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from schemathesis.schemas import APIOperation

    from tests.interfaces.world import FakeServices

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ENDLESS: Final = frozenset({"events"})
"""What never ends is no answer that can be held against anything."""
AT: Final = "http://127.0.0.1:8289"
TOKEN: Final = {"Authorization": "Bearer operator"}
_KNOWN_IDS: Final = (1, 2, 3)


def operations(app: FastAPI) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    """Return every operation of the document that comes to an end."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.definition.raw.get("operationId") not in ENDLESS:
            yield operation


def attack(
    operation: APIOperation[Any, Any, Any, Any],
    services: FakeServices,
    *,
    mode: GenerationMode,
    examples: int,
    is_fixed: bool = True,
) -> None:
    """Send requests of one kind to one operation; raises for the first answer that the document does not promise."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=is_fixed,
        database=None,
        phases=[Phase.generate, Phase.shrink] if examples > 100 else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.sampled_from((None, *_KNOWN_IDS)))
    def each(case: Any, known: int | None) -> None:  # noqa: ANN401  schemathesis' own kind of case
        if known is not None and mode is GenerationMode.POSITIVE and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = known
        services.clock.at += timedelta(seconds=5)  # the door's pace is another test's
        answer = case.call(base_url=AT, headers=TOKEN)
        case.validate_response(answer, checks=CHECKS)

    each()
