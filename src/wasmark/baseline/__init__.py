"""The first tier: machine code by copying stencils and patching their holes, fast enough to answer at once.

LLVM compiles the template of each instruction once, into a *stencil*; translating a function is putting stencils one
after the other. What an instruction does is written in the same tables that the optimising tier reads
(`compile.numeric`, `compile.access`), and nowhere else.

    shapes.py       table rows -> stencil bodies in LLVM IR, with holes
    signatures.py   the same for the entry, the calls and the trampoline of a signature
    builder.py      LLVM IR -> stencils; the only file here that needs LLVM, and only when a stencil is missing
    library.py      stencils as plain data: look-up, `dump`, `load`
    rules.py        which stencil serves which instruction, in the form that the translator's loop wants
    translator.py   one function body -> code with relocations and lines
    image.py        translated functions -> one published code object
"""
