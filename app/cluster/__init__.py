"""What processes that share a database tell each other: positions, who is present, limits, drafts.

One process on its own uses the stand-ins here, which do nothing. It does not know what a room does with the news.
"""
