cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.asgi.exchange cimport HttpExchange
from pronghorn.asgi.stream cimport Exchange
from pronghorn.net.connection cimport Connection
from pronghorn.net.http1_cycle cimport Cycle, CycleOwner
from pronghorn.wire.http1_parser cimport Http1Parser
from pronghorn.wire.http1_writer cimport Http1Writer
from pronghorn.wire.request cimport Request

# Reading:
#
#   HEAD ──head──┬─ with content ──► BODY ──its end──► DONE ──response complete──► HEAD
#                └─ without ─────────────────────────► DONE
#   DONE ──the exchange opens a tunnel──► TUNNEL
#   any ──the connection is not to go on──► NOTHING

cdef int _HEAD, _BODY, _DONE, _TUNNEL, _NOTHING
cdef str GET
cdef Cycle _ENDED
cdef int _EVENT_NEED_DATA, _EVENT_HEAD, _EVENT_DATA
cdef Py_ssize_t _MOST_PIPELINED, _MOST_GATHERED, _MOST_OBJECTS, _MOST_DISCARDED
cdef int _MOST_PARTS, _BUDGET, _REQUEST_COST, _QUICK
cdef double _MOST_SECONDS


@cython.final
cdef class Http1(CycleOwner):
    # below
    cdef Context _context
    cdef Http1Parser _parser
    # reading
    cdef int _reading
    cdef bint _pumping
    cdef bint _pump_scheduled
    cdef bint _stalled
    cdef bint _peer_ended
    # what is left of this turn, and since when it is measured
    cdef int _budget
    cdef double _since
    # writing: bytes in ``out``
    cdef Py_ssize_t _gathered
    # the end
    cdef bint _lost
    # a deadline that outlives a read
    cdef double _head_deadline

    @cython.locals(cycle=Cycle, wait=bint)
    cdef _read_or_wait(self)
    cdef _pump(self, bint hold)
    @cython.locals(cycle=Cycle, event=int)
    cdef bint _advance(self) except -1
    @cython.locals(exchange=Exchange)
    cdef _tell_of_end(self)
    @cython.locals(context=Context, cycle=Cycle, exchange=Exchange, plain=HttpExchange)
    cdef _begin(self, Request request)
    @cython.locals(event=int, least=int)
    cdef _take_early(self, Cycle cycle)
    @cython.locals(exchange=Exchange)
    cdef _take_end(self)
    @cython.locals(data=bytes, cycle=Cycle, exchange=Exchange, size="Py_ssize_t")
    cdef _take_data(self)
    @cython.locals(cycle=Cycle, exchange=Exchange)
    cdef _pass_on(self, bytes data)
    @cython.locals(exchange=Exchange)
    cdef _end_of_input(self)
    cdef _schedule_pump(self)
    cdef _ask_for_turn(self)
    @cython.locals(now=double)
    cdef bint _has_had_its_turn(self) except -1
    cdef _response_ended(self)
    @cython.locals(cycle=Cycle)
    cdef _judge_rest(self)
    cdef bint _is_much_left(self, Cycle cycle, Request request) except -1
    @cython.locals(cycle=Cycle)
    cdef _turn_over(self)
    @cython.locals(exchange=Exchange)
    cdef _hang_up(self)
    @cython.locals(cycle=Cycle, exchange=Exchange)
    cdef _refuse(self, error)
