"""Parlor: a real-time chat, driven by the server. `ARCHITECTURE.md` tells the story; `rooms.py` is its crux."""
