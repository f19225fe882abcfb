"""What an operator does: serve, run workers, migrate, back up, restore, copy, remove, diagnose.

Only the command line imports it.
"""
