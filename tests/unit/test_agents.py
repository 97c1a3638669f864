"""Names of agents and conversations cannot change the meaning of a URL or of a lane's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptyoself.domain import limits
from promptyoself.domain.agents import validate_agent_id, validate_conversation
from promptyoself.domain.errors import InvalidAgentId, InvalidInput


@pytest.mark.parametrize(
    "name", ["test-agent", "agent-5f1d3c8e-0000-4000-8000-000000000000", "a", "A.b_c:d@e+f-1", "x" * 200]
)
def test_plain_names_pass_as_they_are(name: str) -> None:
    assert validate_agent_id(name) == name
    assert validate_conversation(name) == name


def test_a_new_conversation_has_its_own_word() -> None:
    assert validate_conversation("new") == "new"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a%2fb",
        "a b",
        "a\tb",
        "a\n",
        "a\x00",
        "-a",
        "é",
        "a\u200b",
    ],
)
def test_names_that_could_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(InvalidAgentId):
        validate_agent_id(name)
    with pytest.raises(InvalidInput):
        validate_conversation(name)


def test_a_long_name_is_refused_and_quoted_only_in_part() -> None:
    with pytest.raises(InvalidAgentId, match="201 characters, at most 200") as caught:
        validate_agent_id("x" * (limits.AGENT_ID_CHARS_MAX + 1))
    assert len(caught.value.message) < limits.AGENT_ID_CHARS_MAX


@given(st.text(min_size=1, max_size=50))
def test_what_passes_needs_no_quoting_and_parts_no_lane(name: str) -> None:
    try:
        validate_agent_id(name)
    except InvalidAgentId:
        return
    assert name.isascii()
    assert not set(name) & set("/\\?#%& \t\r\n\x00")
    assert name not in {".", ".."}
