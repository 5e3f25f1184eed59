"""Transports, timers and the choice of protocol; never builds a scope or an ASGI message."""
