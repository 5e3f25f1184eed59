cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.asgi.exchange cimport HttpExchange
from pronghorn.asgi.stream cimport Exchange, Stream
from pronghorn.net.connection cimport Connection
from pronghorn.net.protocol cimport Protocol
from pronghorn.wire.http1_parser cimport Http1Parser
from pronghorn.wire.http1_writer cimport Http1Writer
from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response

# Reading:
#
#   HEAD ──head──┬─ with content ──► BODY ──its end──► DONE ──response complete──► HEAD
#                └─ without ─────────────────────────► DONE
#   DONE ──the exchange opens a tunnel──► TUNNEL
#   any ──the connection is not to go on──► NOTHING

cdef int _HEAD, _BODY, _DONE, _TUNNEL, _NOTHING
cdef str GET
cdef int _EVENT_NEED_DATA, _EVENT_HEAD, _EVENT_DATA
cdef Py_ssize_t _MOST_PIPELINED, _MOST_GATHERED, _HEAD_ESTIMATE, _MOST_DISCARDED


@cython.final
cdef class Http1(Protocol):
    # below
    cdef Connection _connection
    cdef Context _context
    cdef Http1Parser _parser
    cdef Http1Writer _writer
    # above
    cdef Exchange _exchange
    cdef Http1Stream _stream
    # reading
    cdef int _reading
    cdef bint _pumping
    cdef bint _pump_scheduled
    cdef bint _stalled
    cdef bint _peer_ended
    cdef Py_ssize_t _unconsumed
    cdef Py_ssize_t _received
    # writing: parts not handed to the connection, while several requests of one read are answered
    cdef list _out
    cdef Py_ssize_t _gathered
    # the end
    cdef bint _lost
    # deadlines that outlive a read
    cdef double _head_deadline
    cdef double _request_deadline

    cdef _pump(self, bint hold)
    @cython.locals(exchange=Exchange)
    cdef bint _advance(self) except -1
    @cython.locals(context=Context, exchange=Exchange, plain=HttpExchange)
    cdef _begin(self, Request request)
    cdef _take_early(self)
    @cython.locals(exchange=Exchange)
    cdef _take_end(self)
    @cython.locals(exchange=Exchange)
    cdef _take_data(self, bytes data)
    cdef enter_tunnel(self)
    @cython.locals(exchange=Exchange)
    cdef _pass_on(self, bytes data)
    cdef end_tunnel(self)
    @cython.locals(exchange=Exchange)
    cdef _end_of_input(self)
    cdef consumed(self, Py_ssize_t size)
    cdef _schedule_pump(self)
    cpdef written(self, Py_ssize_t size)
    cdef _response_ended(self)
    cdef _judge_rest(self)
    cdef bint _is_much_left(self, Request request) except -1
    cdef bint keep_alive_after(self, bint end) except -1
    cdef _end_cycle(self)
    @cython.locals(exchange=Exchange)
    cdef _hang_up(self)
    cdef abort(self)
    @cython.locals(exchange=Exchange)
    cdef _refuse(self, error)
    @cython.locals(connection=Connection, deadline=double)
    cdef _set_deadline(self)


@cython.final
cdef class Http1Stream(Stream):
    cdef Http1 _http
