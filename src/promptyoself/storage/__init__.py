"""Stores: SQL in named files, rows to models and back, migrations, drivers' errors put into the domain's words.

No decision about what should happen belongs here: a store does what it is told, whole or not at all.
"""
