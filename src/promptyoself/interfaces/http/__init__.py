"""HTTP: our own routes, Letta's schedule routes, health and metrics. Routes say what comes in; handlers do the work.

No rule of scheduling lives here, and no second spelling of a JSON shape (wire.py).
"""
