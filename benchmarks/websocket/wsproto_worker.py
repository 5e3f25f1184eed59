"""UvicornWorker with wsproto in place of websockets."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class WsprotoWorker(UvicornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**UvicornWorker.CONFIG_KWARGS, "ws": "wsproto"}
