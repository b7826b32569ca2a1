"""What native code needs while it runs: the layout of vmctx, code memory, linear memory, tables, signals and
activations.

This room never imports `compile`: a process that starts from cached code needs all of it and nothing of LLVM.
"""

from wasmark.runtime import interpreter as interpreter  # before anything else: it refuses where this cannot work
