"""What is set but does nothing, said once at start: settings no ASGI worker has a use for, and misspelt options."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

_HTTP2 = "HTTP/2 is not served"
#: Gunicorn's settings that have no effect here, and why. ``threads`` and others of use to nobody who serves ASGI.
WITHOUT_EFFECT = {
    "threads": "an ASGI worker runs one event loop",
    "tmp_upload_dir": "content is never written to a file",
    "ssl_version": "the ssl_context hook can choose versions of TLS",
    "do_handshake_on_connect": "handshakes block nobody",
    "suppress_ragged_eofs": "a connection that ends without TLS's goodbye is an ended connection",
    "uwsgi_allow_ips": "the uWSGI protocol is not spoken",
    "http_parser": "Pronghorn has a parser of its own",
    "http_protocols": f"{_HTTP2}, HTTP/1.1 is",
    "http2_cleartext": _HTTP2,
    "http2_max_concurrent_streams": _HTTP2,
    "http2_initial_window_size": _HTTP2,
    "http2_max_frame_size": _HTTP2,
    "http2_max_header_list_size": _HTTP2,
}

#: The first release of uvloop in which a cancelled connection attempt cannot close another socket's descriptor.
_SOUND_UVLOOP = (0, 23)

_PREFIX = "PRONGHORN_"
#: Switches of the build, which may be left over in the environment of a server.
_OF_THE_BUILD = ("PRONGHORN_PURE", "PRONGHORN_REQUIRE_COMPILED", "PRONGHORN_SANITIZE")
#: What Kubernetes puts into every container where a service is called "pronghorn" or "pronghorn-something".
_OF_KUBERNETES = re.compile(r"PRONGHORN(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


def notices(settings: dict[str, Any], environ: Iterable[str], variables: Collection[str]) -> Iterator[str]:
    """One line for each thing.

    ``settings``: Gunicorn's, by name, as ``Config.settings`` has them · ``environ``: names in the environment ·
    ``variables``: those of them that would be options.
    """
    for name, reason in WITHOUT_EFFECT.items():
        setting = settings.get(name)  # absent in older Gunicorns
        if setting is not None and setting.get() != type(setting)().get():
            yield f"Setting {name}={setting.get()!r} has no effect: {reason}"
    proc_name = settings["proc_name"].get()
    if proc_name and importlib.util.find_spec("setproctitle") is None:
        yield f"Setting proc_name={proc_name!r} has no effect: the package setproctitle is not installed"
    for variable in sorted(environ):
        if (
            variable.startswith(_PREFIX)
            and variable not in variables
            and variable not in _OF_THE_BUILD
            and not _OF_KUBERNETES.fullmatch(variable)
        ):
            names = [name.removeprefix(_PREFIX) for name in variables]
            similar = difflib.get_close_matches(variable.removeprefix(_PREFIX).upper(), names, 1)
            yield f"Variable {variable} is not known" + (f"; did you mean {_PREFIX}{similar[0]}?" if similar else "")


def outdated_uvloop(loop: str) -> str:
    """One line where the event loop will be a uvloop with a fault that can be noticed, else "".

    ``loop``: "auto", "uvloop" or "asyncio".
    """
    if loop == "asyncio":
        return ""
    try:
        version = importlib.metadata.version("uvloop")
    except importlib.metadata.PackageNotFoundError:
        return ""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers >= _SOUND_UVLOOP:
        return ""
    return (
        f"uvloop {version} can send a response to the wrong client after the application cancelled an outgoing "
        "connection (uvloop#645): upgrade to uvloop 0.23, or set PRONGHORN_LOOP=asyncio"
    )
