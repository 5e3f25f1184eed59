cimport cython

# What each message passes through is compiled; negotiation happens once a connection and stays as it is.

cdef bytes _TAIL, _EMPTY
cdef int _MOST_FINAL_BLOCKS, _SYNC_FLUSH
cdef object _decompressobj, _compressobj, _ZlibError


@cython.final
cdef class Inflater:
    cdef int _window_bits
    cdef bint _takeover
    # None until the first message, and between messages where none refers to another
    cdef object _stream

    @cython.locals(room="long long", inflated=bytes)
    cpdef bytes inflate(self, payload, bint fin, long long most)
    @cython.locals(pieces=list, size="long long")
    cdef bytes _pass_final_blocks(self, bytes rest, bytes inflated, long long room)


@cython.final
cdef class Deflater:
    cdef int _window_bits
    cdef bint _takeover
    cdef int _level
    cdef int _mem_level
    cdef readonly Py_ssize_t threshold
    # None until the first message that is compressed
    cdef object _stream

    @cython.locals(head=bytes, tail=bytes)
    cpdef bytes deflate(self, message)
