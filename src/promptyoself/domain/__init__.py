"""Decisions: what is due, what is missed, what follows an outcome, and the ports through which the core asks the world.

Values in, decisions out. No clock, no chance, no I/O, no driver, and nothing from any other room.
"""
