"""Where everything lies in native memory: the one description that emitted code and Python code both read.

All offsets are in bytes. Nothing here allocates; `runtime` and the public classes fill these shapes, the
emitters in `compile` address them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel

# --- ThreadBlock: one a thread that has ever entered wasm; never freed, reused when its thread has ended -
THREAD_ACTIVATION: Final = 0  # the innermost activation of the thread, or 0
THREAD_LOW: Final = 8  # end of the thread's stack, for telling its guard page from other faults
THREAD_LOWEST: Final = 16  # lowest frame address that wasm code may have on it
THREAD_RELEASED: Final = 24  # PyThreadState * while the monitor has released the GIL, or 0
THREAD_IN_WASM: Final = 32  # 1 while wasm code runs, 0 in host functions and outside
THREAD_SEQUENCE: Final = 40  # counts entries into wasm and returns to it: tells a long stay from many short ones
THREAD_ID: Final = 48  # the kernel's thread id, or 0 while the block has no thread
THREAD_SEEN: Final = 56  # the monitor's: THREAD_SEQUENCE at its last round
THREAD_TICKED: Final = 64  # 1 from the monitor's signal until its handler has run
THREAD_NEXT: Final = 72  # the next block of the monitor's list
THREAD_PENDING: Final = 80  # 1 where the way back into wasm is to see to what may have come up (`stopping.ll`)
THREAD_DEADLINE: Final = 88  # the nearest deadline that Python has set (CLOCK_MONOTONIC, ns), or 0
THREAD_TIMEOUT: Final = 96  # the nearest one that a store's time limit has set, or 0
THREAD_MAIN: Final = 104  # 1 where Python signal handlers run in the thread
THREAD_NEXT_LOOK: Final = 112  # when wasm code is to be left next for Python signal handlers (CLOCK_MONOTONIC, ns)
THREAD_INJECTED: Final = 120  # how many Python signal handlers run in the thread in the middle of wasm code
THREAD_REPORT: Final = 128  # copy of the activation that trapped last

# --- StoreBlock: one a store, reached from every vmctx and host context ---------------------------
STORE_STACK_LIMIT: Final = 0  # lowest frame address that wasm code may have
STORE_ACTIVATION: Final = 8  # the innermost activation inside this store, or 0
STORE_MEMORY_GROW: Final = 16  # a callee pair {code, context}: (memory definition, pages) -> old pages or -1
STORE_TABLE_GROW: Final = 32  # a callee pair: (table definition, elements, initial value) -> old size or -1
STORE_IS_SUBTYPE: Final = 48  # a callee pair: (type id, type id) -> 1 or 0
STORE_OWNER: Final = 64  # the ThreadBlock of the thread that runs in the store, or 0
STORE_WAITERS: Final = 72  # threads that wait for it
STORE_RELEASES: Final = 80  # 32 bits, a futex: counts how often the store was left
STORE_BUDGET: Final = 88  # bytes of native stack for one outermost call
STORE_COMPILE: Final = 96  # a callee pair: (vmctx, number of a defined function) -> the address of its code
STORE_TIER_UP: Final = 112  # a callee pair: (vmctx, number of a defined function, where) -> its optimised code or 0
STORE_WAIT: Final = 128  # a callee pair: (address, expected, timeout in ns, size) -> 0 woken, 1 not equal, 2 timed out
STORE_NOTIFY: Final = 144  # a callee pair: (address, how many at most) -> how many were woken
STORE_GC_COLLECT: Final = 160  # a callee pair: (bytes wanted) -> 0, when there is room for them or there cannot be
STORE_GC_NEW: Final = 176  # address of what makes a new object: (StoreBlock, descriptor, bytes, length) -> it, or 0
STORE_GC_HEAP: Final = 184  # its Heap, or 0 while it has none
STORE_GC_WORDS: Final = 192  # the descriptor of objects that are like arrays of words, any of which may be a reference
STORE_SPREAD: Final = 208  # address of `wasmark_spread`
STORE_TAIL_WORDS: Final = 216  # address of the words of a tail call that are for the stack (see TAIL_*)
STORE_TAIL_CONTEXT: Final = 224  # what code of the first tier has for the registers of a tail call
STORE_TAIL_INTEGERS: Final = 232  # 8 bytes each
STORE_TAIL_FLOATS: Final = 272  # 16 bytes each
STORE_EXCEPTION: Final = 400  # the exception that a call with a handler came back for, or 0
STORE_UNCAUGHT: Final = 408  # the first of the exceptions that nobody caught, on their way to Python
STORE_NEW_EXCEPTION: Final = 416  # a callee pair: (tag, number of values) -> exception, or 0
STORE_THROW: Final = 432  # a callee pair: (exception), does not return
STORE_SPREAD_RETURN: Final = 448  # where those return that `wasmark_spread` called
STORE_TIMEOUT: Final = 464  # nanoseconds that an outermost call into the store may take, or 0
STORE_FUEL: Final = 472  # what instructions may cost yet, where code counts that
STORE_TAIL_CAPACITY: Final = 480  # how many words of a tail call there is room for
STORE_FILL: Final = 488  # address of `wasmark_fill`
STORE_COPY: Final = 496  # address of `wasmark_copy`
STORE_BLOCK_SIZE: Final = 512
STORE_TRANSIENT: Final = (STORE_TAIL_CONTEXT, STORE_UNCAUGHT)
"""What code keeps here from one instruction to another that comes soon: whoever comes in between gives it back."""
BUILTIN_SIGNATURES: Final = {
    STORE_MEMORY_GROW: "rI:I",
    STORE_TABLE_GROW: "rIr:I",
    STORE_IS_SUBTYPE: "II:i",
    STORE_COMPILE: "rI:I",
    STORE_TIER_UP: "rII:r",
    STORE_WAIT: "rIII:I",
    STORE_NOTIFY: "rI:I",
    STORE_GC_COLLECT: "I:I",
}

# --- The words of a tail call that are for the stack ----------------------------------------------
TAIL_CODE: Final = 0  # who is called
TAIL_COUNT: Final = 8
TAIL_FIRST: Final = 16
TAIL_ROOM: Final = 16  # words for which each frame of `wasmark_spread` has room, whatever it was made for

# --- Exception: an object of the heap that is like an array of words (`Collector.allocate_words`) ---
EXCEPTION_TAG: Final = 16  # its TagDef
EXCEPTION_OBJECT: Final = 24  # the reference to the Python exception that stands for it, or 0
EXCEPTION_FRAME_COUNT: Final = 32  # 32 bits
EXCEPTION_LEAVING: Final = 36  # 32 bits: how many times it is on its way to Python
EXCEPTION_FRAMES: Final = 40  # return addresses of the frames that were active when it was thrown, innermost first
EXCEPTION_FRAMES_KEPT: Final = 16
EXCEPTION_NEXT: Final = 168  # the next one of STORE_UNCAUGHT
EXCEPTION_VALUES: Final = 176
EXCEPTION_VALUE_SIZE: Final = 16
EXCEPTION_WORDS: Final = 20  # before the values

# --- TagDef: one a tag, which is its address -------------------------------------------------------
TAG_TYPE_ID: Final = 0  # canonical type id of the engine
TAG_DEF_SIZE: Final = 16

# --- MemoryDef: one a linear memory ---------------------------------------------------------------
MEMORY_BASE: Final = 0  # never changes: the whole range is reserved
MEMORY_LENGTH: Final = 8  # accessible bytes
MEMORY_DEF_SIZE: Final = 16

# --- TableDef: one a table; elements are 8-byte references ----------------------------------------
TABLE_BASE: Final = 0
TABLE_LENGTH: Final = 8  # elements
TABLE_DEF_SIZE: Final = 16

# --- FuncRef: what a funcref points to ------------------------------------------------------------
FUNCREF_CODE: Final = 0
FUNCREF_CONTEXT: Final = 8  # the callee's vmctx or host context, its first argument
FUNCREF_TYPE_ID: Final = 16  # canonical type id of the engine
FUNCREF_SIZE: Final = 32

# --- HostContext: the first argument of a host function's stub ------------------------------------
HOST_STORE: Final = 0  # its StoreBlock
HOST_CALLABLE: Final = 8  # PyObject *, what the stub calls
HOST_CONVERT: Final = 16  # PyObject *, called with (result, address of slots) for results the stub cannot convert
HOST_OWNER: Final = 24  # the vmctx of the instance whose import it is, or 0
HOST_CONTEXT_SIZE: Final = 32
STORE_SIZE: Final = STORE_BLOCK_SIZE + HOST_CONTEXT_SIZE * len(BUILTIN_SIGNATURES)
"""Bytes of a StoreBlock and, behind it, a host context for each builtin."""
HOST_FUNCTION_SIZE: Final = HOST_CONTEXT_SIZE + FUNCREF_SIZE  # a host context and the FuncRef that leads to it

# --- TypeDescriptor: one a structure or array type of an engine, never freed -----------------------
TYPE_ID: Final = 0  # 32 bits, the canonical id
TYPE_KIND: Final = 4  # 32 bits, KIND_*
TYPE_REFERENCES: Final = 8  # 32 bits: how many fields of a structure are references; 1 for an array of them
TYPE_OFFSETS: Final = 16  # address of the offsets of these fields, 32 bits each
TYPE_DISPLAY: Final = 32  # the ids of the declared supertypes, the topmost first, and of the type itself; 32 bits each
TYPE_DISPLAY_LENGTH: Final = 64  # the others are 0
TYPE_DESCRIPTOR_SIZE: Final = TYPE_DISPLAY + 4 * TYPE_DISPLAY_LENGTH
KIND_STRUCT: Final = 1
KIND_ARRAY: Final = 2
KIND_WORDS: Final = 3  # like an array of words, of which any may be a reference

HOST_TAG: Final = 2
"""The lowest three bits of a reference to an object of the host."""

# --- Heap: what a store has garbage-collected objects in ------------------------------------------
# It is a range of blocks. A block has cells of one size, or belongs to one large object. A cell that is free has 0 in
# its first word, and in its second one the next of the list. While a collection marks, bit 0 of the first word says so.
HEAP_BASE: Final = 0  # of block 0
HEAP_SIZE: Final = 8  # of all blocks, in bytes
HEAP_TOP: Final = 16  # blocks from this one on have never been used
HEAP_USED: Final = 24  # blocks in use
HEAP_TRIGGER: Final = 32  # how many of them may be, before there is a collection
HEAP_BLOCKS: Final = 40  # address of a byte a block: its size class, or BLOCK_*
HEAP_STACK: Final = 48  # address of the objects that are marked, but not gone through; room for all there can be
HEAP_PENDING: Final = 56  # how many these are
HEAP_HANDLES: Final = 64  # address of a byte a handle of an object of the host: 1 if a collection came across it
HEAP_HANDLE_COUNT: Final = 72
HEAP_SEARCH: Final = 80  # no block below this one is free
HEAP_COLLECTIONS: Final = 88  # counts them
HEAP_FREE: Final = 128  # the first free cell of each size class
HEAP_CELLS: Final = HEAP_FREE + 8 * 64  # bytes of a cell of each size class, 32 bits each
HEAP_CLASSES: Final = HEAP_CELLS + 4 * 64  # the size class for sizes in units of 16 bytes, a byte each
HEAP_HEAD_SIZE: Final = 2048
HEAP_BLOCK_LOG2: Final = 16
HEAP_BLOCK_SIZE: Final = 1 << HEAP_BLOCK_LOG2
HEAP_LARGEST_CELL: Final = 8192
BLOCK_FREE: Final = 0
BLOCK_LARGE: Final = 254  # the first one of a large object
BLOCK_MORE: Final = 255  # a later one

# --- Hooks: what native code calls of Python, PyObject * each --------------------------------------
HOOK_CALL: Final = 0  # (func, *arguments): a call in which anything is out of the ordinary
HOOK_TRAP: Final = 8  # (func, report) -> the exception that the report tells of, and what FRAMES answers of it
HOOK_READ: Final = 16  # (memory, *arguments): a read in which anything is out of the ordinary
HOOK_CATCHES: Final = 24  # (return address) -> whether the call has a handler for exceptions
HOOK_EXCEPTION: Final = 32  # the class of wasm's exceptions in Python
HOOK_THROW: Final = 40  # (exception of that class, address of a StoreBlock, of a word that gets the exception, or 0)
HOOK_FRAMES: Final = 48  # (report from ACT_FRAME_COUNT on) -> a list: code and globals of each frame, innermost first
HOOK_TRIM: Final = 56  # (traceback) -> the same without the frames of this package that it begins with, or None
HOOK_EXIT: Final = 64  # the class of exceptions that get no frames
HOOKS_SIZE: Final = 72

OBJECT_TYPE: Final = object.__basicsize__ - 8
"""Where a Python object points to its type."""

# --- FuncObject: native fields of a `wasmark.Func`, behind its object header ----------------------
FUNC_VECTORCALL: Final = object.__basicsize__
FUNC_CODE: Final = FUNC_VECTORCALL + 8
FUNC_CONTEXT: Final = FUNC_VECTORCALL + 16
FUNC_STORE: Final = FUNC_VECTORCALL + 24  # its StoreBlock
FUNC_FIELDS_END: Final = FUNC_VECTORCALL + 32

# --- Objects with a buffer: the native field of a `wasmark.Memory`, behind its object header ------
BUFFER_SOURCE: Final = object.__basicsize__  # address of the MemoryDef that is exported

# --- Activation: one for each entry from Python into wasm, on the native stack, linked ------------
ACT_JMPBUF: Final = 0  # 5 words, as llvm.eh.sjlj.setjmp wants them
ACT_PREVIOUS: Final = 40  # the activation of this thread that was innermost before
ACT_STORE: Final = 48  # its StoreBlock
ACT_ENTRY_FP: Final = 56  # frame address of the entry function: where a walk over frames ends
ACT_EXIT_FP: Final = 64  # frame address of the host call in progress: where a walk goes on in an outer activation
ACT_THREAD: Final = 72  # its ThreadBlock
ACT_STATUS: Final = 80  # STATUS_*
ACT_TRAP_CODE: Final = 88
ACT_TRAP_PC: Final = 96
ACT_STACK_LIMIT: Final = 104
ACT_OUTERMOST: Final = 112  # 1 where this entry made its thread the owner of the store
ACT_SAVED_LIMIT: Final = 120  # of the store, for the way back
ACT_SAVED_ACTIVATION: Final = 128  # of the store, for the way back
ACT_EXCEPTION: Final = 136  # the exception that nobody caught, where the trap code is THROWN; the deadline that passed
ACT_FRAME_COUNT: Final = 144  # frames seen by the walk
ACT_OWN_COUNT: Final = 152  # those of them that are the activation's own: the innermost ones
ACT_FRAMES: Final = 160  # the first FRAMES_KEPT pcs, then a ring of the last FRAMES_KEPT
FRAMES_KEPT: Final = 32
ACT_SAVED_TIMEOUT: Final = ACT_FRAMES + 2 * FRAMES_KEPT * 8  # THREAD_TIMEOUT, for the way back
ACT_SAMPLED: Final = ACT_SAVED_TIMEOUT + 8  # the id that it has in a profile, or 0
ACT_SIZE: Final = ACT_SAMPLED + 8
THREAD_SAMPLED_SEQUENCE: Final = THREAD_REPORT + ACT_SIZE  # the sampler's: THREAD_SEQUENCE at its last tick
THREAD_FIRST_TICK: Final = THREAD_SAMPLED_SEQUENCE + 8  # the sampler's tick that the thread has not come round to, or 0
THREAD_BLOCK_SIZE: Final = THREAD_FIRST_TICK + 8

STATUS_RETURNED: Final = 0
STATUS_TRAPPED: Final = 1  # or an exception of wasm's came out
STATUS_RAISED: Final = 2  # a host function raised; the exception is set in the thread state
STATUS_NEW_THREAD: Final = 3  # nothing happened: the thread has no ThreadBlock yet
STATUS_BUSY: Final = 4  # nothing happened: another thread runs in the store

THROWN: Final = 255
"""Stands for a trap code where it was no trap but an exception that nobody caught."""

PIECE: Final = 1 << 20
"""Bytes that an instruction fills or copies without looking up."""

SLOT_SIZE: Final = 8
"""One argument or result in the buffers of trampolines and host calls."""

OFFSET_GUARD: Final = 64 << 20
"""Bytes kept inaccessible behind the 4 GiB that a 32-bit address reaches. An access whose constant offset plus size
stays within them needs no check; others compare with the memory's length."""


class VMLayout:
    """Offsets inside the vmctx of one module's instances.

    The head holds the base of memory 0, the store block, the table of functions where the module is compiled lazily,
    and the module itself (a PyObject *); then follow arrays in a fixed order. `escaping` lists the functions that can
    become references (exported, in an element segment or global, or named by `ref.func`): only they have a FuncRef.
    """

    MEMORY0_BASE = 0
    STORE_BLOCK = 8
    FUNCTION_TABLE = 16
    MODULE = 24
    HEAD_SIZE = 32

    __slots__ = (
        "data_segments",
        "element_segments",
        "escaping",
        "funcref_index",
        "funcrefs",
        "global_cells",
        "global_pointers",
        "imported_functions",
        "imported_globals",
        "memory_defs",
        "size",
        "table_defs",
        "tag_defs",
        "tags",
        "type_descriptors",
        "type_ids",
    )

    def __init__(self, model: ModuleModel, escaping: list[int]) -> None:
        imported = model.imported
        at = self.HEAD_SIZE
        self.memory_defs = at  # {def, base} pairs
        at += 16 * len(model.memory_types)
        self.table_defs = at
        at += 8 * len(model.table_types)
        self.global_pointers = at
        at += 8 * imported["global"]
        self.type_ids = at
        at += 8 * len(model.types)
        self.type_descriptors = at
        at += 8 * len(model.types)
        at = (at + 15) & ~15
        self.imported_functions = at  # {code, context, funcref, unused}
        at += 32 * imported["func"]
        self.element_segments = at  # {items, length}
        at += 16 * len(model.elements)
        self.data_segments = at  # {bytes, length}
        at += 16 * len(model.data_segments)
        self.global_cells = at  # 16 bytes each
        at += 16 * len(model.globals)
        self.funcrefs = at
        at += FUNCREF_SIZE * len(escaping)
        self.tags = at  # addresses of TagDefs
        at += 8 * len(model.tag_types) + 8 * (len(model.tag_types) & 1)
        self.tag_defs = at
        at += TAG_DEF_SIZE * len(model.tags)
        self.size = at
        self.escaping = escaping
        self.funcref_index = {func_index: i for i, func_index in enumerate(escaping)}
        self.imported_globals = imported["global"]

    def memory_def(self, index: int) -> int:
        """Offset of the pointer to a memory's definition."""
        return self.memory_defs + 16 * index

    def memory_base(self, index: int) -> int:
        """Offset of the cached base of a memory."""
        return self.memory_defs + 16 * index + 8 if index else self.MEMORY0_BASE

    def table_def(self, index: int) -> int:
        """Offset of the pointer to a table's definition."""
        return self.table_defs + 8 * index

    def type_id(self, index: int) -> int:
        """Offset of the canonical id of a type."""
        return self.type_ids + 8 * index

    def type_descriptor(self, index: int) -> int:
        """Offset of the address of a structure or array type's descriptor."""
        return self.type_descriptors + 8 * index

    def imported_function(self, func_index: int) -> int:
        """Offset of an imported function's {code, context, funcref}."""
        return self.imported_functions + 32 * func_index

    def data_segment(self, index: int) -> int:
        """Offset of a data segment's {bytes, length}."""
        return self.data_segments + 16 * index

    def element_segment(self, index: int) -> int:
        """Offset of an element segment's {items, length}."""
        return self.element_segments + 16 * index

    def global_pointer(self, global_index: int) -> int:
        """Offset of the pointer to an imported global's cell."""
        return self.global_pointers + 8 * global_index

    def global_cell(self, global_index: int) -> int:
        """Offset of a defined global's cell."""
        return self.global_cells + 16 * (global_index - self.imported_globals)

    def tag(self, index: int) -> int:
        """Offset of the pointer to a tag's definition."""
        return self.tags + 8 * index

    def funcref(self, func_index: int) -> int:
        """Offset of a defined, escaping function's FuncRef."""
        return self.funcrefs + FUNCREF_SIZE * self.funcref_index[func_index]
