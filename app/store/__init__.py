"""The log on disk: tables, queries, the engines for SQLite and PostgreSQL, and the writer that commits in batches.

It knows what a chat is. It does not know who is shown what it stores.
"""
