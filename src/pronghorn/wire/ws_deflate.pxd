cimport cython

# What each message passes through is compiled; negotiation happens once a connection and stays as it is.

cdef bytes _TAIL, _EMPTY
cdef int _MOST_FINAL_BLOCKS, _SYNC_FLUSH
cdef Py_ssize_t _PIECE
cdef object _decompressobj, _compressobj, _ZlibError


@cython.final
cdef class Inflater:
    cdef int _window_bits
    cdef bint _takeover
    # None until the first message, and between messages where none refers to another
    cdef object _stream
    # the message in hand: _payload[_position:] was not given to zlib, nor _rest of what was; -1: not even begun
    cdef object _payload
    cdef Py_ssize_t _position
    cdef bytes _rest
    cdef long long _most
    cdef int _final_blocks
    # what it inflated to: _size bytes in _pieces, all of it in data
    cdef list _pieces
    cdef long long _size
    cdef public bytes data

    cpdef bytes inflate(self, payload, long long most)
    cpdef begin(self, payload, long long most)
    @cython.locals(spent="long long")
    cpdef Py_ssize_t go_on(self, long long budget) except -1
    @cython.locals(room="long long", made="Py_ssize_t", inflated=bytes)
    cdef Py_ssize_t _inflate_piece(self, long long budget) except -1
    @cython.locals(size="Py_ssize_t", start="Py_ssize_t")
    cdef _next_piece(self)
    cdef _pass_final_block(self)
    @cython.locals(pieces=list)
    cdef _end(self)


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
