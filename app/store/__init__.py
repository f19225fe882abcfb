"""The log on disk: tables, queries, the engines for SQLite and PostgreSQL, the writer that commits in batches.

It knows what a chat is. It does not know who sees what it stores.
"""
