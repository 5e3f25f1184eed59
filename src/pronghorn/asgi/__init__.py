"""Events to ASGI messages and back; reaches the network only through ``Stream``."""
