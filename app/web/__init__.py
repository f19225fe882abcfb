"""HTTP and WebSocket: pages, forms, sockets, authentication, security headers.

It calls `rooms` and decides nothing that a room decides.
"""
