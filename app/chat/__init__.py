"""What a chat is: members, messages, how they group, what a frame says, how fast one may speak.

Plain values and functions: no I/O, no async, no clock. It knows of nothing but itself.
"""
