cimport cython

from pronghorn.asgi.forwarding cimport Forwarder
from pronghorn.asgi.round cimport Round


@cython.final
cdef class Context:
    # the application
    cdef public object app
    cdef public object loop
    cdef public object log
    cdef public object peer_log
    cdef public dict state
    cdef public str root_path
    # its tasks
    cdef public dict tasks
    cdef public object contextvars
    cdef public bint eager
    cdef public bint names_context
    cdef public bint in_turn
    cdef public dict eagerly
    cdef public dict on_loop
    cdef public object create_task
    # times in seconds
    cdef public double clock
    cdef public double margin
    cdef public double keepalive
    cdef public double header_timeout
    cdef public double body_timeout
    cdef public double write_timeout
    cdef public double request_timeout
    cdef public double disconnect_grace_period
    cdef public bint cancels_unsafe
    # sizes in bytes
    cdef public Py_ssize_t high_water
    cdef public Py_ssize_t max_body_size
    # responses
    cdef public list defaults
    cdef public bint sendfile
    # connections
    cdef public object is_trusted
    cdef public dict templates
    cdef public Forwarder forwarded
    cdef public object tls_extension
    # requests
    cdef public object rules
    cdef public object trusting_rules
    cdef public Py_ssize_t requests
    cdef public Py_ssize_t max_requests
    cdef public object on_limit
    cdef public bint draining
    cdef public bint unhurried
    # WebSockets
    cdef public Round round
    cdef public object websockets
    # observation
    cdef public object pre_request
    cdef public object observer
    cdef public bint timed

    cpdef count_request(self)
