"""Calls whatever an application can reach, with whatever it can make; run by ``test_signals.py``.

Usage: prods.py WHAT, one of the functions at the end. Prints each call before it is made, so that the last line names
the one that ended the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import inspect
import pkgutil
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pronghorn
from tests.asgi.apps import Receive, Scope, Send, body, start
from tests.asgi.chat import OverTheWaist as ChatOverTheWaist
from tests.asgi.doubles import settle
from tests.asgi.support import OverTheWaist
from tests.net.support import GET, Wire
from tests.support.frames import TEXT, sent

#: Calls of each callable with arguments chosen by chance, beside those with nothing and with None.
TRIES = 6
MOST_ARGUMENTS = 6
#: Seconds after which a process hangs.
HANGS = 100.0
#: What makes no sense to call in a process that goes on.
LEFT_OUT = frozenset(("__class__", "__reduce_cython__", "__subclasshook__", "__init_subclass__"))


class Odd(dict[Any, Any]):
    """Every question to it fails, in one way or another."""

    def get(self, *arguments: Any) -> Any:
        raise KeyError("odd")

    def __getitem__(self, key: Any) -> Any:
        return self


class OddBytes(bytes):
    def __len__(self) -> int:
        return 1 << 40

    def __bytes__(self) -> bytes:
        raise ValueError("odd")


class OddInt(int):
    def __index__(self) -> int:
        return -5

    def __int__(self) -> int:
        return 1 << 70


class OddStr(str):
    def encode(self, *arguments: Any) -> Any:
        return None


POOL: list[Any] = [
    None, 0, 1, -1, 1 << 70, OddInt(200), 1.5, float("nan"), True, b"", b"x" * 300, OddBytes(b"abc"), "", "text",
    OddStr("odd"), (), (b"a", b"b"), [], [(b"a", b"b")], [None], [(None, None)], {}, {"type": "http.response.start"},
    Odd(), bytearray(b"abc"), memoryview(b"abc"), object(), int, ValueError("x"), print, iter([1]),
]  # fmt: skip


def modules() -> Iterator[Any]:
    for module in pkgutil.walk_packages(pronghorn.__path__, "pronghorn."):
        if not module.name.endswith("__main__"):
            yield importlib.import_module(module.name)


def is_ours(kind: Any) -> bool:
    """Whether a class may be compiled; of those that are not, no method can do more than raise."""
    name = str(getattr(kind, "__module__", ""))
    return inspect.isclass(kind) and name.startswith(("pronghorn.asgi.", "pronghorn.net.", "pronghorn.wire."))


def classes() -> list[Any]:
    return list({one: None for module in modules() for one in vars(module).values() if is_ours(one)})


def prod(name: str, act: Callable[[], Any]) -> None:
    print(name, flush=True)
    try:
        result = act()
        if inspect.iscoroutine(result):
            result.close()
    except BaseException as error:  # all that is asked is that there is one
        del error


def prod_object(one: Any, name: str, chance: random.Random, pool: list[Any]) -> None:
    """Read, write and call all that is to be seen of ``one``."""
    for attribute in sorted(set(dir(one)) - LEFT_OUT):
        where = f"{name}.{attribute}"
        prod(f"read {where}", lambda attribute=attribute: getattr(one, attribute))  # type: ignore[misc]
        try:
            method = getattr(one, attribute)
        except BaseException:
            continue
        if not callable(method):
            value = chance.choice(pool)
            prod(f"write {where}", lambda a=attribute, v=value: setattr(one, a, v))  # type: ignore[misc]
            prod(f"write None to {where}", lambda a=attribute: setattr(one, a, None))  # type: ignore[misc]
            prod(f"delete {where}", lambda a=attribute: delattr(one, a))  # type: ignore[misc]
            continue
        prod_call(method, where, chance, pool)


def prod_call(method: Any, name: str, chance: random.Random, pool: list[Any]) -> None:
    for count in range(MOST_ARGUMENTS + 1):
        prod(f"call {name} with {count} times None", lambda n=count: method(*[None] * n))  # type: ignore[misc]
    for _ in range(TRIES):
        arguments = [chance.choice(pool) for _ in range(chance.randint(1, MOST_ARGUMENTS))]
        prod(f"call {name}{[type(one).__name__ for one in arguments]}", lambda a=arguments: method(*a))  # type: ignore[misc]


# -- what is prodded ------------------------------------------------------------------------------------------------


async def blank() -> None:
    """Objects that were never initialised, and each other as arguments."""
    chance = random.Random(1)
    kinds = classes()
    blanks = [one for kind in kinds if (one := _blank(kind)) is not None]
    for kind in kinds:
        for _ in range(2):
            one = _blank(kind)
            if one is not None:
                prod_object(one, f"blank {kind.__qualname__}", chance, POOL + blanks)


def _blank(kind: Any) -> Any:
    try:
        return kind.__new__(kind)
    except Exception:  # one that is never made so
        return None


async def functions() -> None:
    """Functions of modules, and classes as they are called."""
    chance = random.Random(2)
    blanks = [one for kind in classes() if (one := _blank(kind)) is not None]
    for module in modules():
        if not is_ours(type("", (), {"__module__": module.__name__})):
            continue
        for name, value in list(vars(module).items()):
            if callable(value) and str(getattr(value, "__module__", "")).startswith("pronghorn"):
                prod_call(value, f"{module.__name__}.{name}", chance, POOL + blanks)


async def http() -> None:
    """What hangs on ``send``, and ``send`` itself, in each state of a request."""
    for seed in range(4):
        chance = random.Random(seed)

        async def app(scope: Scope, receive: Receive, send: Send, seed: int = seed, chance: Any = chance) -> None:
            for event in [start(), body(b"x", True), body()][: seed % 4]:
                await send(event)
            for one in _reachable(send, receive):
                prod_object(one, f"{type(one).__qualname__} {seed}", chance, [*POOL, *_reachable(send, receive)])
            for event in _events(chance):
                prod(f"send {event!r:.80}", lambda event=event: send(event).send(None))  # type: ignore[misc,attr-defined]
            await asyncio.sleep(0)

        talk = OverTheWaist(app, "POST", body=b"abc", eager=False, log=Silent())
        await settle(5)
        prod("the end", talk.leave)
        wire = Wire(app, log=Silent())
        prod("a connection", lambda wire=wire: wire.send(GET % b"/" + GET % b"/"))  # type: ignore[misc]
        prod("a turn", wire.take_turn)
        await settle(5)
        prod("its loss", wire.lose)


async def websocket() -> None:
    for seed in range(4):
        chance = random.Random(seed)

        async def app(scope: Scope, receive: Receive, send: Send, seed: int = seed, chance: Any = chance) -> None:
            if seed:
                await send({"type": "websocket.accept"})
            for one in _reachable(send, receive):
                prod_object(one, f"{type(one).__qualname__} {seed}", chance, [*POOL, *_reachable(send, receive)])
            for event in _events(chance):
                prod(f"send {event!r:.80}", lambda event=event: send(event).send(None))  # type: ignore[misc,attr-defined]

        talk = ChatOverTheWaist(app, log=Silent(), options={"compression": bool(seed % 2)})
        await settle(5)
        prod("frames", lambda talk=talk: talk.send(sent(TEXT, b"a"), sent(TEXT, b"b")))  # type: ignore[misc]
        await settle(5)
        prod("the end", talk.lose)


def _reachable(send: Any, receive: Any) -> list[Any]:
    exchange = send.__self__
    found = [exchange, receive.__self__, send({}), receive()]
    for name in ("stream", "request", "response", "endpoint"):
        found += [getattr(exchange, name, None)]
    return [one for one in found if one is not None]


def _events(chance: random.Random) -> Iterator[Any]:
    names = [f"http.response.{end}" for end in ("start", "body", "trailers", "early_hint", "pathsend", "zerocopysend")]
    names += [f"websocket.{end}" for end in ("accept", "send", "close", "http.response.start", "http.response.body")]
    keys = ["status", "headers", "body", "more_body", "links", "path", "file", "text", "bytes", "code", "reason"]
    keys += ["subprotocol", "count", "offset", "trailers", "more_trailers"]
    for _ in range(300):
        event = {key: chance.choice(POOL) for key in chance.sample(keys, chance.randint(0, 6))}
        yield {"type": chance.choice(names), **event}
    yield from POOL


class Silent:
    def debug(self, *arguments: object, **keywords: object) -> None:
        pass

    info = warning = error = exception = critical = debug


if __name__ == "__main__":
    faulthandler.enable()
    faulthandler.dump_traceback_later(HANGS, exit=True)
    asyncio.run({"blank": blank, "functions": functions, "http": http, "websocket": websocket}[sys.argv[1]]())
    print("done", flush=True)
