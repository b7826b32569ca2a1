; Python -> wasm and wasm -> Python.
;
; wasmark_enter       runs a trampoline in this thread; a trap, or an exception of a host function, comes back here by a
;                     jump. It keeps the GIL: the monitor has it released when the call turns out to be a long one, and
;                     then the way out takes it again.
; wasmark_leave_wasm, wasmark_back_to_wasm   around what a host stub does with Python; the GIL is held in between.
; wasmark_raise       abandons the wasm frames after a host function raised, or those down to a handler of wasm's own.
; wasmark_host_call   a whole host call for signatures that the stubs do not convert themselves.
; wasmark_get_buffer  the bf_getbuffer of memories.

; A value that is needed after the second return of setjmp is read back from the activation, whose place in this frame
; is fixed: the compiler does not know of the jump and may have reused the slot of anything else.
define i32 @wasmark_enter(ptr %store, ptr %trampoline, ptr %code, ptr %context, ptr %slots) #0 {
  %act = alloca [$ACT_SIZE x i8], align 16
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %new = icmp eq ptr %thread, null
  br i1 %new, label %new.thread, label %claim
new.thread:
  ret i32 $STATUS_NEW_THREAD
claim:
  %s.owner = getelementptr i8, ptr %store, i64 $STORE_OWNER
  %pair = cmpxchg ptr %s.owner, ptr null, ptr %thread seq_cst seq_cst
  %owner = extractvalue { ptr, i1 } %pair, 0
  %first = extractvalue { ptr, i1 } %pair, 1
  %mine = icmp eq ptr %owner, %thread
  %may = or i1 %first, %mine
  br i1 %may, label %in, label %busy
busy:
  ret i32 $STATUS_BUSY
in:
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %previous = load ptr, ptr %thread
  %outermost = icmp eq ptr %previous, null
  br i1 %outermost, label %fresh, label %nested
fresh:
  %frame = ptrtoint ptr %fp to i64
  %s.budget = getelementptr i8, ptr %store, i64 $STORE_BUDGET
  %budget = load i64, ptr %s.budget
  %wanted = sub i64 %frame, %budget
  %t.lowest = getelementptr i8, ptr %thread, i64 $THREAD_LOWEST
  %lowest = load i64, ptr %t.lowest
  %enough = icmp ugt i64 %wanted, %lowest
  %own.limit = select i1 %enough, i64 %wanted, i64 %lowest
  br label %link
nested:
  %p.limit = getelementptr i8, ptr %previous, i64 $ACT_STACK_LIMIT
  %inherited = load i64, ptr %p.limit
  br label %link
link:
  %limit = phi i64 [ %own.limit, %fresh ], [ %inherited, %nested ]
  %a.previous = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  store volatile ptr %previous, ptr %a.previous
  %a.store = getelementptr i8, ptr %act, i64 $ACT_STORE
  store volatile ptr %store, ptr %a.store
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  store volatile ptr %thread, ptr %a.thread
  %a.fp = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  store volatile ptr %fp, ptr %a.fp
  ; Host functions that call each other without any wasm code between: nobody else looks at the limit.
  %deep = ptrtoint ptr %fp to i64
  %over = icmp ult i64 %deep, %limit
  br i1 %over, label %exhausted, label %enter, !prof !1
exhausted:
  %o.code = getelementptr i8, ptr %act, i64 $ACT_TRAP_CODE
  store volatile i64 $STACK_TRAP, ptr %o.code
  %o.pc = getelementptr i8, ptr %act, i64 $ACT_TRAP_PC
  store volatile i64 0, ptr %o.pc
  call void @walk(ptr %act, i64 0, ptr %fp)
  %o.report = getelementptr i8, ptr %thread, i64 $THREAD_REPORT
  call void @llvm.memcpy.p0.p0.i64(ptr %o.report, ptr %act, i64 $ACT_SIZE, i1 true)
  br i1 %first, label %give.back, label %refused
give.back:
  call void @wasmark_disown(ptr %store)
  br label %refused
refused:
  ret i32 $STATUS_TRAPPED
enter:
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  store volatile ptr null, ptr %a.exit
  %a.sampled = getelementptr i8, ptr %act, i64 $ACT_SAMPLED
  store volatile i64 0, ptr %a.sampled
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 $STATUS_RETURNED, ptr %a.status
  %a.limit = getelementptr i8, ptr %act, i64 $ACT_STACK_LIMIT
  store volatile i64 %limit, ptr %a.limit
  %first.word = zext i1 %first to i64
  %a.outermost = getelementptr i8, ptr %act, i64 $ACT_OUTERMOST
  store volatile i64 %first.word, ptr %a.outermost
  %s.limit = getelementptr i8, ptr %store, i64 $STORE_STACK_LIMIT
  %old.limit = load i64, ptr %s.limit
  %a.saved.limit = getelementptr i8, ptr %act, i64 $ACT_SAVED_LIMIT
  store volatile i64 %old.limit, ptr %a.saved.limit
  store volatile i64 %limit, ptr %s.limit
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %old.act = load ptr, ptr %s.act
  %a.saved.act = getelementptr i8, ptr %act, i64 $ACT_SAVED_ACTIVATION
  store volatile ptr %old.act, ptr %a.saved.act
  store volatile ptr %act, ptr %s.act
  %t.timeout = getelementptr i8, ptr %thread, i64 $THREAD_TIMEOUT
  %old.timeout = load i64, ptr %t.timeout
  %a.saved.timeout = getelementptr i8, ptr %act, i64 $ACT_SAVED_TIMEOUT
  store volatile i64 %old.timeout, ptr %a.saved.timeout
  %s.timeout = getelementptr i8, ptr %store, i64 $STORE_TIMEOUT
  %timeout = load i64, ptr %s.timeout
  %timed = icmp ne i64 %timeout, 0
  br i1 %timed, label %limit.time, label %prepare, !prof !1
limit.time:
  call void @limit_time(ptr %thread, i64 %timeout, ptr %old.act)
  br label %prepare
prepare:
  store volatile ptr %fp, ptr %act
  %sp = call ptr @llvm.stacksave.p0()
  %a.sp = getelementptr i8, ptr %act, i64 16
  store volatile ptr %sp, ptr %a.sp
  store volatile ptr %act, ptr %thread
  %landed = call i32 @llvm.eh.sjlj.setjmp(ptr %act)
  %direct = icmp eq i32 %landed, 0
  br i1 %direct, label %run, label %back
run:
  call void @running(ptr %thread)
  %due = call i1 @due(ptr %thread)
  br i1 %due, label %attend, label %go, !prof !1
attend:
  call void @stop_if_late(ptr %act, ptr %thread, i64 0, ptr %fp)
  br i1 %outermost, label %from.python, label %go
from.python: ; which has seen to all else
  %t.pending = getelementptr i8, ptr %thread, i64 $THREAD_PENDING
  store volatile i64 0, ptr %t.pending
  br label %go
go:
  call void %trampoline(ptr %context, ptr %code, ptr %slots)
  br label %leave
back:
  %b.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  %status = load volatile i64, ptr %b.status
  %trapped = icmp eq i64 %status, $STATUS_TRAPPED
  br i1 %trapped, label %trap, label %leave
trap:
  %b.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread2 = load volatile ptr, ptr %b.thread
  %report = getelementptr i8, ptr %thread2, i64 $THREAD_REPORT
  call void @llvm.memcpy.p0.p0.i64(ptr %report, ptr %act, i64 $ACT_SIZE, i1 true)
  br label %leave
leave:
  %l.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  store volatile ptr null, ptr %l.exit ; no host call is in progress any more
  %l.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread3 = load volatile ptr, ptr %l.thread
  call void @paused(ptr %thread3)
  %l.store = getelementptr i8, ptr %act, i64 $ACT_STORE
  %store2 = load volatile ptr, ptr %l.store
  %l.saved.limit = getelementptr i8, ptr %act, i64 $ACT_SAVED_LIMIT
  %limit2 = load volatile i64, ptr %l.saved.limit
  %l.limit = getelementptr i8, ptr %store2, i64 $STORE_STACK_LIMIT
  store volatile i64 %limit2, ptr %l.limit
  %l.saved.act = getelementptr i8, ptr %act, i64 $ACT_SAVED_ACTIVATION
  %act2 = load volatile ptr, ptr %l.saved.act
  %l.act = getelementptr i8, ptr %store2, i64 $STORE_ACTIVATION
  store volatile ptr %act2, ptr %l.act
  %l.saved.timeout = getelementptr i8, ptr %act, i64 $ACT_SAVED_TIMEOUT
  %timeout2 = load volatile i64, ptr %l.saved.timeout
  %l.timeout = getelementptr i8, ptr %thread3, i64 $THREAD_TIMEOUT
  store volatile i64 %timeout2, ptr %l.timeout
  %l.previous = getelementptr i8, ptr %act, i64 $ACT_PREVIOUS
  %previous2 = load volatile ptr, ptr %l.previous
  store volatile ptr %previous2, ptr %thread3
  %l.outermost = getelementptr i8, ptr %act, i64 $ACT_OUTERMOST
  %was.first = load volatile i64, ptr %l.outermost
  %l.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  %status2 = load volatile i64, ptr %l.status
  %result = trunc i64 %status2 to i32
  %give.up = icmp ne i64 %was.first, 0
  br i1 %give.up, label %disown, label %out
disown:
  call void @wasmark_disown(ptr %store2)
  br label %out
out:
  %l.sampled = getelementptr i8, ptr %act, i64 $ACT_SAMPLED
  %id = load volatile i64, ptr %l.sampled
  %unseen = icmp eq i64 %id, 0
  br i1 %unseen, label %end, label %seen, !prof !2
seen:
  call void @capture(i64 %id)
  br label %end
end:
  ret i32 %result
}

; The same for Python, where something may run, and trap, before the thread's report is read: a copy of it.
define i32 @wasmark_enter_reporting(ptr %store, ptr %trampoline, ptr %code, ptr %context, ptr %slots, ptr %report) #0 {
  %status = call i32 @wasmark_enter(ptr %store, ptr %trampoline, ptr %code, ptr %context, ptr %slots)
  %trapped = icmp eq i32 %status, $STATUS_TRAPPED
  br i1 %trapped, label %copy, label %done
copy:
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %t.report = getelementptr i8, ptr %thread, i64 $THREAD_REPORT
  call void @llvm.memcpy.p0.p0.i64(ptr %report, ptr %t.report, i64 $ACT_SIZE, i1 false)
  br label %done
done:
  ret i32 %status
}

; The store is free; whoever waits for it is woken.
define void @wasmark_disown(ptr %store) #0 {
  %s.owner = getelementptr i8, ptr %store, i64 $STORE_OWNER
  store atomic ptr null, ptr %s.owner seq_cst, align 8
  %s.waiters = getelementptr i8, ptr %store, i64 $STORE_WAITERS
  %waiters = load atomic i64, ptr %s.waiters seq_cst, align 8
  %none = icmp eq i64 %waiters, 0
  br i1 %none, label %done, label %wake
wake:
  %s.releases = getelementptr i8, ptr %store, i64 $STORE_RELEASES
  %old = atomicrmw add ptr %s.releases, i32 1 seq_cst
  %woken = call i64 (i64, ...) @syscall(i64 $SYS_FUTEX, ptr %s.releases, i64 $FUTEX_WAKE, i64 2147483647)
  br label %done
done:
  ret void
}

; Make this thread the owner: 1 if it became so, 0 if it was already, -1 if another thread is. The answer is also left in
; a word: an exception that Python raises at once does not lose it.
define i32 @wasmark_own(ptr %store, ptr %answer) #0 {
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %s.owner = getelementptr i8, ptr %store, i64 $STORE_OWNER
  %pair = cmpxchg ptr %s.owner, ptr null, ptr %thread seq_cst seq_cst
  %owner = extractvalue { ptr, i1 } %pair, 0
  %first = extractvalue { ptr, i1 } %pair, 1
  br i1 %first, label %became, label %other
became:
  store i32 1, ptr %answer
  ret i32 1
other:
  %mine = icmp eq ptr %owner, %thread
  %found = select i1 %mine, i32 0, i32 -1
  store i32 %found, ptr %answer
  ret i32 %found
}

; Wasm code runs from here on; the monitor may be asleep because none did.
define internal void @running(ptr %thread) alwaysinline {
  %t.sequence = getelementptr i8, ptr %thread, i64 $THREAD_SEQUENCE
  %sequence = load i64, ptr %t.sequence
  %next = add i64 %sequence, 1
  store volatile i64 %next, ptr %t.sequence
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  store volatile i64 1, ptr %t.in
  %m.idle = getelementptr i8, ptr @wasmark_monitor, i64 $MONITOR_IDLE
  %idle = load volatile i32, ptr %m.idle
  %asleep = icmp ne i32 %idle, 0
  br i1 %asleep, label %wake, label %done, !prof !1
wake:
  call void @wake_monitor()
  br label %done
done:
  ret void
}

define internal void @wake_monitor() noinline cold {
  call void @wasmark_claim()
  %m.idle = getelementptr i8, ptr @wasmark_monitor, i64 $MONITOR_IDLE
  store atomic i32 0, ptr %m.idle seq_cst, align 4
  %woken = call i64 (i64, ...) @syscall(i64 $SYS_FUTEX, ptr %m.idle, i64 $FUTEX_WAKE, i64 1)
  ret void
}

; Wasm code has stopped running; take the GIL again if the monitor gave it away.
define internal void @paused(ptr %thread) alwaysinline {
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  store volatile i64 0, ptr %t.in
  %t.released = getelementptr i8, ptr %thread, i64 $THREAD_RELEASED
  %state = load volatile ptr, ptr %t.released
  %held = icmp eq ptr %state, null
  br i1 %held, label %done, label %take, !prof !2
take:
  store volatile ptr null, ptr %t.released
  call void @PyEval_RestoreThread(ptr %state)
  br label %done
done:
  ret void
}

define void @wasmark_leave_wasm(ptr %context, ptr %fp) #0 {
  %h.store = getelementptr i8, ptr %context, i64 $HOST_STORE
  %store = load ptr, ptr %h.store
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  store volatile ptr %fp, ptr %a.exit
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  call void @paused(ptr %thread)
  ret void
}

define void @wasmark_back_to_wasm(ptr %context) #0 {
  %h.store = getelementptr i8, ptr %context, i64 $HOST_STORE
  %store = load ptr, ptr %h.store
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  call void @running(ptr %thread)
  %due = call i1 @due(ptr %thread)
  br i1 %due, label %attend, label %done, !prof !1
attend:
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  %exit = load ptr, ptr %a.exit
  call void @attend_call(ptr %act, ptr %thread, ptr %exit)
  br label %done
done:
  ret void
}

define void @wasmark_raise(ptr %context) #0 {
  %h.store = getelementptr i8, ptr %context, i64 $HOST_STORE
  %store = load ptr, ptr %h.store
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %caller = load ptr, ptr %fp
  ; A builtin (its context is in the store) throws nothing: what comes out of it is a Python signal handler's, and is not
  ; for the code that the handler interrupts.
  %context.at = ptrtoint ptr %context to i64
  %store.at = ptrtoint ptr %store to i64
  %offset = sub i64 %context.at, %store.at
  %builtin = icmp ult i64 %offset, $STORE_SIZE
  br i1 %builtin, label %leave, label %throw
throw:
  call void @throw_in(ptr %store, ptr %act, ptr %caller)
  br label %leave
leave:
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load ptr, ptr %a.end
  %added = call i1 @add_wasm_frames(ptr %act, ptr %caller, ptr %end)
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 $STATUS_RAISED, ptr %a.status
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
}

define void @wasmark_host_call(ptr %context, ptr %slots) #0 {
  %arguments = alloca ptr
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %stub = load ptr, ptr %fp ; whose return address is in wasm code
  call void @wasmark_leave_wasm(ptr %context, ptr %stub)
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
  br i1 %failed, label %trim, label %returned
returned:
  call void @Py_DecRef(ptr %result)
  call void @wasmark_back_to_wasm(ptr %context)
  ret void
trim:
  call void @trim()
  br label %raised
raised:
  call void @wasmark_raise(ptr %context)
  unreachable
}

; A host stub could not convert the result itself: Python does, into slots. Steals the result. False: it raised.
define i1 @wasmark_convert(ptr %context, ptr %result, ptr %slots) #0 {
  %arguments = alloca [2 x ptr]
  %address = call ptr @PyLong_FromVoidPtr(ptr %slots)
  %none = icmp eq ptr %address, null
  br i1 %none, label %failed, label %go
go:
  store ptr %result, ptr %arguments
  %second = getelementptr ptr, ptr %arguments, i64 1
  store ptr %address, ptr %second
  %h.convert = getelementptr i8, ptr %context, i64 $HOST_CONVERT
  %convert = load ptr, ptr %h.convert
  %done = call ptr @PyObject_Vectorcall(ptr %convert, ptr %arguments, i64 2, ptr null)
  call void @Py_DecRef(ptr %address)
  call void @Py_DecRef(ptr %result)
  %bad = icmp eq ptr %done, null
  br i1 %bad, label %raised, label %good
good:
  call void @Py_DecRef(ptr %done)
  ret i1 true
failed:
  call void @Py_DecRef(ptr %result)
  ret i1 false
raised:
  ret i1 false
}

; What a call stub does with all that is out of the ordinary: Python's own way of calling, `slow(function, *arguments)`.
define ptr @wasmark_call_slow(ptr %function, ptr %arguments, i64 %nargsf, ptr %names) #0 {
  %p.slow = getelementptr i8, ptr @wasmark_python, i64 $HOOK_CALL
  %slow = load ptr, ptr %p.slow
  %count = and i64 %nargsf, 9223372036854775807
  %result = call ptr @call_python(ptr %slow, ptr %function, ptr %arguments, i64 %count, ptr %names)
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %raised, label %done
raised:
  call void @trim()
  br label %done
done:
  ret ptr %result
}

; `callable(first, *arguments)`, of which the last ones may have names.
define internal ptr @call_python(ptr %callable, ptr %first, ptr %arguments, i64 %count, ptr %names) #0 {
  %none = icmp eq ptr %names, null
  br i1 %none, label %copy, label %keywords
keywords:
  %more = call i64 @PyTuple_Size(ptr %names)
  br label %copy
copy:
  %named = phi i64 [ 0, %0 ], [ %more, %keywords ]
  %values = add i64 %count, %named
  %size = add i64 %values, 1
  %all = alloca ptr, i64 %size
  store ptr %first, ptr %all
  %rest = getelementptr ptr, ptr %all, i64 1
  %bytes = shl i64 %values, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %rest, ptr %arguments, i64 %bytes, i1 false)
  %positional = add i64 %count, 1
  %result = call ptr @PyObject_Vectorcall(ptr %callable, ptr %all, i64 %positional, ptr %names)
  ret ptr %result
}

; After a trap: raises what `trap(function, report)` answers. The report is a copy, as above.
define ptr @wasmark_raise_trap(ptr %function) #0 {
  %arguments = alloca [2 x ptr]
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %t.report = getelementptr i8, ptr %thread, i64 $THREAD_REPORT
  %report = call ptr @PyBytes_FromStringAndSize(ptr %t.report, i64 $ACT_SIZE)
  %none = icmp eq ptr %report, null
  br i1 %none, label %failed, label %go
failed:
  ret ptr null
go:
  store ptr %function, ptr %arguments
  %second = getelementptr ptr, ptr %arguments, i64 1
  store ptr %report, ptr %second
  %p.trap = getelementptr i8, ptr @wasmark_python, i64 $HOOK_TRAP
  %trap = load ptr, ptr %p.trap
  %result = call ptr @PyObject_Vectorcall(ptr %trap, ptr %arguments, i64 2, ptr null)
  call void @Py_DecRef(ptr %report)
  %raised = icmp eq ptr %result, null
  br i1 %raised, label %failed, label %raise
raise:
  %exception = call ptr @PyTuple_GetItem(ptr %result, i64 0)
  %frames = call ptr @PyTuple_GetItem(ptr %result, i64 1)
  call void @raise_with(ptr %exception, ptr %frames)
  call void @Py_DecRef(ptr %result)
  ret ptr null
}

define i32 @wasmark_get_buffer(ptr %self, ptr %view, i32 %flags) {
  %source.at = getelementptr i8, ptr %self, i64 $BUFFER_SOURCE
  %source = load ptr, ptr %source.at
  %unmade = icmp eq ptr %source, null
  br i1 %unmade, label %refuse, label %export
refuse: ; its __init__ has not come that far
  %error = load ptr, ptr @PyExc_BufferError
  call void @PyErr_SetNone(ptr %error)
  ret i32 -1
export:
  %base.at = getelementptr i8, ptr %source, i64 $MEMORY_BASE
  %base = load ptr, ptr %base.at
  %length.at = getelementptr i8, ptr %source, i64 $MEMORY_LENGTH
  %length = load i64, ptr %length.at
  %done = call i32 @PyBuffer_FillInfo(ptr %view, ptr %self, ptr %base, i64 %length, i32 0, i32 %flags)
  ret i32 %done
}
