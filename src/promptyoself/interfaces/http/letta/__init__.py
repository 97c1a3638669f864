"""Letta's door: Letta's own schedule routes, and a passage to the Letta server for every other path below /v1.

What these routes take and answer is Letta's (its official clients are the judge); what they do is our commands'.
"""
