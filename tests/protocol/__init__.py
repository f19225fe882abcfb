"""What a WebSocket may bring, byte by byte: RFC 6455 and RFC 7692, tried on a real server over plain TCP.

The order of the files is that of the RFC: handshake (4), framing (5), closing (7), text (8.1), then compression, and
what many connections in one room share of it. `test_any_bytes.py` is the rest: arbitrary bytes, without a socket.

Autobahn's suite (https://github.com/crossbario/autobahn-testsuite) has the cases that everybody knows, needs Python
2.7, and tries an endpoint that echoes: `scripts/autobahn.py` runs it where it is installed. What is here needs nothing,
tries Parlor itself, and follows Autobahn's list where that has a case.
"""
