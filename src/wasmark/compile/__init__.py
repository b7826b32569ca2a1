"""Model -> LLVM IR -> object code -> code memory. The only room that imports llvmlite."""
