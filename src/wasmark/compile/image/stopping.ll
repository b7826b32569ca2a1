; What can come up while wasm runs, and what is done about it: a deadline has passed; a Python signal handler wants to run;
; other threads want the GIL.
;
; Wasm code looks at none of this. It is seen to
;   where it is entered, and where the host returns to it, if THREAD_PENDING or a deadline is set (`due`);
;   in the middle of it, where the monitor's signal has found it (`divert`, wasmark_interrupted);
;   between the pieces of long work (wasmark_fill, wasmark_copy).
; None of these places has anything in its hands that must not be dropped: an activation can be ended there.

; Whether there may be something to see to.
define internal i1 @due(ptr %thread) alwaysinline {
  %t.pending = getelementptr i8, ptr %thread, i64 $THREAD_PENDING
  %pending = load volatile i64, ptr %t.pending
  %t.deadline = getelementptr i8, ptr %thread, i64 $THREAD_DEADLINE
  %deadline = load volatile i64, ptr %t.deadline
  %t.timeout = getelementptr i8, ptr %thread, i64 $THREAD_TIMEOUT
  %timeout = load volatile i64, ptr %t.timeout
  %either = or i64 %pending, %deadline
  %any = or i64 %either, %timeout
  %due = icmp ne i64 %any, 0
  ret i1 %due
}

; A store is entered whose calls may take so many nanoseconds; %outer is the activation in it that there is already.
define internal void @limit_time(ptr %thread, i64 %timeout, ptr %outer) noinline {
  %nested = icmp ne ptr %outer, null
  br i1 %nested, label %done, label %outermost
outermost:
  %now = call i64 @now()
  %end = add i64 %now, %timeout
  %t.timeout = getelementptr i8, ptr %thread, i64 $THREAD_TIMEOUT
  %known = load i64, ptr %t.timeout
  %known.less = sub i64 %known, 1
  %end.less = sub i64 %end, 1
  %nearer = call i64 @llvm.umin.i64(i64 %known.less, i64 %end.less)
  %new = add i64 %nearer, 1
  store volatile i64 %new, ptr %t.timeout
  br label %done
done:
  ret void
}

; End the activation if a deadline has passed: as a trap at %pc, with the frames from the one at %fp on.
define internal void @stop_if_late(ptr %act, ptr %thread, i64 %pc, ptr %fp) noinline {
  %nearest = call i64 @nearest(ptr %thread)
  %none = icmp eq i64 %nearest, -1
  br i1 %none, label %go.on, label %look
look:
  %now = call i64 @now()
  %late = icmp ugt i64 %now, %nearest
  br i1 %late, label %stop, label %go.on
go.on:
  ret void
stop:
  %deadline = add i64 %nearest, 1
  %a.deadline = getelementptr i8, ptr %act, i64 $ACT_EXCEPTION
  store volatile i64 %deadline, ptr %a.deadline
  %a.code = getelementptr i8, ptr %act, i64 $ACT_TRAP_CODE
  store volatile i64 $INTERRUPT, ptr %a.code
  %a.pc = getelementptr i8, ptr %act, i64 $ACT_TRAP_PC
  store volatile i64 %pc, ptr %a.pc
  call void @walk(ptr %act, i64 %pc, ptr %fp)
  call void @abandon(ptr %act, i64 $STATUS_TRAPPED)
  unreachable
}

define internal void @abandon(ptr %act, i64 %status) noinline noreturn {
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 %status, ptr %a.status
  ; An exception may have been on its way into a handler that will not run.
  %a.store = getelementptr i8, ptr %act, i64 $ACT_STORE
  %store = load ptr, ptr %a.store
  %s.exception = getelementptr i8, ptr %store, i64 $STORE_EXCEPTION
  store volatile ptr null, ptr %s.exception
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
}

; See to everything, in the activation %act, where wasm code has made a call whose frame is at %frame.
define internal void @attend_call(ptr %act, ptr %thread, ptr %frame) noinline {
  %return.at = getelementptr i8, ptr %frame, i64 8
  %return = load i64, ptr %return.at
  %pc = sub i64 %return, 1
  call void @attend(ptr %act, ptr %thread, i64 %pc, ptr %frame)
  ret void
}

; The same where it is at %pc, and %frame is one that it seems to have called.
define internal void @attend(ptr %act, ptr %thread, i64 %pc, ptr %frame) noinline {
  %t.pending = getelementptr i8, ptr %thread, i64 $THREAD_PENDING
  %pending = load volatile i64, ptr %t.pending
  store volatile i64 0, ptr %t.pending
  %caller = load ptr, ptr %frame
  call void @stop_if_late(ptr %act, ptr %thread, i64 %pc, ptr %caller)
  %all = icmp ne i64 %pending, 0
  br i1 %all, label %handlers, label %done
handlers:
  %now = call i64 @now()
  %t.look = getelementptr i8, ptr %thread, i64 $THREAD_NEXT_LOOK
  %look.at = load i64, ptr %t.look
  %look = icmp uge i64 %now, %look.at
  br i1 %look, label %next.look, label %gil
next.look:
  %next = add i64 %now, $LOOK_EVERY
  store volatile i64 %next, ptr %t.look
  %t.main = getelementptr i8, ptr %thread, i64 $THREAD_MAIN
  %main = load i64, ptr %t.main
  %is.main = icmp ne i64 %main, 0
  br i1 %is.main, label %run, label %gil
run:
  call void @run_handlers(ptr %act, ptr %thread, i64 %pc, ptr %frame, i64 %now)
  br label %gil
gil:
  %t.released = getelementptr i8, ptr %thread, i64 $THREAD_RELEASED
  %state = load volatile ptr, ptr %t.released
  %held = icmp eq ptr %state, null
  br i1 %held, label %release, label %done
release:
  %released = call ptr @PyEval_SaveThread()
  store volatile ptr %released, ptr %t.released
  br label %done
done:
  ret void
}

; Run the Python signal handlers that wait to run. Where others hold the GIL for long, the next time is put off.
define internal void @run_handlers(ptr %act, ptr %thread, i64 %pc, ptr %frame, i64 %before) noinline {
  %innermost = alloca [2 x ptr], align 16
  %words.kept = alloca [$TRANSIENT_SIZE x i8], align 16
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  store volatile ptr %frame, ptr %a.exit
  call void @paused(ptr %thread)
  %now = call i64 @now()
  %waited = sub i64 %now, %before
  %patience = mul i64 %waited, $LOOK_PATIENCE
  %most = call i64 @llvm.umin.i64(i64 %patience, i64 $LOOK_AT_LEAST_EVERY)
  %pause = call i64 @llvm.umax.i64(i64 %most, i64 $LOOK_EVERY)
  %next = add i64 %now, %pause
  %t.look = getelementptr i8, ptr %thread, i64 $THREAD_NEXT_LOOK
  store volatile i64 %next, ptr %t.look
  ; The handler may call into the same store. On the stack, references are found by a collection.
  %a.store = getelementptr i8, ptr %act, i64 $ACT_STORE
  %store = load ptr, ptr %a.store
  %transient = getelementptr i8, ptr %store, i64 $TRANSIENT_FIRST
  call void @llvm.memcpy.p0.p0.i64(ptr %words.kept, ptr %transient, i64 $TRANSIENT_SIZE, i1 true)
  %s.exception = getelementptr i8, ptr %store, i64 $STORE_EXCEPTION
  store volatile ptr null, ptr %s.exception
  %s.fuel = getelementptr i8, ptr %store, i64 $STORE_FUEL ; code may have it in a register
  %fuel = load i64, ptr %s.fuel
  %s.capacity = getelementptr i8, ptr %store, i64 $STORE_TAIL_CAPACITY
  %capacity = load i64, ptr %s.capacity
  %tail.words = add i64 %capacity, 2
  %tail.kept = alloca i64, i64 %tail.words, align 16
  %tail.size = shl i64 %tail.words, 3
  %s.tail = getelementptr i8, ptr %store, i64 $STORE_TAIL_WORDS
  %tail = load ptr, ptr %s.tail
  %no.tail = icmp eq ptr %tail, null
  br i1 %no.tail, label %run, label %keep
keep:
  call void @llvm.memcpy.p0.p0.i64(ptr %tail.kept, ptr %tail, i64 %tail.size, i1 true)
  br label %run
run:
  %t.injected = getelementptr i8, ptr %thread, i64 $THREAD_INJECTED
  %depth = load i64, ptr %t.injected
  %deeper = add i64 %depth, 1
  store volatile i64 %deeper, ptr %t.injected
  %failed = call i32 @PyErr_CheckSignals()
  store volatile i64 %depth, ptr %t.injected
  %raised = icmp ne i32 %failed, 0
  br i1 %raised, label %leave, label %go.on
leave:
  %caller = load ptr, ptr %frame
  store ptr %caller, ptr %innermost
  %behind = add i64 %pc, 1 ; a return address is looked up by the byte before it
  %i.return = getelementptr i8, ptr %innermost, i64 8
  store i64 %behind, ptr %i.return
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load ptr, ptr %a.end
  %added = call i1 @add_wasm_frames(ptr %act, ptr %innermost, ptr %end)
  call void @abandon(ptr %act, i64 $STATUS_RAISED)
  unreachable
go.on:
  br i1 %no.tail, label %back, label %give.back
give.back: ; the handler may have made more room, elsewhere; code may know of either
  %tail.now = load ptr, ptr %s.tail
  call void @llvm.memcpy.p0.p0.i64(ptr %tail, ptr %tail.kept, i64 %tail.size, i1 true)
  call void @llvm.memcpy.p0.p0.i64(ptr %tail.now, ptr %tail.kept, i64 %tail.size, i1 true)
  br label %back
back:
  store i64 %fuel, ptr %s.fuel
  call void @llvm.memcpy.p0.p0.i64(ptr %transient, ptr %words.kept, i64 $TRANSIENT_SIZE, i1 true)
  call void @running(ptr %thread)
  ret void
}

; --- In the middle of wasm code ---------------------------------------------------------------------------------------

; The interrupted thread shall continue in wasmark_interrupted, as if the instruction at %pc had called it. Its frame is made
; here, below the 128 bytes under the stack pointer that code may use (the red zone):
;    0  the next frame: that of the function, or the one at 32
;    8  pc, as the return address
;   16  rbp
;   24  whether there is XSAVE
;   32  a frame for a function that has none yet, or no longer
define internal void @divert(ptr %context, i64 %pc) noinline {
  %c.sp = getelementptr i8, ptr %context, i64 $CONTEXT_RSP
  %sp = load ptr, ptr %c.sp
  %c.fp = getelementptr i8, ptr %context, i64 $CONTEXT_RBP
  %fp = load ptr, ptr %c.fp
  %frame = getelementptr i8, ptr %sp, i64 -176
  %f.pc = getelementptr i8, ptr %frame, i64 8
  store i64 %pc, ptr %f.pc
  %f.fp = getelementptr i8, ptr %frame, i64 16
  store ptr %fp, ptr %f.fp
  %m.xsave = getelementptr i8, ptr @wasmark_monitor, i64 $MONITOR_XSAVE
  %xsave = load i64, ptr %m.xsave
  %f.xsave = getelementptr i8, ptr %frame, i64 24
  store i64 %xsave, ptr %f.xsave
  %second = getelementptr i8, ptr %frame, i64 32
  store ptr %fp, ptr %second
  %return.at = call ptr @frameless(i64 %pc, ptr %sp)
  %has.frame = icmp eq ptr %return.at, null
  br i1 %has.frame, label %link, label %add
add:
  %return = load i64, ptr %return.at
  %second.return = getelementptr i8, ptr %frame, i64 40
  store i64 %return, ptr %second.return
  br label %link
link:
  %up = phi ptr [ %fp, %0 ], [ %second, %add ]
  store ptr %up, ptr %frame
  store ptr %frame, ptr %c.sp
  store ptr %frame, ptr %c.fp
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  store i64 ptrtoint (ptr @wasmark_interrupted to i64), ptr %c.pc
  ret void
}

; Where the return address of a function is whose instruction at %pc comes before it has made its frame, or after it has
; given it up; null where rbp is its own.
define internal ptr @frameless(i64 %pc, ptr %sp) noinline {
  %at = inttoptr i64 %pc to ptr
  %first = load i8, ptr %at
  switch i8 %first, label %other [ i8 85, label %top     ; push rbp
                                   i8 -61, label %top    ; ret
                                   i8 72, label %move
                                   i8 -23, label %jump   ; jmp, as a tail call does
                                   i8 -21, label %jump
                                   i8 65, label %jump
                                   i8 -1, label %jump ]
move: ; mov rbp, rsp
  %second.at = getelementptr i8, ptr %at, i64 1
  %second = load i16, ptr %second.at, align 1
  %is.move = icmp eq i16 %second, -6775 ; 89 e5
  br i1 %is.move, label %below, label %other
jump: ; behind pop rbp
  %before.at = getelementptr i8, ptr %at, i64 -1
  %before = load i8, ptr %before.at
  %popped = icmp eq i8 %before, 93
  br i1 %popped, label %top, label %other
top:
  ret ptr %sp
below:
  %next = getelementptr i8, ptr %sp, i64 8
  ret ptr %next
other:
  ret ptr null
}

; Everything that the code may have in use is kept: all registers, vectors with whatever extensions the processor has, and
; flags. 0xe7: x87, SSE, AVX, AVX-512.
define void @wasmark_interrupted() naked nounwind {
  call void asm sideeffect "
    pushfq
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    subq $$2752, %rsp
    andq $$-64, %rsp
    cmpq $$0, 24(%rbp)
    je 1f
    xorl %edx, %edx
    movq %rdx, 512(%rsp)
    movq %rdx, 520(%rsp)
    movq %rdx, 528(%rsp)
    movq %rdx, 536(%rsp)
    movq %rdx, 544(%rsp)
    movq %rdx, 552(%rsp)
    movq %rdx, 560(%rsp)
    movq %rdx, 568(%rsp)
    movl $$0xe7, %eax
    xsave64 (%rsp)
    movq %rbp, %rdi
    callq wasmark_attend_interrupted
    movl $$0xe7, %eax
    xorl %edx, %edx
    xrstor64 (%rsp)
    jmp 2f
  1:
    fxsave64 (%rsp)
    movq %rbp, %rdi
    callq wasmark_attend_interrupted
    fxrstor64 (%rsp)
  2:
    leaq -120(%rbp), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    popfq
    leaq 8(%rbp), %rsp
    movq 16(%rbp), %rbp
    retq $$160", ""()
  unreachable
}

define void @wasmark_attend_interrupted(ptr %frame) #0 {
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %act = load ptr, ptr %thread
  %pc.at = getelementptr i8, ptr %frame, i64 8
  %pc = load i64, ptr %pc.at
  call void @attend(ptr %act, ptr %thread, i64 %pc, ptr %frame)
  ret void
}

; --- Long work --------------------------------------------------------------------------------------------------------

; What memory.fill and the copying instructions call where there is much to do, in pieces.
define void @wasmark_fill(ptr %store, ptr %to, i8 %byte, i64 %size) #0 {
entry:
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  br label %piece
piece:
  %at = phi ptr [ %to, %entry ], [ %next, %more ]
  %left = phi i64 [ %size, %entry ], [ %rest, %more ]
  %length = call i64 @llvm.umin.i64(i64 %left, i64 $PIECE)
  call void @llvm.memset.p0.i64(ptr %at, i8 %byte, i64 %length, i1 false)
  %next = getelementptr i8, ptr %at, i64 %length
  %rest = sub i64 %left, %length
  %done = icmp eq i64 %rest, 0
  br i1 %done, label %out, label %more
more:
  call void @between_pieces(ptr %store, ptr %fp)
  br label %piece
out:
  ret void
}

; As memmove: from the end that is read before it is written.
define void @wasmark_copy(ptr %store, ptr %to, ptr %from, i64 %size) #0 {
entry:
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %to.number = ptrtoint ptr %to to i64
  %from.number = ptrtoint ptr %from to i64
  %distance = sub i64 %to.number, %from.number
  %backwards = icmp ult i64 %distance, %size
  br label %piece
piece:
  %done = phi i64 [ 0, %entry ], [ %done.next, %more ]
  %left = sub i64 %size, %done
  %length = call i64 @llvm.umin.i64(i64 %left, i64 $PIECE)
  %from.end = sub i64 %left, %length
  %offset = select i1 %backwards, i64 %from.end, i64 %done
  %to.at = getelementptr i8, ptr %to, i64 %offset
  %from.at = getelementptr i8, ptr %from, i64 %offset
  call void @llvm.memmove.p0.p0.i64(ptr %to.at, ptr %from.at, i64 %length, i1 false)
  %done.next = add i64 %done, %length
  %all = icmp eq i64 %done.next, %size
  br i1 %all, label %out, label %more
more:
  call void @between_pieces(ptr %store, ptr %fp)
  br label %piece
out:
  ret void
}

define internal void @between_pieces(ptr %store, ptr %fp) {
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  %t.pending = getelementptr i8, ptr %thread, i64 $THREAD_PENDING
  %pending = load volatile i64, ptr %t.pending
  %none = icmp eq i64 %pending, 0
  br i1 %none, label %done, label %attend, !prof !2
attend:
  call void @attend_call(ptr %act, ptr %thread, ptr %fp)
  br label %done
done:
  ret void
}
