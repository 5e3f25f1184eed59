"""Bytes to events and back, without I/O: no clock, no loop, no logger, no settings object."""
