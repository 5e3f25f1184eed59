"""What a server answers to a payload: its responses in order, and how the connection ended."""

from __future__ import annotations

from tests.conformance.http1.payloads import LAST, Payload
from tests.support.raw import NoResponse, RawClient, ResponseError, Truncated
from tests.support.server import GunicornServer

APP = "tests.conformance.http1.app:app"
#: Responses to one payload are never more than these.
_MOST = 4


def answer(server: GunicornServer, payload: Payload, seconds: float) -> str:
    """Send ``payload`` and ``LAST``; return the responses, "; " between: a status, or the content where it is 200."""
    responses: list[str] = []
    with server.connect(timeout=seconds) as client:
        client.send_until_refused(payload.sent + LAST)
        try:
            while len(responses) < _MOST:
                responses.append(_next(client))
        except NoResponse:
            pass
        except Truncated:
            responses.append("cut off")
        except ResponseError:
            responses.append("malformed")
        except TimeoutError:
            responses.append("waits")
        except ConnectionResetError:
            responses.append("reset")
    return "; ".join(responses) or "closed"


def _next(client: RawClient) -> str:
    response = client.read_response()
    if response.header("set-cookie"):
        return "injected"
    return response.body.decode("latin-1") if response.status == 200 else str(response.status)
