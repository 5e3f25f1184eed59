cimport cython

from pronghorn.asgi.scope cimport Endpoint
from pronghorn.asgi.stream cimport Stream
from pronghorn.environ cimport path_info, peer_of, protocol_of
from pronghorn.wire.request cimport Request
from pronghorn.wire.response cimport Response

cdef int _TEXT, _HOST, _TIME, _REQUEST_LINE, _STATUS, _SENT, _JOINED_FIELD, _METHOD, _PATH, _QUERY, _PROTOCOL, _USER
cdef int _SECONDS, _MICROSECONDS, _MILLISECONDS, _DECIMAL_SECONDS, _FIELD, _RESPONSE_FIELD, _VARIABLE
cdef int _FIELD_VARIABLE, _CLIENT
cdef Py_ssize_t _MILLION, _DAY
cdef object _now, _escaped


@cython.final
cdef class LineFormat:
    # the places of a line
    cdef bytes _codes
    cdef list _arguments
    cdef Py_ssize_t _count
    cdef readonly bint timed
    # what they ask
    cdef object _user_of
    cdef object _clock
    # the time of the current second
    cdef Py_ssize_t _second
    cdef str _time

    @cython.locals(
        request=Request, codes="const unsigned char*", arguments=list, elapsed="Py_ssize_t", pieces=list, i="Py_ssize_t",
        code=int, value=str, stream=Stream,
    )
    cpdef str line(self, exchange)
    cdef str _rarer(self, int code, argument, exchange, Request request)
    cdef Py_ssize_t _elapsed(self, exchange) except -1
    @cython.locals(second="Py_ssize_t", now=double)
    cdef str _timestamp(self)
    cdef str _user(self, Request request)


cpdef Py_ssize_t elapsed_since(double started, double now) except -1
@cython.locals(seconds="Py_ssize_t", rest="Py_ssize_t")
cdef str _duration(int code, Py_ssize_t elapsed)
cdef str _number(Py_ssize_t value)
cdef str _quoted(str value)
cdef str _host(Endpoint endpoint)
@cython.locals(name=bytes, value=bytes, found=bytes)
cdef str _field(Request request, bytes wanted)
@cython.locals(text=str)
cdef str _visible(bytes value)
@cython.locals(size="Py_ssize_t", name=bytes, value=bytes, found=bytes, values=list)
cdef str _joined_field(Request request, bytes wanted, bint quoted=*)
@cython.locals(name=bytes, value=bytes, found=bytes)
cdef str _response_field(Response response, bytes wanted)
