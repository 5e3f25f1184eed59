"""What ``Http1Parser`` finds in what it is fed, and where in a message it stands."""

from __future__ import annotations

from enum import IntEnum


class Event(IntEnum):
    """What ``Http1Parser.next`` found."""

    NEED_DATA = 0
    HEAD = 1  # parser.request is new; the message ends here if it has no body
    DATA = 2  # parser.data is the next piece of the body
    END = 3  # the body is complete; parser.trailers


class State(IntEnum):
    """Where in a message the parser stands; drawn in ``http1_parser.pxd``."""

    REQUEST_LINE = 0
    FIELDS = 1
    LENGTH_BODY = 2
    CHUNK_SIZE = 3
    CHUNK_DATA = 4
    CHUNK_END = 5
    TRAILERS = 6
    FAILED = 7
