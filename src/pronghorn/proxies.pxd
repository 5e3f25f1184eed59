cimport cython

from pronghorn.asgi.forwarding cimport Forwarder, Forwarding

cdef int _CHAIN, _SCHEME, _HOST, _PORT, _PREFIX, _SCRIPT_NAME


cdef class ForwardedPolicy(Forwarder):
    cdef object _trust
    cdef frozenset _parts
    cdef bint _is_forwarded
    # the fields that are looked at: their first bytes, what each is, and the values that mean https
    cdef bytes _initials
    cdef dict _kinds
    cdef dict _secure
    # what was read lately
    cdef object _hop
    cdef object _read_forwarded
    cdef readonly bint reads

    # The loop over the fields of each request of a trusted peer: one load for a field that is none of these.
    @cython.locals(
        initials="const unsigned char*", first="const unsigned char*", kinds=dict, found=list, pair=tuple, name=bytes
    )
    cpdef Forwarding read(self, list headers, str scheme)
    @cython.locals(said=Forwarding, others=dict, name=bytes, value=bytes, lines=list, kind=int)
    cdef Forwarding _judge(self, list found, list headers, str scheme)
    cdef _judge_chain(self, Forwarding said, list lines)
    cdef _judge_scheme(self, Forwarding said, bytes name, bytes value)
    @cython.locals(client=tuple, address=tuple, entries=list, entry=bytes, is_end=bint)
    cdef tuple _client(self, bytes value)
    cdef _judge_forwarded(self, Forwarding said, bytes value)
    cdef _judge_others(self, Forwarding said, dict values, list headers, str scheme)
    cdef _judge_parts(self, Forwarding said, dict values, list headers, str scheme)
