"""The doctor: checks settings, machine and database from outside, and changes nothing.

Each check is a line: what it saw, and how to fix what is wrong.
"""
