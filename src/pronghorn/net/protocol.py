"""What a connection tells the protocol that is spoken on it. Knows nothing of sockets or of HTTP."""

from __future__ import annotations

from pronghorn.asgi.stream import Exchange
from pronghorn.wire.errors import ProtocolError


class Protocol:
    """What speaks on a connection. Implemented in ``net/http1``."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The peer sends no more; return whether the socket stays open for what we still have to send."""
        raise NotImplementedError

    def connection_lost(self) -> None:
        raise NotImplementedError

    def resume_writing(self) -> None:
        raise NotImplementedError

    def take_turn(self) -> None:
        """The turn that was asked for. What is to be written is held back until ``flush``."""
        raise NotImplementedError

    def flush(self) -> None:
        """The others have taken their turns: write."""
        raise NotImplementedError

    def on_deadline(self, now: float) -> None:
        raise NotImplementedError

    def last_call(self) -> float:
        """A deadline that holds whatever the peer does, 0 for none."""
        return 0.0

    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests under way, for diagnostics. May be called from another thread."""
        return ()

    def close_if_idle(self) -> bool:
        """Close where the peer waits for nothing and has begun nothing, losing no request; whether it is closed."""
        return False

    def refuse(self, error: ProtocolError) -> None:
        """Answer ``error`` in place of whatever the peer asks, and close."""
        raise NotImplementedError

    def drain(self) -> None:
        """Finish what is under way and close; nothing new but what the peer has already sent."""
        raise NotImplementedError

    def wind_up(self) -> None:
        """The time for draining is almost over: tell what has no end of its own."""
        raise NotImplementedError

    def terminate(self) -> None:
        """The time for draining is over: cancel what is under way."""
        raise NotImplementedError
