"""What an operator does: serve, several workers, migrate, back up, restore, copy, remove, look for faults.

Nothing else imports it, but the command line.
"""
