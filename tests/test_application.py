"""``application.py``: which callables are ASGI 3, ASGI 2 and neither. No application of a real framework is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from pronghorn.application import Interface, NoAsgiApplication, interface_of, servable
from tests.asgi.doubles import in_loop


async def asgi3(scope: Any, receive: Any, send: Any) -> None:
    """The common shape."""


def returns_awaitable(scope: Any, receive: Any, send: Any) -> Any:
    return asgi3(scope, receive, send)


async def any_arguments(*args: Any) -> None:
    """What a decorator without ``wraps`` leaves."""


def any_arguments_and_no_coroutine(*args: Any, **kwargs: Any) -> Any:
    return asgi3(*args, **kwargs)


async def with_more(scope: Any, receive: Any, send: Any, *, more: int = 1) -> None:
    """Keyword arguments are the application's own."""


async def with_defaults(scope: Any, receive: Any = None, send: Any = None) -> None:
    """As some hand-written middleware."""


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Starlette, Quart, Litestar, BlackSheep, Falcon."""

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        """A bound method."""

    @staticmethod
    async def static(scope: Any, receive: Any, send: Any) -> None:
        """A static method."""

    @classmethod
    async def of_class(cls, scope: Any, receive: Any, send: Any) -> None:
        """A class method."""


class Endpoint:
    """Starlette's class endpoints: made with all three, then awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    def __await__(self) -> Any:
        yield


class HasEverything:
    """A proxy (werkzeug's, a mock) has every attribute one asks for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_asgi"):
            raise AttributeError(name)
        return HasEverything()

    def __call__(self, *args: Any) -> Any:
        return asgi3(*args)


def decorated(app: Callable[..., Any], signature_of: Callable[..., Any]) -> Any:
    @functools.wraps(signature_of)
    async def wrapper(*args: Any) -> Any:
        return await app(*args)

    return wrapper


def wsgi(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b""]


def wsgi_with_exc_info(environ: Any, start_response: Any, exc_info: Any = None) -> Any:
    return wsgi(environ, start_response)


class WsgiInstance:
    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Flask, Django, Bottle, Pyramid."""


class WsgiClass:
    """PEP 3333's own example: made per request, then iterated."""

    def __init__(self, environ: Any, start: Any) -> None:
        pass

    def __iter__(self) -> Any:
        yield b""


def wrapped_wsgi() -> Any:
    @functools.wraps(wsgi)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return wsgi(*args, **kwargs)

    return wrapper


def asgi2(scope: Any) -> Any:
    async def instance(receive: Any, send: Any) -> None:
        await send((scope, await receive()))

    return instance


class Asgi2Class:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send((self.scope, await receive()))


class Asgi2WithDefaults(Asgi2Class):
    def __init__(self, scope: Any = None, **options: Any) -> None:
        super().__init__(scope)


def marked(**marks: bool) -> Any:
    def app(*args: Any) -> Any:
        return None

    vars(app).update(marks)
    return app


def factory() -> Any:
    return asgi3


def factory_with_options(debug: bool = False) -> Any:
    return asgi3


ASGI3 = {
    "function": asgi3,
    "no coroutine function": returns_awaitable,
    "any arguments": any_arguments,
    "any arguments, no coroutine function": any_arguments_and_no_coroutine,
    "keyword arguments": with_more,
    "defaults": with_defaults,
    "instance": Instance(),
    "bound method": Instance().method,
    "static method": Instance.static,
    "class method": Instance.of_class,
    "class": Endpoint,
    "partial": functools.partial(with_more, more=2),
    "partial of an instance": functools.partial(Instance()),
    "partial with arguments": functools.partial(lambda config, scope, receive, send: None, {}),
    "lambda": lambda scope, receive, send: asgi3(scope, receive, send),
    "other names": lambda a, b, c: None,
    "decorated": decorated(asgi3, asgi3),
    "an adapter that keeps the name of its WSGI application": decorated(asgi3, wsgi),
    "an adapter that keeps the name of its ASGI 2 application": decorated(asgi3, asgi2),
    "a callable of C": print,
    "a callable of C without a signature": dict,
    "has every attribute": HasEverything(),
    "marked": marked(_asgi_single_callable=True),
}
ASGI2 = {
    "function": asgi2,
    "class": Asgi2Class,
    "class with defaults": Asgi2WithDefaults,
    "partial": functools.partial(lambda config, scope: asgi2(scope), {}),
    "marked": marked(_asgi_double_callable=True),
}
OTHER = {
    "WSGI function": (wsgi, Interface.WSGI),
    "WSGI function with exc_info": (wsgi_with_exc_info, Interface.WSGI),
    "WSGI instance": (WsgiInstance(), Interface.WSGI),
    "WSGI class": (WsgiClass, Interface.WSGI),
    "decorated WSGI function": (wrapped_wsgi(), Interface.WSGI),
    "WSGI partial": (functools.partial(lambda config, environ, start: None, {}), Interface.WSGI),
    "factory": (factory, Interface.FACTORY),
    "factory with options": (factory_with_options, Interface.FACTORY),
    "class instead of an instance": (Instance, Interface.FACTORY),
    "too many arguments": (lambda a, b, c, d: None, Interface.NONE),
    "half of an ASGI 2 application": (asgi2({}), Interface.NONE),
}


@pytest.mark.parametrize("app", ASGI3.values(), ids=ASGI3)
def test_asgi3(app: Any) -> None:
    assert interface_of(app) is Interface.ASGI3
    assert servable(app, "main:app") is app


@pytest.mark.parametrize("app", ASGI2.values(), ids=ASGI2)
def test_asgi2(app: Any) -> None:
    assert interface_of(app) is Interface.ASGI2


@pytest.mark.parametrize(("app", "interface"), OTHER.values(), ids=OTHER)
def test_neither(app: Any, interface: Interface) -> None:
    assert interface_of(app) is interface
    with pytest.raises(NoAsgiApplication, match=r"^'main:app' is [^\n]*$"):
        servable(app, "main:app")


@pytest.mark.parametrize("app", [asgi2, Asgi2Class])
@in_loop
async def test_asgi2_is_called_in_two_steps(app: Any) -> None:
    sent: list[Any] = []

    async def receive() -> str:
        return "event"

    async def send(message: Any) -> None:
        sent.append(message)

    await servable(app, "main:app")({"type": "http", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == [({"type": "http", "asgi": {"version": "2.0"}}, "event")]


def test_what_is_said_of_a_wsgi_application() -> None:
    with pytest.raises(NoAsgiApplication) as caught:
        servable(WsgiInstance(), "main:app")
    kind = f"{__name__}.WsgiInstance"
    assert str(caught.value) == (
        f"'main:app' is a WSGI application ({kind}), and this worker class serves ASGI: "
        "name an ASGI application, or use Gunicorn's worker class 'gthread' or 'sync'"
    )


def test_what_is_said_of_a_factory() -> None:
    with pytest.raises(NoAsgiApplication, match=r"name it as 'main:make\(\)'$"):
        servable(factory, "main:make")
