"""What a chat is: members, messages, grouping, frames, rate limits.

Plain values and functions: no I/O, no async, no clock. It imports no other folder.
"""
