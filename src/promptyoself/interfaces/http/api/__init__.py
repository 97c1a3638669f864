"""Our own routes, /api/v1: every command that makes sense over a network, with the JSON that the command line answers.

The table of commands says what comes in (forms.py), handlers do the work, wire.py shapes what goes out; answers.py only
describes it.
"""
