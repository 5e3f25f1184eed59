cimport cython

from pronghorn.asgi.scope cimport Endpoint
from pronghorn.wire.percent cimport unquoted
from pronghorn.wire.request cimport Request

cdef dict _DEFAULT_PORTS
cdef str _SERVER_SOFTWARE


@cython.locals(environ=dict, name=bytes, raw_value=bytes, value=str, key=str, host=str, repeated=dict)
cpdef dict cgi_environ(Request request, Endpoint endpoint)
cpdef tuple peer_of(Endpoint endpoint)
@cython.locals(version=str)
cpdef str protocol_of(Request request)
@cython.locals(path=str, root_path=str)
cpdef str path_info(Request request, Endpoint endpoint)
cdef str _native(str text)
cdef tuple _server(tuple server, str host, str scheme)
