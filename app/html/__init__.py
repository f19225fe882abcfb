"""Every piece of HTML: templates, the fragments of messages, cached texts, ETags, static files.

It knows what a chat is, and nothing of sockets, databases or who is looking.
"""
