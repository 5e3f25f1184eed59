cimport cython

from pronghorn.asgi.context cimport Context
from pronghorn.asgi.forwarding cimport Forwarder, Forwarding
from pronghorn.wire.request cimport Request

cdef str GET, _HTTP_1_1
cdef dict _EXTENSIONS


@cython.final
cdef class Endpoint:
    cdef public object client
    cdef public object peer
    cdef public str scheme
    cdef public dict template
    cdef public bint trusted
    cdef public dict tls

    cpdef Endpoint changed(self, client, str scheme, dict template)


@cython.locals(forwarder=Forwarder, said=Forwarding, template=dict, scheme=str)
cpdef Endpoint endpoint_of(Request request, Endpoint endpoint, Context context)


@cython.locals(template=dict, scope=dict, asgi=dict, extensions=dict, state=dict, path=str, root_path=str)
cpdef dict http_scope(Request request, Endpoint endpoint, Context context)
