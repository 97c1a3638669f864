"""Schedules on their way in and out: readers of each source (text in, entries out), the import, and what export writes.

Nothing here opens a file or a database of another program: the doors do, and hand over what they read.
"""
