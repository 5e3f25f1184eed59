"""What reader and writer of WebSocket frames share: opcodes, close codes, the bits of a header (RFC 6455)."""

from __future__ import annotations

from enum import IntEnum


class Opcode(IntEnum):
    """RFC 6455 section 11.8."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """RFC 6455 section 7.4.1 and the IANA registry; 3000 to 4999 belong to frameworks and applications."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005  # never on the wire: a close frame without a code
    ABNORMAL = 1006  # never on the wire: the connection was lost
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


class FrameError(Exception):
    """The peer broke the protocol, or a limit: close with ``code``.

    ``code``: int, a close code that may be sent. ``reason``: str, one clause for people; it fits a close
    frame.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def is_close_code(code: int) -> bool:
    """Whether ``code`` may stand in a close frame (RFC 6455 section 7.4, IANA registry)."""
    if code < 1000 or code > 1014:
        return 3000 <= code <= 4999
    # 1004 has no meaning; 1005 and 1006 say what was not received.
    return not 1004 <= code <= 1006


#: The first byte of a frame; the four low bits are its opcode.
FIN, RSV1 = 0x80, 0x40
#: The second: whether it is masked, and a length, or one of those that say that two or eight bytes of length follow.
MASKED, LENGTH_16, LENGTH_64 = 0x80, 126, 127

#: Payload of a control frame, and of a close frame beside its code (RFC 6455 section 5.5).
MOST_CONTROL = 125
MOST_REASON = 123
