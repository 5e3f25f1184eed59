"""HTTP/1.1 and 1.0 as a client sees them: framing, connections, interim responses, failing applications."""

from __future__ import annotations

import re

import pytest

from tests.support.raw import NoResponse, RawClient, Truncated, chunked, request_bytes
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

SETTINGS = {"keepalive": 30}


class TestOneRequest:
    def test_get(self, server: GunicornServer) -> None:
        with server.connect() as client:
            response = client.request("GET", "/")
            assert (response.version, response.status, response.reason) == ("1.1", 200, "OK")
            assert response.header("content-length") == "13"
            assert response.header("content-type") == "text/plain"
            assert response.framing == "length"
            assert response.body == b"Hello, world!"
            client.assert_silent()

    def test_date(self, server: GunicornServer) -> None:
        """RFC 9110 6.6.1: an origin server with a clock sends Date."""
        date = server.get("/").header("date")
        assert date is not None
        assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)

    def test_head_keeps_the_length_and_sends_no_body(self, server: GunicornServer) -> None:
        with server.connect() as client:
            response = client.request("HEAD", "/")
            assert response.status == 200
            assert response.header("content-length") == "13"
            assert client.request("GET", "/").body == b"Hello, world!"

    def test_head_of_a_stream(self, server: GunicornServer) -> None:
        with server.connect() as client:
            assert client.request("HEAD", "/stream?count=5").status == 200
            assert client.request("GET", "/").body == b"Hello, world!"

    @pytest.mark.parametrize("size", [0, 1, 1000, 65536, 3_000_000])
    def test_post(self, server: GunicornServer, size: int) -> None:
        body = bytes(range(256)) * (size // 256) + b"y" * (size % 256)
        with server.connect() as client:
            assert client.request("POST", "/echo", body=body).body == body
            assert client.request("GET", "/").status == 200

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "GET"])
    def test_any_method_can_carry_a_body(self, server: GunicornServer, method: str) -> None:
        with server.connect() as client:
            assert client.request(method, "/echo", body=b"some content").body == b"some content"

    def test_scope(self, server: GunicornServer) -> None:
        with server.connect() as client:
            scope = client.request(
                "GET",
                "/scope/a%20b%2Fc/%C3%A9?x=1&y=%20z",
                "X-One: 1",
                "X-Two: a",
                "x-ONE: 2",
                "X-Empty:",
                host="example.org:81",
            ).json()
            assert scope["type"] == "http"
            assert scope["asgi"]["version"] == "3.0"
            assert scope["http_version"] == "1.1"
            assert scope["method"] == "GET"
            assert scope["scheme"] == "http"
            assert scope["path"] == "/scope/a b/c/é"
            assert scope["raw_path"] == "/scope/a%20b%2Fc/%C3%A9"
            assert scope["query_string"] == "x=1&y=%20z"
            assert scope["root_path"] == ""
            assert scope["headers_are_bytes"] is True
            assert scope["headers"] == [
                ["host", "example.org:81"],
                ["x-one", "1"],
                ["x-two", "a"],
                ["x-one", "2"],
                ["x-empty", ""],
            ]
            assert scope["client"] == ["127.0.0.1", client.port]
            assert scope["server"] == list(server.address)

    def test_absolute_form(self, server: GunicornServer) -> None:
        """RFC 9112 3.2.2: the target's authority replaces the Host field."""
        with server.connect() as client:
            scope = client.request("GET", "http://example.net:8080/scope?a=b", host="ignored").json()
            assert (scope["path"], scope["query_string"]) == ("/scope", "a=b")
            assert [value for name, value in scope["headers"] if name == "host"] == ["example.net:8080"]

    def test_many_small_segments(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send_slowly(request_bytes("POST", "/echo", "X-Field: value", body=b"one byte at a time"))
            assert client.read_response().body == b"one byte at a time"

    def test_response_fields(self, server: GunicornServer) -> None:
        response = server.get("/fields")
        assert response.all("set-cookie") == ["a=1", "b=2"]
        assert response.header("x-latin") == "été"
        assert response.header("x-empty") == ""
        assert response.body == b"ok"

    def test_transfer_encoding_is_the_servers(self, server: GunicornServer) -> None:
        """ASGI: one that the application sends is ignored."""
        response = server.get("/own-coding")
        assert response.header("transfer-encoding") is None
        assert response.body == b"ok"

    def test_unknown_path(self, server: GunicornServer) -> None:
        response = server.get("/nothing/here")
        assert (response.status, response.reason) == (404, "Not Found")

    def test_a_status_without_a_registered_reason(self, server: GunicornServer) -> None:
        assert server.get("/status?code=599&length=0").status == 599


class TestBodies:
    def test_chunked_request(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(
                request_bytes("PUT", "/echo", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
                + chunked(b"first,", b"second,", b"x" * 70_000)
            )
            assert client.read_response().body == b"first,second," + b"x" * 70_000
            assert client.request("GET", "/").status == 200

    def test_chunk_extensions_and_trailers(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(
                b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"4;name=value\r\nfour\r\n0\r\nX-Checksum: 1\r\n\r\n"
            )
            assert client.read_response().body == b"four"
            assert client.request("GET", "/").status == 200

    def test_chunks_in_single_bytes(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send_slowly(
                b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"defgh")
            )
            assert client.read_response().body == b"abcdefgh"

    def test_stream_is_chunked(self, server: GunicornServer) -> None:
        with server.connect() as client:
            response = client.request("GET", "/stream?count=3")
            assert response.framing == "chunked"
            assert response.body == b"line 0\nline 1\nline 2\n"
            assert client.request("GET", "/").status == 200

    def test_a_part_is_sent_before_the_next_exists(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("GET", "/two-parts?gate=parts"))
            assert client.read_until(b"first ").startswith(b"HTTP/1.1 200 OK\r\n")
            (server.directory / "parts").touch()
            assert b"second" in client.read_until(b"second")
            assert client.read_bytes(7) == b"\r\n0\r\n\r\n"

    def test_both_directions_at_once(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"POST /duplex HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
            client.read_until(b"ping")
            client.send(b"4\r\npong\r\n")
            client.read_until(b"pong")
            client.send(b"0\r\n\r\n")
            client.read_until(b"0\r\n\r\n")
            assert client.request("GET", "/").status == 200

    def test_large_response_to_a_slow_reader(self, server: GunicornServer) -> None:
        with server.connect(receive_buffer=4096) as client:
            client.send(request_bytes("GET", "/big?size=5000000"))
            wait_until(lambda: server.get("/").status == 200, message="another request while this one waits")
            assert client.read_response().body == b"x" * 5_000_000

    @pytest.mark.parametrize(
        "target",
        [
            "/status?code=204",
            "/status?code=204&body=1",
            "/status?code=304",
            "/status?code=304&body=1",
            "/status?code=304&length=6&body=1",
        ],
    )
    def test_no_body_on_204_and_304(self, server: GunicornServer, target: str) -> None:
        """RFC 9110 15.3.5, 15.4.5: what follows on the connection is the next response."""
        with server.connect() as client:
            client.send(request_bytes("GET", target) + request_bytes("GET", "/"))
            response = client.read_response()
            assert response.header("x-status") == str(response.status)
            assert client.read_response().body == b"Hello, world!"

    def test_an_unread_body_does_not_cost_the_answer(self, server: GunicornServer) -> None:
        """A close with unread bytes would reset the connection and could destroy the response on its way."""
        with server.connect() as client:
            client.send_until_refused(request_bytes("POST", "/unread", body=b"z" * 400_000))
            assert client.read_response().body == b"not read"

    def test_an_unread_small_body_leaves_the_connection_usable_or_closed(self, server: GunicornServer) -> None:
        with server.connect() as client:
            response = client.request("POST", "/unread", body=b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n")
            assert response.body == b"not read"
            if "close" in response.connection:
                client.assert_closed()
            else:
                assert client.request("GET", "/").body == b"Hello, world!"

    def test_send_waits_for_a_client_that_does_not_read(self, server: GunicornServer) -> None:
        """Backpressure acts in send(), or the worker's memory would take what the client does not."""
        with server.connect(receive_buffer=4096) as client:
            client.send(request_bytes("GET", "/flood?name=unread-flood"))
            client.read_until(b"\r\n\r\n")
            for _ in range(20):
                assert server.get("/").status == 200
            assert not any(line.startswith("unread-flood") for line in server.traced())
            client.reset()
        server.wait_trace("unread-flood: send raised OSError")


class TestConnections:
    def test_keep_alive(self, server: GunicornServer) -> None:
        with server.connect() as client:
            ports = {client.request("GET", "/scope").json()["client"][1] for _ in range(5)}
            assert ports == {client.port}

    def test_close_is_announced_and_done(self, server: GunicornServer) -> None:
        with server.connect() as client:
            response = client.request("GET", "/", "Connection: close")
            assert response.body == b"Hello, world!"
            assert "close" in response.connection
            client.assert_closed()

    def test_close_among_other_options(self, server: GunicornServer) -> None:
        with server.connect() as client:
            assert client.request("GET", "/", "Connection: TE, Close").status == 200
            client.assert_closed()

    def test_pipeline(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"".join(request_bytes("POST", "/echo", body=b"number %d" % number) for number in range(50)))
            assert [client.read_response().body for _ in range(50)] == [b"number %d" % n for n in range(50)]
            client.assert_silent()

    def test_pipeline_keeps_its_order_when_the_first_is_slow(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(
                request_bytes("GET", "/slow?seconds=0.2")
                + request_bytes("GET", "/")
                + request_bytes("HEAD", "/")
                + request_bytes("GET", "/stream?count=1")
            )
            assert client.read_response().text in map(str, server.worker_pids())
            assert client.read_response().body == b"Hello, world!"
            assert client.read_response("HEAD").body == b""
            assert client.read_response().body == b"line 0\n"

    def test_nothing_is_answered_after_a_close(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("GET", "/", "Connection: close") + request_bytes("GET", "/pid"))
            assert client.read_response().body == b"Hello, world!"
            client.assert_closed()

    def test_http_1_0_closes(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            response = client.read_response()
            assert response.body == b"Hello, world!"
            client.assert_closed()

    def test_http_1_0_scope(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"GET /scope HTTP/1.0\r\nHost: old\r\n\r\n")
            assert client.read_response().json()["http_version"] == "1.0"

    def test_http_1_0_keep_alive(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = client.read_response()
            assert response.body == b"Hello, world!"
            if "keep-alive" in response.connection:  # persistence with 1.0 is offered only when announced
                client.send(b"GET / HTTP/1.0\r\n\r\n")
                assert client.read_response().body == b"Hello, world!"
            client.assert_closed()

    def test_http_1_0_stream_ends_with_the_connection(self, server: GunicornServer) -> None:
        """RFC 9112 6.1: no Transfer-Encoding to a client that is not known to understand it."""
        with server.connect() as client:
            client.send(b"GET /stream?count=2 HTTP/1.0\r\n\r\n")
            response = client.read_response()
            assert response.framing == "close"
            assert response.body == b"line 0\nline 1\n"

    def test_half_closed_client_gets_its_answer(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("POST", "/echo", body=b"then no more"))
            client.half_close()
            assert client.read_response().body == b"then no more"
            client.assert_closed()

    def test_half_closed_client_gets_a_slow_answer(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("GET", "/slow?seconds=0.3"))
            client.half_close()
            assert client.read_response().status == 200

    def test_requests_of_two_connections_overlap(self, server: GunicornServer) -> None:
        with server.connect() as first, server.connect() as second:
            first.send(request_bytes("GET", "/gate?gate=overlap"))
            server.wait_trace("at overlap")
            assert second.request("GET", "/").status == 200
            (server.directory / "overlap").touch()
            assert first.read_response().status == 200

    def test_an_idle_client_that_never_sends(self, server: GunicornServer) -> None:
        with server.connect(), server.connect() as second:
            assert second.request("GET", "/").status == 200


class TestExpectContinue:
    def test_interim_response_when_the_body_is_wanted(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            assert client.read_informational().status == 100
            client.assert_silent()
            client.send(b"body")
            response = client.read_response()
            assert (response.status, response.body, response.informational) == (200, b"body", [])
            assert client.request("GET", "/").status == 200

    def test_no_interim_response_without_the_expectation(self, server: GunicornServer) -> None:
        with server.connect() as client:
            assert client.request("POST", "/echo", body=b"1").informational == []

    def test_final_response_without_the_body(self, server: GunicornServer) -> None:
        """RFC 9110 10.1.1: a final status instead of 100; the body that never came must not be waited for."""
        with server.connect() as client:
            client.send(b"POST /unread HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            response = client.read_response()
            assert (response.body, response.informational) == (b"not read", [])
            if "close" in response.connection:
                client.assert_closed()
            else:
                client.send(b"9 bytes..")
                assert client.request("GET", "/").status == 200

    def test_body_sent_without_waiting(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("POST", "/echo", "Expect: 100-continue", body=b"impatient"))
            assert client.read_response().body == b"impatient"
            assert client.request("GET", "/").status == 200

    def test_not_for_http_1_0(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nold")
            response = client.read_response()
            assert (response.body, response.informational) == (b"old", [])


class TestFaultsOfTheApplication:
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("/fail", "failed before the head"),
            ("/fail-after-head", "failed after the head"),  # the head is held until there is a body part
        ],
    )
    def test_exception_before_the_first_byte(self, server: GunicornServer, target: str, message: str) -> None:
        before = server.log().count(message)
        response = server.get(target)
        assert (response.status, response.reason) == (500, "Internal Server Error")
        assert message not in response.text
        server.wait_log(f"ValueError: {message}")
        assert server.log().count(message) == before + 2, "one traceback: the raising line and the message"

    def test_exception_inside_the_body(self, server: GunicornServer) -> None:
        """The client must be able to tell that this is not the whole body."""
        with server.connect() as client:
            client.send(request_bytes("GET", "/fail-after-part"))
            with pytest.raises(Truncated) as cut:
                client.read_response()
            assert cut.value.head is not None
            assert cut.value.head.framing == "chunked"
        server.wait_log("ValueError: failed after a part")

    @pytest.mark.parametrize("target", ["/no-response", "/head-only"])
    def test_return_without_a_response(self, server: GunicornServer, target: str) -> None:
        assert server.get(target).status == 500

    @pytest.mark.parametrize("target", ["/unfinished", "/too-short"])
    def test_return_in_the_middle_of_the_body(self, server: GunicornServer, target: str) -> None:
        with server.connect() as client:
            client.send(request_bytes("GET", target))
            try:
                assert client.read_response().status == 500  # nothing of it had been sent
            except Truncated:
                pass

    def test_more_body_than_announced(self, server: GunicornServer) -> None:
        """Bytes beyond Content-Length would be read as the next response."""
        with server.connect() as client:
            client.send(request_bytes("GET", "/too-long"))
            try:
                response = client.read_response()
            except (NoResponse, Truncated):
                return
            assert (response.status, response.body) in ((200, b"1234"), (500, response.body))
            if "close" in response.connection:
                client.assert_closed()
            else:
                assert client.request("GET", "/").body == b"Hello, world!"

    def test_the_worker_survives(self, server: GunicornServer) -> None:
        before = server.worker_pids()
        for target in ("/fail", "/fail-after-part", "/no-response"):
            with server.connect() as client:
                client.send(request_bytes("GET", target))
                client.read_until_closed() if target == "/fail-after-part" else client.read_response()
        assert server.worker_pids() == before
        assert server.get("/").status == 200


class TestDisconnects:
    def test_the_application_learns_of_it(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("GET", "/wait-disconnect"))
            server.wait_trace("waiting for disconnect")
        server.wait_trace("got http.disconnect")

    def test_send_raises_and_nothing_is_logged(self, server: GunicornServer) -> None:
        with server.connect() as client:
            client.send(request_bytes("GET", "/flood?name=cut-flood"))
            client.read_bytes(100_000)
            client.reset()
        server.wait_trace("cut-flood: send raised OSError")
        assert server.get("/").status == 200
        assert "flood" not in server.log()

    @pytest.mark.parametrize(
        "sent", [b"", b"GET / HT", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"]
    )
    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_at_any_point_leaves_no_noise(self, server: GunicornServer, sent: bytes, how: str) -> None:
        before = server.log().count("Traceback")
        for _ in range(5):
            client = RawClient(server.address)
            client.send(sent)
            getattr(client, how)()
        assert server.get("/").status == 200
        assert server.log().count("Traceback") == before
