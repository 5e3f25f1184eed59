cimport cython

from pronghorn.asgi.stream cimport Stream
from pronghorn.net.connection cimport Connection
from pronghorn.wire.http1_writer cimport Http1Writer

# Sending:
#
#   NEW ──plain socket──► EMPTYING ──buffer empty──► KERNEL ──all sent──► ENDED
#    │                                                 │ not possible
#    └──TLS, a pipe, sendfile off──► READING ◄─────────┘
#                                     │   ▲
#                                     ▼   │ peer keeps up
#                                    WRITING ──all sent──► ENDED
#   any ──the connection ends──► ENDED

cdef int _NEW, _EMPTYING, _KERNEL, _READING, _WRITING, _ENDED
cdef Py_ssize_t _MOST_AT_ONCE, _BLOCK
cdef int _MORE


cdef class FileTransfer:
    # below
    cdef Connection _connection
    cdef object _socket
    # above
    cdef Http1Writer _writer
    cdef Stream _stream
    cdef list _out
    cdef object _written
    # what is sent, and how far it is
    cdef object _part
    cdef bytes _before
    cdef Py_ssize_t _offset
    cdef Py_ssize_t _left
    cdef int _state
    cdef bint _paused

    cpdef start(self)
    cpdef stop(self)
    cdef _end(self, error)
    cdef _finish(self, error)
    cdef _release(self)
    cpdef _send(self)
    @cython.locals(size="Py_ssize_t", most="Py_ssize_t", out=int)
    cdef bint _send_now(self, sock) except -1
    cdef _advance(self, Py_ssize_t size)
    cdef _read_instead(self)
    cdef _read(self)
    cpdef _on_block(self, reading)
    cdef _pass_on(self, bytes data)
