"""The story of a room: enter, resume, say, deliver, leave; which rooms there are, and who is called otherwise now.

It puts chat, html, delivery, store and cluster together. It knows neither HTTP nor the frames of WebSocket.
"""
