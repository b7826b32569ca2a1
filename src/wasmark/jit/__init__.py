"""Where code comes from: the on-disk cache, artefacts, and the way from a module to loaded code.

This room imports `compile` only when something really has to be compiled.
"""
