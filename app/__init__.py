"""Parlor: a real-time chat, driven by the server. `ARCHITECTURE.md` says where everything is."""
