cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.wire.request cimport Request


@cython.final
cdef class Endpoint:
    cdef public object client
    cdef public str scheme
    cdef public dict template
    cdef public bint trusted


@cython.locals(template=dict, scope=dict, asgi=dict, extensions=dict, state=dict, path=str, root_path=str)
cpdef dict http_scope(Request request, Endpoint endpoint, Context context)
