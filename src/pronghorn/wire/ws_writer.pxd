cimport cython

cdef int _TEXT, _BINARY, _CLOSE, _PING, _PONG
cdef int _FIN, _RSV1, _LENGTH_16, _LENGTH_64
cdef dict _SHORT_HEADERS
cdef object _pack_header_16, _pack_header_64
cdef tuple _BYTES, _START_16


cpdef bytes text(str message, deflater=*)
cpdef bytes binary(message, deflater=*)
@cython.locals(size="Py_ssize_t")
cdef bytes _message(int opcode, payload, deflater)
cpdef bytes frame(int opcode, payload, bint fin=*, bint rsv1=*)
@cython.locals(first=int, short=tuple)
cpdef bytes header(int opcode, Py_ssize_t length, bint fin=*, bint rsv1=*)
cpdef bytes close(code=*, str reason=*)
cpdef bytes ping(payload=*)
cpdef bytes pong(payload=*)
cdef bytes _control(int opcode, payload)
