; The profiler's native part (`runtime/sampler.py` has the shapes).
;
; wasmark_sampler_loop   a thread that wakes at every tick and signals the threads that run wasm code
; wasmark_sample         the handler of that signal: puts the stack of the interrupted thread into the ring
; wasmark_look           the same for a thread that is in a host function, from another one that holds the GIL
; capture                puts down the Python frames below an activation, where that ends, if it was seen by one of these
;
; The Python frames below an activation do not change while it lasts. So the handler, which must not touch them, only
; gives the activation an id; they are put down when the activation is left, where they can be asked for as by any C
; function.

declare ptr @PyEval_GetFrame()
declare ptr @PyFrame_GetBack(ptr)
declare ptr @PyFrame_GetCode(ptr)
declare i32 @PyList_Append(ptr, ptr)
declare ptr @PyLong_FromUnsignedLongLong(i64)
declare i32 @PyGC_Disable()
declare i32 @PyGC_Enable()
@wasmark_sampler = external global i8

define i64 @wasmark_sampler_loop() #0 {
entry:
  %time = alloca [2 x i64], align 8
  %info = alloca [$SIGINFO_SIZE x i8], align 8
  call void @llvm.memset.p0.i64(ptr %info, i8 0, i64 $SIGINFO_SIZE, i1 false)
  %process = call i32 @getpid()
  %process.wide = sext i32 %process to i64
  store i32 $SAMPLER_SIGNAL, ptr %info
  %i.code = getelementptr i8, ptr %info, i64 $SIGINFO_CODE
  store i32 $SI_QUEUE, ptr %i.code
  %i.pid = getelementptr i8, ptr %info, i64 $SIGINFO_PID
  store i32 %process, ptr %i.pid
  %i.value = getelementptr i8, ptr %info, i64 $SIGINFO_VALUE
  store ptr @wasmark_sampler, ptr %i.value
  %s.active = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_ACTIVE
  %s.period = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_PERIOD
  %period = load i64, ptr %s.period
  %s.tick = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_TICK
  %s.now = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_NOW
  %fraction.at = getelementptr i64, ptr %time, i64 1
  %begin = call i64 @now()
  br label %sleep
sleep:
  %last = phi i64 [ %begin, %entry ], [ %base, %scanned ]
  %next = add i64 %last, %period
  %seconds = udiv i64 %next, 1000000000
  %fraction = urem i64 %next, 1000000000
  store i64 %seconds, ptr %time
  store i64 %fraction, ptr %fraction.at
  %slept = call i64 (i64, ...) @syscall(i64 $SYS_CLOCK_NANOSLEEP, i64 $CLOCK_MONOTONIC, i64 $TIMER_ABSTIME, ptr %time, ptr null)
  %active = load volatile i64, ptr %s.active
  %over = icmp eq i64 %active, 0
  br i1 %over, label %done, label %tick
tick:
  ; Who is late does not catch up: a tick that nobody saw is no sample.
  %now = call i64 @now()
  %allowed = add i64 %next, %period
  %late = icmp ugt i64 %now, %allowed
  %base = select i1 %late, i64 %now, i64 %next
  store volatile i64 %now, ptr %s.now
  %count = load volatile i64, ptr %s.tick
  %count1 = add i64 %count, 1
  store volatile i64 %count1, ptr %s.tick
  call void @claim(i32 $SAMPLER_SIGNAL, ptr @wasmark_sample)
  br label %scan
scan:
  %link = phi ptr [ @wasmark_monitor, %tick ], [ %t.next, %step ]
  %thread = load atomic ptr, ptr %link acquire, align 8
  %end = icmp eq ptr %thread, null
  br i1 %end, label %scanned, label %look
look:
  %t.next = getelementptr i8, ptr %thread, i64 $THREAD_NEXT
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %t.sequence = getelementptr i8, ptr %thread, i64 $THREAD_SEQUENCE
  %sequence = load volatile i64, ptr %t.sequence
  %t.seen = getelementptr i8, ptr %thread, i64 $THREAD_SAMPLED_SEQUENCE
  %seen = load i64, ptr %t.seen
  store i64 %sequence, ptr %t.seen
  ; Also who was in wasm since the last tick: else short calls, which the signal comes too late for, would seem to be
  ; fewer than they are. A thread that waits in the system is left alone.
  %running = icmp ne i64 %in, 0
  %changed = icmp ne i64 %sequence, %seen
  %wanted = or i1 %running, %changed
  br i1 %wanted, label %signal, label %step
signal:
  ; Where the thread has not come round to the last signal, it has stood still since: this one will be seen with that.
  %t.first = getelementptr i8, ptr %thread, i64 $THREAD_FIRST_TICK
  %earlier = cmpxchg ptr %t.first, i64 0, i64 %count1 monotonic monotonic
  %t.id = getelementptr i8, ptr %thread, i64 $THREAD_ID
  %id = load volatile i64, ptr %t.id
  %sent = call i64 (i64, ...) @syscall(i64 $SYS_TGSIGQUEUEINFO, i64 %process.wide, i64 %id, i64 $SAMPLER_SIGNAL, ptr %info)
  br label %step
step:
  br label %scan
scanned:
  br label %sleep
done:
  ret i64 0
}

define void @wasmark_sample(i32 %signal, ptr %info, ptr %context) #0 {
  %i.code = getelementptr i8, ptr %info, i64 $SIGINFO_CODE
  %code = load i32, ptr %i.code
  %queued = icmp eq i32 %code, $SI_QUEUE
  %i.value = getelementptr i8, ptr %info, i64 $SIGINFO_VALUE
  %value = load ptr, ptr %i.value
  %marked = icmp eq ptr %value, @wasmark_sampler
  %ours = and i1 %queued, %marked
  br i1 %ours, label %known, label %chain
known:
  %s.active = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_ACTIVE
  %active = load volatile i64, ptr %s.active
  %off = icmp eq i64 %active, 0
  br i1 %off, label %done, label %on
on:
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %stranger = icmp eq ptr %thread, null
  br i1 %stranger, label %done, label %where
where:
  %t.first = getelementptr i8, ptr %thread, i64 $THREAD_FIRST_TICK
  %first = atomicrmw xchg ptr %t.first, i64 0 monotonic
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  %act = load volatile ptr, ptr %thread
  %inside = icmp ne ptr %act, null
  %may = and i1 %running, %inside
  br i1 %may, label %stack, label %done
stack:
  ; Only on the thread's own stack: another handler may be what was interrupted, on the alternate one.
  %c.sp = getelementptr i8, ptr %context, i64 $CONTEXT_RSP
  %sp = load i64, ptr %c.sp
  %t.low = getelementptr i8, ptr %thread, i64 $THREAD_LOW
  %low = load i64, ptr %t.low
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load i64, ptr %a.end
  %above = icmp uge i64 %sp, %low
  %below = icmp ult i64 %sp, %end
  %on.stack = and i1 %above, %below
  br i1 %on.stack, label %take, label %done
take:
  %record = call ptr @take_record()
  %full = icmp eq ptr %record, null
  br i1 %full, label %done, label %write
write:
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc = load i64, ptr %c.pc
  %c.fp = getelementptr i8, ptr %context, i64 $CONTEXT_RBP
  %fp = load i64, ptr %c.fp
  call void @note_entry(ptr %record, i64 0, i64 %pc)
  %caller = call i64 @caller_without_frame(i64 %pc, i64 %sp, i64 %end)
  %none = icmp eq i64 %caller, 0
  br i1 %none, label %walk, label %extra
extra:
  call void @note_entry(ptr %record, i64 1, i64 %caller)
  br label %walk
walk:
  %n = phi i64 [ 1, %write ], [ 2, %extra ]
  %sane = icmp uge i64 %fp, %sp
  %start = select i1 %sane, i64 %fp, i64 %end
  call void @put_frames(ptr %record, ptr %thread, i64 %n, i64 %start)
  %r.first = getelementptr i8, ptr %record, i64 $RECORD_FIRST
  store i64 %first, ptr %r.first
  %r.ready = getelementptr i8, ptr %record, i64 $RECORD_READY
  %r.tick = getelementptr i8, ptr %record, i64 $RECORD_TICK
  %position = load i64, ptr %r.tick ; where take_record has left it
  %s.tick = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_TICK
  %tick = load volatile i64, ptr %s.tick
  store i64 %tick, ptr %r.tick
  %complete = add i64 %position, 1
  store atomic i64 %complete, ptr %r.ready release, align 8
  br label %done
done:
  ret void
chain:
  %wide = sext i32 %signal to i64
  %actions = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_ACTIONS
  %action.at = getelementptr ptr, ptr %actions, i64 %wide
  %action = load ptr, ptr %action.at
  %number = ptrtoint ptr %action to i64
  switch i64 %number, label %call [
    i64 0, label %default
    i64 1, label %done
  ]
default:
  %old = call ptr @signal(i32 %signal, ptr null)
  %again = call i32 @raise(i32 %signal)
  ret void
call:
  call void %action(i32 %signal, ptr %info, ptr %context)
  ret void
}

; A slot of the ring, with its position at RECORD_TICK; null where there is none.
define internal ptr @take_record() {
entry:
  %s.head = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_HEAD
  %s.tail = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_TAIL
  %first = load atomic i64, ptr %s.head seq_cst, align 8
  br label %try
try:
  %head = phi i64 [ %first, %entry ], [ %found, %claim ]
  %tail = load atomic i64, ptr %s.tail acquire, align 8
  %used = sub i64 %head, %tail
  %full = icmp uge i64 %used, $SLOTS
  br i1 %full, label %drop, label %claim
drop:
  %s.dropped = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_DROPPED
  %old = atomicrmw add ptr %s.dropped, i64 1 monotonic
  ret ptr null
claim:
  %head1 = add i64 %head, 1
  %pair = cmpxchg ptr %s.head, i64 %head, i64 %head1 seq_cst seq_cst
  %found = extractvalue { i64, i1 } %pair, 0
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %got, label %try
got:
  %s.ring = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_RING
  %ring = load ptr, ptr %s.ring
  %number = urem i64 %head, $SLOTS
  %offset = mul i64 %number, $RECORD_SIZE
  %record = getelementptr i8, ptr %ring, i64 %offset
  %r.tick = getelementptr i8, ptr %record, i64 $RECORD_TICK
  store i64 %head, ptr %r.tick
  ret ptr %record
}

define internal void @note_entry(ptr %record, i64 %n, i64 %word) alwaysinline {
  %early = icmp ult i64 %n, $ENTRIES_KEPT
  %wrapped = urem i64 %n, $ENTRIES_KEPT
  %late = add i64 %wrapped, $ENTRIES_KEPT
  %at = select i1 %early, i64 %n, i64 %late
  %entries = getelementptr i8, ptr %record, i64 $RECORD_ENTRIES
  %slot = getelementptr i64, ptr %entries, i64 %at
  store i64 %word, ptr %slot
  ret void
}

; Where the interrupted code has no frame of its own yet, or no longer, rbp is its caller's, and the return address lies at
; the stack pointer: before `push rbp`, at `ret`, behind `push rbp` one word higher. So it may in a function of libc that
; needs no frame. 0 where the walk finds everybody.
define internal i64 @caller_without_frame(i64 %pc, i64 %sp, i64 %end) {
  %room = add i64 %sp, 16
  %fits = icmp ule i64 %room, %end
  br i1 %fits, label %look, label %no
look:
  %top = inttoptr i64 %sp to ptr
  %first = load i64, ptr %top
  %wasm = call i1 @is_wasm(i64 %pc)
  br i1 %wasm, label %decode, label %foreign
decode:
  %instruction = inttoptr i64 %pc to ptr
  %opcode = load i8, ptr %instruction
  switch i8 %opcode, label %no [
    i8 85, label %at.top
    i8 195, label %at.top
    i8 72, label %wide
  ]
wide: ; mov rbp, rsp?
  %operands.at = getelementptr i8, ptr %instruction, i64 1
  %operands = load i16, ptr %operands.at, align 1
  %move = icmp eq i16 %operands, -6775
  br i1 %move, label %above, label %no
above:
  %second.at = getelementptr i64, ptr %top, i64 1
  %second = load i64, ptr %second.at
  ret i64 %second
foreign:
  %called.by.wasm = call i1 @is_wasm(i64 %first)
  br i1 %called.by.wasm, label %at.top, label %no
at.top:
  ret i64 %first
no:
  ret i64 0
}

; The rest of a record: the frames from %start on, of all activations of the thread, with their ids.
define internal void @put_frames(ptr %record, ptr %thread, i64 %n.start, i64 %start) #0 {
entry:
  %r.thread = getelementptr i8, ptr %record, i64 $RECORD_THREAD
  %t.id = getelementptr i8, ptr %thread, i64 $THREAD_ID
  %id = load i64, ptr %t.id
  store i64 %id, ptr %r.thread
  %r.time = getelementptr i8, ptr %record, i64 $RECORD_TIME
  %s.now = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_NOW
  %now = load volatile i64, ptr %s.now
  store i64 %now, ptr %r.time
  %innermost = load volatile ptr, ptr %thread
  br label %activation
activation:
  %act = phi ptr [ %innermost, %entry ], [ %outer, %next ]
  %n0 = phi i64 [ %n.start, %entry ], [ %n.after, %next ]
  %fp0 = phi i64 [ %start, %entry ], [ %outer.fp, %next ]
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load i64, ptr %a.end
  br label %frame
frame:
  %fp = phi i64 [ %fp0, %activation ], [ %up, %look ]
  %n = phi i64 [ %n0, %activation ], [ %n1, %look ]
  %low = phi i64 [ 0, %activation ], [ %fp, %look ]
  %set = icmp ugt i64 %fp, %low
  %inside = icmp ult i64 %fp, %end
  %more = and i1 %set, %inside
  br i1 %more, label %look, label %ascend
look:
  %frame.at = inttoptr i64 %fp to ptr
  %return.at = getelementptr i64, ptr %frame.at, i64 1
  %return = load i64, ptr %return.at
  call void @note_entry(ptr %record, i64 %n, i64 %return)
  %n1 = add i64 %n, 1
  %up = load i64, ptr %frame.at
  br label %frame
ascend:
  %a.sampled = getelementptr i8, ptr %act, i64 $ACT_SAMPLED
  %known = load i64, ptr %a.sampled
  %new = icmp eq i64 %known, 0
  br i1 %new, label %number, label %mark
number:
  %s.ids = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_IDS
  %last = atomicrmw add ptr %s.ids, i64 1 monotonic
  %fresh = add i64 %last, 1
  store i64 %fresh, ptr %a.sampled
  br label %mark
mark:
  %its = phi i64 [ %known, %ascend ], [ %fresh, %number ]
  %marked = or i64 %its, $ACTIVATION_MARK
  call void @note_entry(ptr %record, i64 %n, i64 %marked)
  %n.after = add i64 %n, 1
  %a.previous = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  %outer = load ptr, ptr %a.previous
  %top = icmp eq ptr %outer, null
  br i1 %top, label %done, label %next
next:
  %o.exit = getelementptr i8, ptr %outer, i64 $ACT_EXIT_FP
  %outer.fp = load i64, ptr %o.exit
  br label %activation
done:
  %r.count = getelementptr i8, ptr %record, i64 $RECORD_COUNT
  store i64 %n.after, ptr %r.count
  ret void
}

; The stack of a thread that is in no wasm code, into a record that is the caller's. To be called with the GIL: without it
; nobody goes back to wasm. LOOK_DONE, or LOOK_NONE where the thread is in wasm code after all.
define i64 @wasmark_look(ptr %thread, ptr %record) #0 {
  %r.count = getelementptr i8, ptr %record, i64 $RECORD_COUNT
  store i64 0, ptr %r.count
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  br i1 %running, label %refuse, label %look
refuse:
  ret i64 $LOOK_NONE
look:
  %act = load volatile ptr, ptr %thread
  %none = icmp eq ptr %act, null
  br i1 %none, label %done, label %walk
walk:
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  %exit = load volatile i64, ptr %a.exit
  call void @put_frames(ptr %record, ptr %thread, i64 0, i64 %exit)
  br label %done
done:
  ret i64 $LOOK_DONE
}

; The id of the innermost activation of a thread that is in wasm code; 0 where it is not, or has none. With the GIL.
define i64 @wasmark_look_inside(ptr %thread) #0 {
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  %act = load volatile ptr, ptr %thread
  %there = icmp ne ptr %act, null
  %both = and i1 %running, %there
  br i1 %both, label %yes, label %no
yes:
  %a.sampled = getelementptr i8, ptr %act, i64 $ACT_SAMPLED
  %id = load volatile i64, ptr %a.sampled
  ret i64 %id
no:
  ret i64 0
}

; An activation that has an id is over: put down that, and the code of each Python frame below it, innermost first. No
; Python code runs meanwhile, and nothing is collected; an exception may be on its way.
define internal void @capture(i64 %id) noinline cold {
entry:
  %type = alloca ptr
  %value = alloca ptr
  %traceback = alloca ptr
  %s.captures = getelementptr i8, ptr @wasmark_sampler, i64 $SAMPLER_CAPTURES
  %captures = load volatile ptr, ptr %s.captures
  %over = icmp eq ptr %captures, null
  br i1 %over, label %done, label %begin
begin:
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %traceback)
  %collecting = call i32 @PyGC_Disable()
  %number = call ptr @PyLong_FromUnsignedLongLong(i64 %id)
  %no.memory = icmp eq ptr %number, null
  br i1 %no.memory, label %end, label %number.it
number.it:
  %noted = call i32 @PyList_Append(ptr %captures, ptr %number)
  call void @Py_DecRef(ptr %number)
  %innermost = call ptr @PyEval_GetFrame()
  %nobody = icmp eq ptr %innermost, null
  br i1 %nobody, label %end, label %own
own:
  call void @Py_IncRef(ptr %innermost)
  br label %frame
frame:
  %frame.now = phi ptr [ %innermost, %own ], [ %back, %again ]
  %code = call ptr @PyFrame_GetCode(ptr %frame.now)
  %appended = call i32 @PyList_Append(ptr %captures, ptr %code)
  call void @Py_DecRef(ptr %code)
  %back = call ptr @PyFrame_GetBack(ptr %frame.now)
  call void @Py_DecRef(ptr %frame.now)
  %last = icmp eq ptr %back, null
  br i1 %last, label %end, label %again
again:
  br label %frame
end:
  %was.on = icmp ne i32 %collecting, 0
  br i1 %was.on, label %collect, label %restore
collect:
  %enabled = call i32 @PyGC_Enable()
  br label %restore
restore:
  %t = load ptr, ptr %type
  %v = load ptr, ptr %value
  %tb = load ptr, ptr %traceback
  call void @PyErr_Restore(ptr %t, ptr %v, ptr %tb)
  br label %done
done:
  ret void
}
