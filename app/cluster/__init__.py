"""What processes that share a database tell each other: positions, presence, limits, drafts.

A single process needs only the local bus. This folder does not know what a room does with the news.
"""
