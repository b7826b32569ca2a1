"""The native code that every process needs once, as LLVM IR: entering wasm, leaving it, and the signal handler.

`wasmark_enter`      Python -> wasm: links an activation, releases the GIL, calls a trampoline; a trap or an exception
                     of a host function comes back here by a jump.
`wasmark_host_call`  wasm -> Python: takes the GIL, calls the host context's callable with the address of the slots.
`wasmark_signal`     the handler of SIGSEGV, SIGBUS and SIGILL. It takes no lock, allocates nothing and touches no
                     Python object: it asks the process table whether the pc is ours, finds out which trap it is,
                     writes down the frames, and makes the interrupted thread continue in `wasmark_unwind`. All else
                     goes to the handler that was there before.

The offsets of x86-64 Linux's `ucontext_t` and `siginfo_t` are in the table below.
"""

from __future__ import annotations

from typing import Final

from wasmark.errors import TrapCode
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.linear_memory import GRANULE_COUNT, GRANULE_SHIFT
from wasmark.runtime.signal_state import CHAINED_LIMIT, STATE_ACTIONS, STATE_ADDRESS, STATE_COUNT, STATE_KEY, STATE_PC

_CONTEXT_RBP: Final = 120
_CONTEXT_RSP: Final = 160
_CONTEXT_RIP: Final = 168
_SIGINFO_ADDRESS: Final = 16
_SIGILL: Final = 4
_TRAP_BYTES: Final = int.from_bytes(bytes.fromhex("670fb940"), "little")  # ud1l code(%eax), %eax; the code follows
_BELOW_STACK: Final = 1 << 20  # how far below a stack's end a probe may touch

_FIELDS: Final = {
    name: value for name, value in vars(L).items() if name.startswith(("ACT_", "STORE_", "HOST_", "STATUS_"))
} | {
    "KEPT": L.FRAMES_KEPT,
    "CONTEXT_RBP": _CONTEXT_RBP,
    "CONTEXT_RSP": _CONTEXT_RSP,
    "CONTEXT_RIP": _CONTEXT_RIP,
    "SIGINFO_ADDRESS": _SIGINFO_ADDRESS,
    "SIGILL": _SIGILL,
    "TRAP_BYTES": _TRAP_BYTES,
    "BELOW_STACK": _BELOW_STACK,
    "GRANULE_SHIFT": GRANULE_SHIFT,
    "GRANULE_COUNT": GRANULE_COUNT,
    "STATE_KEY": STATE_KEY,
    "STATE_PC": STATE_PC,
    "STATE_ADDRESS": STATE_ADDRESS,
    "STATE_COUNT": STATE_COUNT,
    "STATE_ACTIONS": STATE_ACTIONS,
    "CHAINED_LIMIT": CHAINED_LIMIT,
    "MEMORY_TRAP": TrapCode.MEMORY_OUT_OF_BOUNDS.value,
    "STACK_TRAP": TrapCode.STACK_OVERFLOW.value,
}

_IR: Final = r"""
declare ptr @pthread_getspecific(i32)
declare i32 @pthread_setspecific(i32, ptr)
declare ptr @signal(i32, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyLong_FromVoidPtr(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_DecRef(ptr)
declare i32 @llvm.eh.sjlj.setjmp(ptr)
declare void @llvm.eh.sjlj.longjmp(ptr)
declare ptr @llvm.frameaddress.p0(i32 immarg)
declare ptr @llvm.stacksave.p0()
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1 immarg)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1 immarg)
@wasmark_signal_state = external global i8
@wasmark_process_table = external global i8
@wasmark_memory_granules = external global i8

define internal i32 @key() alwaysinline {
  %p = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_KEY
  %key = load i32, ptr %p
  ret i32 %key
}

; ---- Python -> wasm ------------------------------------------------------------------
; A value that is needed after the second return of setjmp is read back from the activation, whose place in this frame
; is fixed: the compiler does not know of the jump and may have reused the slot of anything else.
define i32 @wasmark_enter(ptr %store, ptr %trampoline, ptr %code, ptr %context, ptr %slots, ptr %report,
                          i64 %stack_low, i64 %lowest, i64 %budget) #0 {
  %act = alloca [$ACT_SIZE x i8], align 16
  %report.slot = alloca ptr
  store volatile ptr %report, ptr %report.slot
  %key = call i32 @key()
  %previous = call ptr @pthread_getspecific(i32 %key)
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %outermost = icmp eq ptr %previous, null
  br i1 %outermost, label %first, label %nested
first:
  %frame = ptrtoint ptr %fp to i64
  %wanted = sub i64 %frame, %budget
  %enough = icmp ugt i64 %wanted, %lowest
  %fresh = select i1 %enough, i64 %wanted, i64 %lowest
  br label %link
nested:
  %plp = getelementptr i8, ptr %previous, i64 $ACT_STACK_LIMIT
  %inherited = load i64, ptr %plp
  br label %link
link:
  %limit = phi i64 [ %fresh, %first ], [ %inherited, %nested ]
  %a.prev = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  store volatile ptr %previous, ptr %a.prev
  %a.store = getelementptr i8, ptr %act, i64 $ACT_STORE
  store volatile ptr %store, ptr %a.store
  %a.fp = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  store volatile ptr %fp, ptr %a.fp
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  store volatile ptr null, ptr %a.exit
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 $STATUS_RETURNED, ptr %a.status
  %a.limit = getelementptr i8, ptr %act, i64 $ACT_STACK_LIMIT
  store volatile i64 %limit, ptr %a.limit
  %a.low = getelementptr i8, ptr %act, i64 $ACT_STACK_LOW
  store volatile i64 %stack_low, ptr %a.low
  %a.slimit = getelementptr i8, ptr %act, i64 $ACT_SAVED_LIMIT
  %s.limit = getelementptr i8, ptr %store, i64 $STORE_STACK_LIMIT
  %old.limit = load volatile i64, ptr %s.limit
  store volatile i64 %old.limit, ptr %a.slimit
  store volatile i64 %limit, ptr %s.limit
  %a.sact = getelementptr i8, ptr %act, i64 $ACT_SAVED_ACTIVATION
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %old.act = load volatile ptr, ptr %s.act
  store volatile ptr %old.act, ptr %a.sact
  store volatile ptr %act, ptr %s.act
  store volatile ptr %fp, ptr %act
  %sp = call ptr @llvm.stacksave.p0()
  %a.sp = getelementptr i8, ptr %act, i64 16
  store volatile ptr %sp, ptr %a.sp
  %set = call i32 @pthread_setspecific(i32 %key, ptr %act)
  %landed = call i32 @llvm.eh.sjlj.setjmp(ptr %act)
  %direct = icmp eq i32 %landed, 0
  br i1 %direct, label %run, label %back
run:
  %thread = call ptr @PyEval_SaveThread()
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD_STATE
  store volatile ptr %thread, ptr %a.thread
  call void %trampoline(ptr %context, ptr %code, ptr %slots)
  %a.thread2 = getelementptr i8, ptr %act, i64 $ACT_THREAD_STATE
  %thread2 = load volatile ptr, ptr %a.thread2
  call void @PyEval_RestoreThread(ptr %thread2)
  br label %leave
back:
  %b.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  %status = load volatile i64, ptr %b.status
  %trapped = icmp eq i64 %status, $STATUS_TRAPPED
  br i1 %trapped, label %trap, label %leave
trap:
  %b.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD_STATE
  %thread3 = load volatile ptr, ptr %b.thread
  call void @PyEval_RestoreThread(ptr %thread3)
  %report2 = load volatile ptr, ptr %report.slot
  call void @llvm.memcpy.p0.p0.i64(ptr %report2, ptr %act, i64 $ACT_SIZE, i1 true)
  br label %leave
leave:
  %l.store = getelementptr i8, ptr %act, i64 $ACT_STORE
  %store2 = load volatile ptr, ptr %l.store
  %l.slimit = getelementptr i8, ptr %act, i64 $ACT_SAVED_LIMIT
  %limit2 = load volatile i64, ptr %l.slimit
  %l.limit = getelementptr i8, ptr %store2, i64 $STORE_STACK_LIMIT
  store volatile i64 %limit2, ptr %l.limit
  %l.sact = getelementptr i8, ptr %act, i64 $ACT_SAVED_ACTIVATION
  %act2 = load volatile ptr, ptr %l.sact
  %l.act = getelementptr i8, ptr %store2, i64 $STORE_ACTIVATION
  store volatile ptr %act2, ptr %l.act
  %l.prev = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  %previous2 = load volatile ptr, ptr %l.prev
  %key2 = call i32 @key()
  %set2 = call i32 @pthread_setspecific(i32 %key2, ptr %previous2)
  %l.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  %status2 = load volatile i64, ptr %l.status
  %result = trunc i64 %status2 to i32
  ret i32 %result
}

; ---- wasm -> Python ------------------------------------------------------------------
define void @wasmark_host_call(ptr %context, ptr %slots) #0 {
  %arguments = alloca ptr
  %h.store = getelementptr i8, ptr %context, i64 $HOST_STORE
  %store = load ptr, ptr %h.store
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  store volatile ptr %fp, ptr %a.exit
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD_STATE
  %thread = load volatile ptr, ptr %a.thread
  call void @PyEval_RestoreThread(ptr %thread)
  %address = call ptr @PyLong_FromVoidPtr(ptr %slots)
  %none = icmp eq ptr %address, null
  br i1 %none, label %raised, label %go
go:
  store ptr %address, ptr %arguments
  %h.callable = getelementptr i8, ptr %context, i64 $HOST_CALLABLE
  %callable = load ptr, ptr %h.callable
  %result = call ptr @PyObject_Vectorcall(ptr %callable, ptr %arguments, i64 1, ptr null)
  call void @Py_DecRef(ptr %address)
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %raised, label %returned
returned:
  call void @Py_DecRef(ptr %result)
  %again = call ptr @PyEval_SaveThread()
  store volatile ptr %again, ptr %a.thread
  ret void
raised:
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 $STATUS_RAISED, ptr %a.status
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
}

; ---- signals -------------------------------------------------------------------------
define void @wasmark_unwind() #0 {
  %key = call i32 @key()
  %act = call ptr @pthread_getspecific(i32 %key)
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
}

; Write `pc` down as frame number `n`: the first ones one after the other, the others into a ring behind them.
define internal void @note(ptr %act, i64 %n, i64 %pc) alwaysinline {
  %early = icmp ult i64 %n, $KEPT
  %wrapped = urem i64 %n, $KEPT
  %late = add i64 %wrapped, $KEPT
  %at = select i1 %early, i64 %n, i64 %late
  %frames = getelementptr i8, ptr %act, i64 $ACT_FRAMES
  %slot = getelementptr i64, ptr %frames, i64 %at
  store i64 %pc, ptr %slot
  ret void
}

; Walk the frame pointers of this activation, then of those around it from where they called Python.
define internal void @walk(ptr %target, i64 %pc, ptr %start) #0 {
entry:
  call void @note(ptr %target, i64 0, i64 %pc)
  br label %activation
activation:
  %act = phi ptr [ %target, %entry ], [ %outer, %next ]
  %n0 = phi i64 [ 1, %entry ], [ %n, %next ]
  %fp0 = phi ptr [ %start, %entry ], [ %outer.fp, %next ]
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load ptr, ptr %a.end
  br label %frame
frame:
  %fp = phi ptr [ %fp0, %activation ], [ %up, %step ]
  %n = phi i64 [ %n0, %activation ], [ %n1, %step ]
  %inside = icmp ult ptr %fp, %end
  br i1 %inside, label %look, label %ascend
look:
  %r = getelementptr i8, ptr %fp, i64 8
  %return = load i64, ptr %r
  call void @note(ptr %target, i64 %n, i64 %return)
  %n1 = add i64 %n, 1
  %up = load ptr, ptr %fp
  %upward = icmp ugt ptr %up, %fp
  br i1 %upward, label %step, label %ascend
step:
  br label %frame
ascend:
  %a.prev = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  %outer = load ptr, ptr %a.prev
  %top = icmp eq ptr %outer, null
  br i1 %top, label %done, label %next
next:
  %o.exit = getelementptr i8, ptr %outer, i64 $ACT_EXIT_FP
  %outer.fp = load ptr, ptr %o.exit
  br label %activation
done:
  %a.count = getelementptr i8, ptr %target, i64 $ACT_FRAME_COUNT
  store i64 %n, ptr %a.count
  ret void
}

define internal i1 @is_wasm(i64 %pc) {
entry:
  %count = load atomic i64, ptr @wasmark_process_table acquire, align 8
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %other ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %arena, label %no
arena:
  %offset = mul i64 %i, 24
  %offset8 = add i64 %offset, 8
  %row = getelementptr i8, ptr @wasmark_process_table, i64 %offset8
  %base = load i64, ptr %row
  %row.size = getelementptr i8, ptr %row, i64 8
  %size = load i64, ptr %row.size
  %distance = sub i64 %pc, %base
  %inside = icmp ult i64 %distance, %size
  %i1 = add i64 %i, 1
  br i1 %inside, label %page, label %other
other:
  br label %loop
page:
  %row.owners = getelementptr i8, ptr %row, i64 16
  %owners = load ptr, ptr %row.owners
  %number = lshr i64 %distance, 12
  %word = getelementptr i32, ptr %owners, i64 %number
  %owner = load atomic i32, ptr %word monotonic, align 4
  %known = icmp ne i32 %owner, 0
  ret i1 %known
no:
  ret i1 false
}

; The trap code for a signal at a pc in wasm code, or 0 where it is none of ours.
define internal i64 @classify(i32 %signal, i64 %pc, i64 %address, ptr %act) {
  %is.ill = icmp eq i32 %signal, $SIGILL
  br i1 %is.ill, label %instruction, label %fault
instruction:
  %where = inttoptr i64 %pc to ptr
  %bytes = load i32, ptr %where, align 1
  %is.trap = icmp eq i32 %bytes, $TRAP_BYTES
  br i1 %is.trap, label %operand, label %unknown
operand:
  %code.at = getelementptr i8, ptr %where, i64 4
  %code8 = load i8, ptr %code.at
  %code = zext i8 %code8 to i64
  ret i64 %code
fault:
  %granule = lshr i64 %address, $GRANULE_SHIFT
  %in.range = icmp ult i64 %granule, $GRANULE_COUNT
  br i1 %in.range, label %memory, label %stack
memory:
  %mark.at = getelementptr i8, ptr @wasmark_memory_granules, i64 %granule
  %mark = load i8, ptr %mark.at
  %reserved = icmp ne i8 %mark, 0
  br i1 %reserved, label %out.of.bounds, label %stack
out.of.bounds:
  ret i64 $MEMORY_TRAP
stack:
  %a.low = getelementptr i8, ptr %act, i64 $ACT_STACK_LOW
  %low = load i64, ptr %a.low
  %a.limit = getelementptr i8, ptr %act, i64 $ACT_STACK_LIMIT
  %limit = load i64, ptr %a.limit
  %under = sub i64 %low, $BELOW_STACK
  %not.under = icmp uge i64 %address, %under
  %below = icmp ult i64 %address, %limit
  %overflow = and i1 %not.under, %below
  br i1 %overflow, label %exhausted, label %unknown
exhausted:
  ret i64 $STACK_TRAP
unknown:
  ret i64 0
}

define void @wasmark_signal(i32 %signal, ptr %info, ptr %context) #0 {
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc = load i64, ptr %c.pc
  %i.address = getelementptr i8, ptr %info, i64 $SIGINFO_ADDRESS
  %address = load i64, ptr %i.address
  %ours = call i1 @is_wasm(i64 %pc)
  br i1 %ours, label %wasm, label %chain
wasm:
  %key = call i32 @key()
  %act = call ptr @pthread_getspecific(i32 %key)
  %outside = icmp eq ptr %act, null
  br i1 %outside, label %chain, label %inside
inside:
  %code = call i64 @classify(i32 %signal, i64 %pc, i64 %address, ptr %act)
  %none = icmp eq i64 %code, 0
  br i1 %none, label %chain, label %trap
trap:
  %a.code = getelementptr i8, ptr %act, i64 $ACT_TRAP_CODE
  store i64 %code, ptr %a.code
  %a.pc = getelementptr i8, ptr %act, i64 $ACT_TRAP_PC
  store i64 %pc, ptr %a.pc
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store i64 $STATUS_TRAPPED, ptr %a.status
  %c.fp = getelementptr i8, ptr %context, i64 $CONTEXT_RBP
  %fp = load ptr, ptr %c.fp
  call void @walk(ptr %act, i64 %pc, ptr %fp)
  store i64 ptrtoint (ptr @wasmark_unwind to i64), ptr %c.pc
  ; `unwind` needs a little stack, and the faulting frame may have none left: it gets that below the entry function.
  %a.sp = getelementptr i8, ptr %act, i64 16
  %sp = load i64, ptr %a.sp
  %lower = sub i64 %sp, 512
  %aligned = and i64 %lower, -16
  %call.sp = sub i64 %aligned, 8
  %c.sp = getelementptr i8, ptr %context, i64 $CONTEXT_RSP
  store i64 %call.sp, ptr %c.sp
  ret void
chain:
  call void @pass_on(i32 %signal, ptr %info, ptr %context, i64 %pc, i64 %address)
  ret void
}

; To the handler before us. One that comes back again and again for the same fault has nothing more to say (faulthandler
; reports once and expects the default action to follow), and neither has none at all. One that sends the thread
; elsewhere has dealt with it, as another runtime does with its traps: that may happen at the same place any number of
; times.
define internal void @pass_on(i32 %signal, ptr %info, ptr %context, i64 %pc, i64 %address) {
  %p.pc = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_PC
  %last.pc = load i64, ptr %p.pc
  %p.address = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_ADDRESS
  %last.address = load i64, ptr %p.address
  %p.count = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_COUNT
  %last.count = load i64, ptr %p.count
  store i64 %pc, ptr %p.pc
  store i64 %address, ptr %p.address
  %same.pc = icmp eq i64 %pc, %last.pc
  %same.address = icmp eq i64 %address, %last.address
  %same = and i1 %same.pc, %same.address
  %more = add i64 %last.count, 1
  %count = select i1 %same, i64 %more, i64 0
  store i64 %count, ptr %p.count
  %wide = sext i32 %signal to i64
  %actions = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_ACTIONS
  %action.at = getelementptr ptr, ptr %actions, i64 %wide
  %action = load ptr, ptr %action.at
  %number = ptrtoint ptr %action to i64
  %real = icmp ugt i64 %number, 1
  %fresh = icmp ult i64 %count, $CHAINED_LIMIT
  %go = and i1 %real, %fresh
  br i1 %go, label %call, label %default
call:
  call void %action(i32 %signal, ptr %info, ptr %context)
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc.after = load i64, ptr %c.pc
  %unmoved = icmp eq i64 %pc.after, %pc
  br i1 %unmoved, label %done, label %forget
forget:
  store i64 0, ptr %p.pc
  br label %done
done:
  ret void
default:
  %old = call ptr @signal(i32 %signal, ptr null)
  ret void
}

attributes #0 = { nounwind "frame-pointer"="all" }
"""


def runtime_image_ir() -> str:
    """The IR with all offsets filled in."""
    text = _IR
    for name in sorted(_FIELDS, key=len, reverse=True):
        text = text.replace(f"${name}", str(_FIELDS[name]))
    assert "$" not in text
    return text
