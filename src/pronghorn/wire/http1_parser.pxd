cimport cython

from pronghorn.wire.field_names cimport known_name
from pronghorn.wire.http1_framing cimport settle
from pronghorn.wire.http1_rules cimport Rules
from pronghorn.wire.read_buffer cimport ReadBuffer
from pronghorn.wire.request cimport Request

# State, of which _next() and what it calls are the only writers:
#
#   REQUEST_LINE ──► FIELDS ──► HEAD ─┬─ no body ───────────────────────────────────────────► REQUEST_LINE
#                                     ├─ Content-Length ──► LENGTH_BODY ──► DATA … END ─────► REQUEST_LINE
#                                     └─ chunked ──► CHUNK_SIZE ─┬─ size > 0 ► CHUNK_DATA ► CHUNK_END ► CHUNK_SIZE
#                                                                └─ size = 0 ► TRAILERS ──► END ──► REQUEST_LINE
#   any ──► FAILED, once a ProtocolError was raised

cdef str GET
cdef int _NEED_DATA, _HEAD, _DATA, _END
cdef int _REQUEST_LINE, _FIELDS, _LENGTH_BODY, _CHUNK_SIZE, _CHUNK_DATA, _CHUNK_END, _TRAILERS, _FAILED
cdef int _TAB, _LF, _CR, _SP, _COLON, _QUESTION, _SLASH, _SEMICOLON
cdef int _UNDERSCORE_MARK, _DECODE_MARK, _TLS_HANDSHAKE
cdef bytes _ALL_BUT_LF, _METHOD, _PATH, _QUERY, _FIELD_NAME, _FIELD_VALUE, _HEX_VALUE
cdef bytes _NOTHING, _METHOD_FILLER, _PATH_FILLER, _QUERY_FILLER, _NAME_FILLER, _VALUE_FILLER, _SPACES, _ZEROS
cdef str _CONNECT
cdef Py_ssize_t _MOST_EMPTY_LINES, _MOST_CHUNK_LINE, _FIFTEEN_DIGITS


@cython.final
cdef class Http1Parser:
    cdef Rules _rules
    cdef ReadBuffer _buffer
    # the message in hand
    cdef int _state
    cdef Py_ssize_t _head_size
    cdef int _empty_lines
    cdef Py_ssize_t _remaining
    cdef bint _dropped
    cdef object _folds
    cdef bytes _authority
    cdef tuple _error
    # the payload of the last event
    cdef readonly Request request
    cdef readonly bytes data
    cdef readonly list trailers

    cpdef bint is_between_messages(self) except -1
    cpdef Py_ssize_t buffered(self) except -1
    cpdef Request so_far(self)
    cpdef Py_ssize_t feed(self, bytes data) except -1
    cpdef bytes take_rest(self)
    @cython.locals(buffer=ReadBuffer, event=int)
    cpdef int next(self) except -1

    cdef int _next(self) except -1
    cdef int _next_chunked(self) except -1
    cdef _begin_next_message(self)
    cdef int _finish_head(self) except -1

    @cython.locals(
        data=bytes, buf="const unsigned char*", methods="const unsigned char*", paths="const unsigned char*",
        queries="const unsigned char*", size="Py_ssize_t", start="Py_ssize_t", i="Py_ssize_t", method_end="Py_ssize_t",
        target_start="Py_ssize_t", path_end="Py_ssize_t", target_end="Py_ssize_t", end="Py_ssize_t",
        marks="unsigned char", request=Request,
    )
    cdef int _read_request_line(self) except -1
    @cython.locals(data=bytes, buf="const unsigned char*", request=Request)
    cdef Py_ssize_t _read_version(self, Py_ssize_t start, Py_ssize_t line_start) except -1
    @cython.locals(data=bytes, end="Py_ssize_t")
    cdef Py_ssize_t _read_odd_version(self, Py_ssize_t start, Py_ssize_t line_start) except -1
    cdef int _check_line_limit(self, Py_ssize_t size) except -1
    @cython.locals(data=bytes)
    cdef int _skip_empty_line(self, Py_ssize_t start) except -1
    cdef str _odd_first_byte(self, Py_ssize_t start)
    cdef int _await_request_line(self, Py_ssize_t start, Py_ssize_t size, bytes filler) except -1

    @cython.locals(
        data=bytes, buf="const unsigned char*", names="const unsigned char*", values="const unsigned char*",
        size="Py_ssize_t", start="Py_ssize_t", i="Py_ssize_t", name_end="Py_ssize_t", value_start="Py_ssize_t",
        value_end="Py_ssize_t", most_fields="Py_ssize_t", most_size="Py_ssize_t", marks="unsigned char",
        filler=bytes, name=bytes,
    )
    cdef int _read_fields(self, list fields) except -1
    cdef int _count_head(self, Py_ssize_t size) except -1
    cdef int _add_uncommon(self, list fields, bytes name, bytes value, int marks) except -1
    @cython.locals(data=bytes, byte=int)
    cdef Py_ssize_t _read_odd_field(self, list fields, Py_ssize_t start, Py_ssize_t name_end) except? -1
    @cython.locals(data=bytes, end="Py_ssize_t")
    cdef Py_ssize_t _unfold(self, list fields, Py_ssize_t start) except? -1
    cdef int _check_trailers(self) except -1

    @cython.locals(data=bytes, buf="const unsigned char*", start="Py_ssize_t", size="Py_ssize_t")
    cdef int _read_data(self, int next_state) except -1
    @cython.locals(
        data=bytes, buf="const unsigned char*", hexes="const unsigned char*", size="Py_ssize_t", start="Py_ssize_t",
        i="Py_ssize_t", end="Py_ssize_t", value="Py_ssize_t",
    )
    cdef int _read_chunk_size(self) except -1
    cdef int _count_extension(self, Py_ssize_t size) except -1
    @cython.locals(data=bytes, start="Py_ssize_t")
    cdef int _read_chunk_end(self) except -1
