"""The loggers ``uvicorn.error`` and ``uvicorn.access``, to which applications write that were made for UvicornWorker.

They lead where it leads them: to the handlers of Gunicorn's error and access log. Who configured them is not overruled.
"""

from __future__ import annotations

import logging
from typing import Any

_PARENT = "uvicorn"
#: A logger of uvicorn's, and the attribute of Gunicorn's logger that it follows.
_FOLLOWED = {"uvicorn.error": "error_log", "uvicorn.access": "access_log"}


def lead_to(log: Any) -> None:
    """Lead uvicorn's loggers to where ``log``, any ``logger_class``, writes. Call it before the application is read."""
    if _is_configured(_PARENT):
        return
    for name, attribute in _FOLLOWED.items():
        followed = getattr(log, attribute, None)
        if isinstance(followed, logging.Logger) and not _is_configured(name):
            logger = logging.getLogger(name)
            # A list of its own: an application that configures the logger later takes its handlers off one by one.
            logger.handlers = list(followed.handlers)
            logger.setLevel(followed.level)
            logger.propagate = False


def _is_configured(name: str) -> bool:
    logger = logging.root.manager.loggerDict.get(name)
    return isinstance(logger, logging.Logger) and bool(
        logger.handlers or logger.level or logger.filters or logger.disabled or not logger.propagate
    )
