"""Errors that the application sees: each comes out of ``await send(...)`` and says what was wrong."""

from __future__ import annotations


class ClientDisconnected(OSError):
    """The client has gone: nothing more can be sent (ASGI HTTP 2.4, WebSocket 2.4).

    An application may let it escape; the server takes it back and does not log it.
    """

    def __init__(self) -> None:
        super().__init__("The client has disconnected")


class EventError(RuntimeError):
    """The application sent an event that ASGI does not allow here, or not in this form."""


def is_disconnect(error: BaseException) -> bool:
    """Whether ``error`` is ``ClientDisconnected``, or an exception group of nothing else."""
    if isinstance(error, ClientDisconnected):
        return True
    members: tuple[BaseException, ...] | None = getattr(error, "exceptions", None)
    return bool(members) and isinstance(members, tuple) and all(is_disconnect(member) for member in members)


def came_of_disconnect(error: BaseException) -> bool:
    """Whether ``error`` was raised while ``ClientDisconnected`` was handled: frameworks give it a name of their own."""
    seen = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, ClientDisconnected):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False
