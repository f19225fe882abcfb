"""Parlor beside its alternatives: `python -m bench`, `make bench`. README.md says what is measured, and how."""
