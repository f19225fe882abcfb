"""The story of a room: enter, resume, post, deliver, leave; and the names and rooms that people take and make.

It puts chat, html, delivery, store and cluster together. It knows neither HTTP nor WebSocket.
"""
