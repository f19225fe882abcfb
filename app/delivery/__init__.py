"""From one frame to a thousand sockets: the hub, fan-out, connections with their outbox, and uvicorn's protocols.

It takes text and delivers it. It does not know what a frame says, nor where messages are stored.
"""
