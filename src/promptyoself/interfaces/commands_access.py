"""The part of the table of commands about who may come in, and about claims."""

from __future__ import annotations

from typing import Final

from promptyoself.interfaces.table import Command, Option

CLAIM_ONCE: Final = Command(
    "claim-once",
    "Claim a key, once: the first claim answers claimed true, every later one false. An agent that may get a prompt "
    "twice claims before it acts, and acts only when it was first.",
    "cli_access:claim_once",
    (
        Option("key", 'what is to be done once, in your own words: "invoice 17 sent"', is_required=True),
        Option("for", "how long the claim stands: 24h, 30d (default 30d, at most 366d)"),
        Option("agent-id", "whose claim it is (default: LETTA_AGENT_ID)"),
    ),
    is_tool=True,
    example='claim-once --key "invoice 17 sent" --for 24h',
)

TOKENS: Final = (
    Command(
        "token create",
        "Issue a token for the doors over the network, and show it, once. Say for whom: exactly one of --agent-id, "
        "--operator and --letta-proxy.",
        "cli_access:token_create",
        (
            Option("agent-id", "it speaks for this agent, and for nobody else"),
            Option("operator", "it may do everything", "flag"),
            Option("letta-proxy", "it is a Letta server's, and speaks for whichever of its agents calls", "flag"),
            Option("name", "what it is for, for people to read"),
            Option("expires", "when it ends: after a duration (90d), or at a date and time (default: never)"),
        ),
        example="token create --agent-id agent-... --name laptop --expires 90d",
        is_operators=True,
    ),
    Command(
        "token list",
        "List the tokens that open something, and when each was last used; never their texts.",
        "cli_access:token_list",
        (Option("all", "revoked and expired ones too", "flag"),),
        example="token list --all",
        is_operators=True,
    ),
    Command(
        "token revoke",
        "Let a token open nothing any more, at once.",
        "cli_access:token_revoke",
        (Option("id", "the token's id, as `token list` shows it", "id", is_required=True),),
        example="token revoke --id 3",
        is_operators=True,
    ),
)
