"""What the command line named, before anything is served: an ASGI 3 or ASGI 2 application, or something else.

A callable is judged once, by what it can be called with, never by trying. Whatever cannot be told is taken for ASGI 3,
so that no application is refused for being made in an unusual way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any

_App = Callable[..., Any]


class Interface(Enum):
    """How an application wants to be called."""

    ASGI3 = "await app(scope, receive, send)"
    ASGI2 = "await app(scope)(receive, send)"
    WSGI = "app(environ, start_response)"
    FACTORY = "app()"
    NONE = ""


class NoAsgiApplication(TypeError):
    """What was given cannot serve ASGI; the message is one line that says what it is and what to do."""


class DoubleCallable:
    """An ASGI 2 application, callable as ASGI 3."""

    __slots__ = ("_app",)

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["asgi"]["version"] = "2.0"
        await self._app(scope)(receive, send)


def servable(app: _App, name: str) -> _App:
    """Return ``app`` as an ASGI 3 application. ``name``: as the command line has it. Raises NoAsgiApplication."""
    interface = interface_of(app)
    if interface is Interface.ASGI3:
        return app
    if interface is Interface.ASGI2:
        return DoubleCallable(app)
    raise NoAsgiApplication(f"{name!r} {_TROUBLES[interface].format(kind=_kind(app), name=name)}")


_TROUBLES = {
    Interface.WSGI: (
        "is a WSGI application ({kind}), and this worker class serves ASGI: "
        "name an ASGI application, or use Gunicorn's worker class 'gthread' or 'sync'"
    ),
    Interface.FACTORY: (
        "is no ASGI application ({kind}): it is called without arguments. "
        "If it makes the application, name it as '{name}()'"
    ),
    Interface.NONE: "is no ASGI application ({kind}): it cannot be called with (scope, receive, send)",
}


def _kind(app: Any) -> str:
    kind = app if inspect.isclass(app) or inspect.isroutine(app) else type(app)
    return f"{kind.__module__}.{kind.__qualname__}"


def interface_of(app: Any) -> Interface:
    """Tell how ``app`` is to be called: from its marks (asgiref's), else from its signature, else ASGI 3."""
    if getattr(app, "_asgi_single_callable", False):
        return Interface.ASGI3
    if getattr(app, "_asgi_double_callable", False):
        return Interface.ASGI2
    for layer in _layers(app):
        signature = _signature(layer)
        if signature is None:
            break
        interface = _by_signature(signature, layer)
        if interface is not None:
            return interface
        if _is_asynchronous(layer):
            break
    return Interface.ASGI3


def _layers(app: Any) -> list[Any]:
    """``app``, and what it wraps (``functools.wraps``), from the outside in: the outermost to have a say is right."""
    layers = [app]
    while len(layers) < _MOST_LAYERS and (inner := getattr(layers[-1], "__wrapped__", None)) is not None:
        layers.append(inner)
    return layers


#: An object that has every attribute one asks for has no innermost layer.
_MOST_LAYERS = 32


def _signature(app: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(app, follow_wrapped=False)
    except (TypeError, ValueError):  # a callable of C that does not tell
        return None


def _by_signature(signature: inspect.Signature, app: Any) -> Interface | None:
    """None: it takes anything, and says nothing by that."""
    names = [one.name for one in signature.parameters.values() if one.kind in _POSITIONAL]
    if names[1:2] == ["start_response"]:
        return Interface.WSGI
    takes = [count for count in range(4) if _accepts(signature, count)]
    if takes == [0, 1, 2, 3] or any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values()):
        return None
    if 3 in takes:
        return Interface.ASGI3
    if _is_asynchronous(app):
        return Interface.NONE
    if takes == [0] or (0 in takes and not inspect.isclass(app)):
        return Interface.FACTORY
    if 1 in takes:
        return Interface.ASGI2
    return Interface.WSGI if takes == [2] else Interface.NONE


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _accepts(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_asynchronous(app: Any) -> bool:
    if inspect.isclass(app):
        return False  # it is called to make an instance, whatever that does when it is called
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(app.__call__)
