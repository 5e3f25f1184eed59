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
    members = _members(error)
    return all(map(is_disconnect, members)) if members else isinstance(error, ClientDisconnected)


def came_of_disconnect(error: BaseException) -> bool:
    """Whether ``error`` was raised while ``ClientDisconnected`` was handled: frameworks give it a name of their own.

    A group is, where each member is.
    """
    members = _members(error)
    if members:
        return all(map(came_of_disconnect, members))
    seen = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if is_disconnect(cause):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False


def hands_on_disconnect(error: BaseException) -> bool:
    """Whether ``error`` is how a framework hands on an http.disconnect that it got from ``receive``.

    Told by where it was raised: in a function that holds the event. Python's own exceptions do not count, for they are
    what a mistake in that function raises. A group does, where each member does.
    """
    members = _members(error)
    if members:
        return all(is_disconnect(member) or hands_on_disconnect(member) for member in members)
    trace = error.__traceback__
    if trace is None or (type(error).__module__ == "builtins" and not isinstance(error, ConnectionError)):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    held = trace.tb_frame.f_locals.values()
    return any(type(value) is dict and value.get("type") == "http.disconnect" for value in held)


def set_reported(error: BaseException) -> None:
    """Note on ``error``, and on the members of a group, that it stands in the log. No other place goes with it."""
    BaseException.__setattr__(error, _REPORTED, True)
    for member in _members(error):
        set_reported(member)


def is_reported(error: BaseException) -> bool:
    return _REPORTED in vars(error)


_REPORTED = "_pronghorn_reported"


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """What an exception group holds: Python's own (3.11) or its backport's."""
    members = getattr(error, "exceptions", ())
    return members if isinstance(members, tuple) else ()
