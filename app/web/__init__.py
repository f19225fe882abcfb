"""HTTP and WebSocket: pages, sockets, forms, who is asking, what the browser is allowed.

It calls `rooms`, and decides nothing that a room decides.
"""
