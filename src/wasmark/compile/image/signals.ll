; The signal handlers. They take no lock, allocate nothing and touch no Python object.
;
; wasmark_signal   SIGSEGV, SIGBUS and SIGILL: asks the process table whether the pc is ours, finds out which trap it is,
;                  writes down the frames, and makes the interrupted thread continue in wasmark_unwind. All else goes to
;                  the handler that was there before.
; wasmark_tick     the monitor's signal: a thread has been in wasm for long. Where it finds the pc in wasm code it makes the
;                  thread continue in wasmark_interrupted (`stopping.ll`); elsewhere it leaves a note for the way back.

; The innermost activation of this thread, or null.
define internal ptr @activation() {
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %none = icmp eq ptr %thread, null
  br i1 %none, label %no, label %yes
no:
  ret ptr null
yes:
  %act = load ptr, ptr %thread
  ret ptr %act
}

define void @wasmark_unwind() #0 {
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %act = load ptr, ptr %thread
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
}

; Write `pc` down as frame number `n`: the first ones one after the other, the others into a ring behind them.
define internal void @note(ptr %act, i64 %n, i64 %pc) alwaysinline {
  %early = icmp ult i64 %n, $FRAMES_KEPT
  %wrapped = urem i64 %n, $FRAMES_KEPT
  %late = add i64 %wrapped, $FRAMES_KEPT
  %at = select i1 %early, i64 %n, i64 %late
  %frames = getelementptr i8, ptr %act, i64 $ACT_FRAMES
  %slot = getelementptr i64, ptr %frames, i64 %at
  store i64 %pc, ptr %slot
  ret void
}

; Walk the frame pointers from %start to %end, and note the return addresses as frames %first, %first + 1, ... Answers the
; number of the frame that would come next.
define internal i64 @walk_to(ptr %target, i64 %first, ptr %start, ptr %end) #0 {
entry:
  br label %frame
frame:
  %fp = phi ptr [ %start, %entry ], [ %up, %step ]
  %n = phi i64 [ %first, %entry ], [ %n1, %step ]
  %inside = icmp ult ptr %fp, %end
  br i1 %inside, label %look, label %out
look:
  %r = getelementptr i8, ptr %fp, i64 8
  %return = load i64, ptr %r
  call void @note(ptr %target, i64 %n, i64 %return)
  %n1 = add i64 %n, 1
  %up = load ptr, ptr %fp
  %upward = icmp ugt ptr %up, %fp
  br i1 %upward, label %step, label %end.of.chain
step:
  br label %frame
end.of.chain:
  ret i64 %n1
out:
  ret i64 %n
}

; Walk the frame pointers of this activation, then of those around it from where they called Python.
define internal void @walk(ptr %target, i64 %pc, ptr %start) #0 {
entry:
  call void @note(ptr %target, i64 0, i64 %pc)
  %t.end = getelementptr i8, ptr %target, i64 $ACT_ENTRY_FP
  %own.end = load ptr, ptr %t.end
  %own = call i64 @walk_to(ptr %target, i64 1, ptr %start, ptr %own.end)
  %a.own = getelementptr i8, ptr %target, i64 $ACT_OWN_COUNT
  store i64 %own, ptr %a.own
  br label %ascend
ascend:
  %act = phi ptr [ %target, %entry ], [ %outer, %next ]
  %n = phi i64 [ %own, %entry ], [ %n1, %next ]
  %a.prev = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  %outer = load ptr, ptr %a.prev
  %top = icmp eq ptr %outer, null
  br i1 %top, label %done, label %next
next:
  %o.exit = getelementptr i8, ptr %outer, i64 $ACT_EXIT_FP
  %outer.fp = load ptr, ptr %o.exit
  %o.end = getelementptr i8, ptr %outer, i64 $ACT_ENTRY_FP
  %outer.end = load ptr, ptr %o.end
  %n1 = call i64 @walk_to(ptr %target, i64 %n, ptr %outer.fp, ptr %outer.end)
  br label %ascend
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

; Whether somebody in this process sent the signal while this thread was in wasm, but in other code than wasm's: that can
; only be another handler, which reported one of our traps and now wants to hand it on (see below).
define internal i1 @handed_on(ptr %info) {
  %i.code = getelementptr i8, ptr %info, i64 $SIGINFO_CODE
  %code = load i32, ptr %i.code
  %raised = icmp eq i32 %code, $SI_TKILL
  br i1 %raised, label %who, label %no
who:
  %i.sender = getelementptr i8, ptr %info, i64 $SIGINFO_PID
  %sender = load i32, ptr %i.sender
  %self = call i32 @getpid()
  %by.us = icmp eq i32 %sender, %self
  br i1 %by.us, label %where, label %no
where:
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %stranger = icmp eq ptr %thread, null
  br i1 %stranger, label %no, label %known
known:
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  ret i1 %running
no:
  ret i1 false
}

; The trap code for a signal at a pc in wasm code, or 0 where it is none of ours. Close to the stack pointer it is the
; stack that ends: the granule may be that of a linear memory which is no more.
define internal i64 @classify(i32 %signal, i64 %pc, ptr %info, ptr %context, ptr %act) {
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
  %i.address = getelementptr i8, ptr %info, i64 $SIGINFO_ADDRESS
  %address = load i64, ptr %i.address
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  %t.low = getelementptr i8, ptr %thread, i64 $THREAD_LOW
  %low = load i64, ptr %t.low
  %a.limit = getelementptr i8, ptr %act, i64 $ACT_STACK_LIMIT
  %limit = load i64, ptr %a.limit
  %under = sub i64 %low, $BELOW_STACK
  %not.under = icmp uge i64 %address, %under
  %below = icmp ult i64 %address, %limit
  %in.stack = and i1 %not.under, %below
  %c.sp = getelementptr i8, ptr %context, i64 $CONTEXT_RSP
  %sp = load i64, ptr %c.sp
  %distance = sub i64 %sp, %address
  %shifted = add i64 %distance, $NEAR_STACK
  %window = add i64 $NEAR_STACK, $NEAR_STACK
  %near = icmp ult i64 %shifted, %window
  %pushed = and i1 %in.stack, %near
  br i1 %pushed, label %exhausted, label %access
access:
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
  br i1 %in.stack, label %exhausted, label %unknown
exhausted:
  ret i64 $STACK_TRAP
unknown:
  ret i64 0
}

define void @wasmark_signal(i32 %signal, ptr %info, ptr %context) #0 {
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc = load i64, ptr %c.pc
  %ours = call i1 @is_wasm(i64 %pc)
  br i1 %ours, label %wasm, label %elsewhere
elsewhere:
  ; faulthandler, enabled after us: it has made us the first again. The instruction faults once more when it returns.
  %handed.on = call i1 @handed_on(ptr %info)
  br i1 %handed.on, label %ignore, label %chain
ignore:
  ret void
wasm:
  %act = call ptr @activation()
  %outside = icmp eq ptr %act, null
  br i1 %outside, label %chain, label %inside
inside:
  %code = call i64 @classify(i32 %signal, i64 %pc, ptr %info, ptr %context, ptr %act)
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
  call void @pass_on(i32 %signal, ptr %info, ptr %context)
  ret void
}

; All of the interrupted machine's general registers in one number.
define internal i64 @digest(ptr %context) {
entry:
  %registers = getelementptr i8, ptr %context, i64 $CONTEXT_REGISTERS
  br label %more
more:
  %i = phi i64 [ 0, %entry ], [ %next, %more ]
  %sum = phi i64 [ 0, %entry ], [ %new, %more ]
  %register.at = getelementptr i64, ptr %registers, i64 %i
  %register = load i64, ptr %register.at
  %times = mul i64 %sum, 1000003
  %new = xor i64 %times, %register
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, $REGISTERS
  br i1 %done, label %out, label %more
out:
  ret i64 %new
}

; To the handler before us: it may send the thread elsewhere, as another runtime does with its traps, or repair what was
; missing, at the same place any number of times. One that raises the signal again wants whoever comes behind it, as
; faulthandler does when its report is done; but that may be us, so the default action is taken. And so it is where the
; very same fault comes back for ever: a handler that was switched off may still be in line.
define internal void @pass_on(i32 %signal, ptr %info, ptr %context) {
  %pending = alloca [$SIGSET_SIZE x i8], align 8
  %i.code = getelementptr i8, ptr %info, i64 $SIGINFO_CODE
  %code = load i32, ptr %i.code
  %sent = icmp sle i32 %code, 0 ; by somebody, not by the machine
  %wide = sext i32 %signal to i64
  %actions = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_ACTIONS
  %action.at = getelementptr ptr, ptr %actions, i64 %wide
  %action = load ptr, ptr %action.at
  %number = ptrtoint ptr %action to i64
  %real = icmp ugt i64 %number, 1
  br i1 %real, label %ask, label %none
ask:
  %now = call i64 @digest(ptr %context)
  %p.last = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_LAST
  %last = load i64, ptr %p.last
  %p.count = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_COUNT
  %count = load i64, ptr %p.count
  %same = icmp eq i64 %now, %last
  %counted = add i64 %count, 1
  %times = select i1 %same, i64 %counted, i64 0
  store i64 %now, ptr %p.last
  store i64 %times, ptr %p.count
  %stuck = icmp ugt i64 %times, $CHAINED_LIMIT
  br i1 %stuck, label %default, label %call
call:
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc.before = load i64, ptr %c.pc
  call void %action(i32 %signal, ptr %info, ptr %context)
  %pc.after = load i64, ptr %c.pc
  %unmoved = icmp eq i64 %pc.after, %pc.before
  br i1 %unmoved, label %look, label %moved
moved: ; sent elsewhere: dealt with, however often the same comes back
  store i64 0, ptr %p.last
  ret void
look:
  %asked = call i32 @sigpending(ptr %pending)
  %raised = call i32 @sigismember(ptr %pending, i32 %signal)
  %again = icmp eq i32 %raised, 1
  br i1 %again, label %default, label %done
none:
  %ignoring = icmp eq i64 %number, 1
  %ignored = and i1 %ignoring, %sent ; what the machine found cannot be ignored
  br i1 %ignored, label %done, label %default
default:
  %p.dying = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_DYING
  store atomic i64 1, ptr %p.dying seq_cst, align 8
  call void @report_crash(ptr %context)
  %old = call ptr @signal(i32 %signal, ptr null)
  br i1 %sent, label %resend, label %done
resend:
  %delivered.on.return = call i32 @raise(i32 %signal)
  br label %done
done:
  ret void
}

; Make our handlers the first in line, with whoever is there now behind them.
define void @wasmark_claim() #0 {
  call void @claim(i32 $SIGSEGV, ptr @wasmark_signal)
  call void @claim(i32 $SIGBUS, ptr @wasmark_signal)
  call void @claim(i32 $SIGILL, ptr @wasmark_signal)
  call void @claim(i32 $MONITOR_SIGNAL, ptr @wasmark_tick)
  ret void
}

define internal void @claim(i32 %signal, ptr %handler) {
  %wanted = alloca [$SIGACTION_SIZE x i8], align 8
  %current = alloca [$SIGACTION_SIZE x i8], align 8
  %asked = call i32 @sigaction(i32 %signal, ptr null, ptr %current)
  %present = load ptr, ptr %current
  %ours = icmp eq ptr %present, %handler
  br i1 %ours, label %done, label %other
other: ; asked after that one was seen: the default action stays, and the fault that comes back ends the process
  %p.dying = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_DYING
  %dying = load atomic i64, ptr %p.dying seq_cst, align 8
  %ending = icmp ne i64 %dying, 0
  br i1 %ending, label %done, label %install
install:
  %wide = sext i32 %signal to i64
  %actions = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_ACTIONS
  %action.at = getelementptr ptr, ptr %actions, i64 %wide
  store ptr %present, ptr %action.at
  call void @llvm.memset.p0.i64(ptr %wanted, i8 0, i64 $SIGACTION_SIZE, i1 false)
  store ptr %handler, ptr %wanted
  %w.flags = getelementptr i8, ptr %wanted, i64 $SIGACTION_FLAGS
  store i32 $SA_FLAGS, ptr %w.flags
  %installed = call i32 @sigaction(i32 %signal, ptr %wanted, ptr null)
  br label %done
done:
  ret void
}

define void @wasmark_tick(i32 %signal, ptr %info, ptr %context) #0 {
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %stranger = icmp eq ptr %thread, null
  br i1 %stranger, label %chain, label %known
known:
  %t.ticked = getelementptr i8, ptr %thread, i64 $THREAD_TICKED
  %ticked = load volatile i64, ptr %t.ticked
  %sent = icmp ne i64 %ticked, 0
  br i1 %sent, label %ours, label %chain
ours:
  store volatile i64 0, ptr %t.ticked
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  br i1 %running, label %inside, label %done
inside:
  %t.pending = getelementptr i8, ptr %thread, i64 $THREAD_PENDING
  store volatile i64 1, ptr %t.pending
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc = load i64, ptr %c.pc
  %wasm = call i1 @is_wasm(i64 %pc)
  br i1 %wasm, label %divert, label %done
divert:
  call void @divert(ptr %context, i64 %pc)
  br label %done
done:
  ret void
chain:
  %wide = sext i32 %signal to i64
  %actions = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_ACTIONS
  %action.at = getelementptr ptr, ptr %actions, i64 %wide
  %action = load ptr, ptr %action.at
  %number = ptrtoint ptr %action to i64
  %real = icmp ugt i64 %number, 1
  br i1 %real, label %call, label %done
call:
  call void %action(i32 %signal, ptr %info, ptr %context)
  ret void
}
