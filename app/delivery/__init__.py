"""From one frame to a thousand sockets: hub, fan-out, connections with an outbox, uvicorn's protocols.

It takes text and delivers it. It does not know what a frame says, nor where messages are stored.
"""
