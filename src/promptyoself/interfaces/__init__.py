"""Doors: command line, SMCP and what else people, agents and programs come in by, with one home for every JSON shape.

No rule belongs here, and no adapter is picked here: a door turns words into a use case, and its answer into words.
"""
