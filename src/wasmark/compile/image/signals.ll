; The signal handlers. They take no lock, allocate nothing and touch no Python object.
;
; wasmark_signal   SIGSEGV, SIGBUS and SIGILL: asks the process table whether the pc is ours, finds out which trap it is,
;                  writes down the frames, and makes the interrupted thread continue in wasmark_unwind. All else goes to
;                  the handler that was there before.
; wasmark_tick     the monitor's signal: a thread has been in wasm for long. Wasm code holds no lock, so wherever in it
;                  the signal finds the thread, the GIL can be released.

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
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  %t.low = getelementptr i8, ptr %thread, i64 $THREAD_LOW
  %low = load i64, ptr %t.low
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
  %act = call ptr @activation()
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
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc = load i64, ptr %c.pc
  %wasm = call i1 @is_wasm(i64 %pc)
  br i1 %wasm, label %inside, label %done
inside:
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  %t.released = getelementptr i8, ptr %thread, i64 $THREAD_RELEASED
  %state = load volatile ptr, ptr %t.released
  %held = icmp eq ptr %state, null
  %may = and i1 %running, %held
  br i1 %may, label %release, label %done
release:
  %released = call ptr @PyEval_SaveThread()
  store volatile ptr %released, ptr %t.released
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
