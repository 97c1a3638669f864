"""Engines that run each lane's deliveries in order, one at a time, and wake when one is due.

How a delivery is decided or sent does not belong here: an engine is handed a function that runs a lane's next step.
"""
