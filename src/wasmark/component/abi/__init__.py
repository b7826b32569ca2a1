"""The canonical ABI (CanonicalABI.md): how values of component types travel through core functions and memories.

`layout` says how a value lies in memory and in core values. `lifting` and `lowering` write Python functions for a type,
compiled once; what these functions make of a value is decided by a domain (`domains`): the objects that Python programs
see, or raw ones on the way from one guest to another. `guest` is what they work on: the memory and the functions of one
`canon` definition. `handles` has the tables of resources.
"""
