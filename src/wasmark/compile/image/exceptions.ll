; Exceptions. One is an object of the heap (EXCEPTION_* in `runtime/layout.py`).
;
; wasmark_exception_new      makes one.
; wasmark_throw              unwinds: no frame says where its handlers are, but the registry knows which calls have one.
;                            Such a call "returns" when an exception is to be caught, with the exception in a word of the
;                            store, at which the code behind it looks; it does not rely on any register then.

; Whether the return address belongs to a call with a handler: 1, 0, or -1 where Python was asked and raised.
define internal i32 @is_catch_site(i64 %pc) {
  %mixed = mul i64 %pc, -7046029254386353131
  %number = lshr i64 %mixed, $CATCH_SITE_SHIFT
  %word.at = getelementptr i64, ptr @wasmark_catch_sites, i64 %number
  %word = load i64, ptr %word.at
  %known = lshr i64 %word, 1
  %hit = icmp eq i64 %known, %pc
  %bit = trunc i64 %word to i32
  %answer = and i32 %bit, 1
  br i1 %hit, label %yes, label %ask, !prof !2
yes:
  ret i32 %answer
ask:
  %arguments = alloca ptr
  %pc.pointer = inttoptr i64 %pc to ptr
  %object = call ptr @PyLong_FromVoidPtr(ptr %pc.pointer)
  %none = icmp eq ptr %object, null
  br i1 %none, label %failed, label %call
call:
  store ptr %object, ptr %arguments
  %hook.at = getelementptr i8, ptr @wasmark_python, i64 $HOOK_CATCHES
  %hook = load ptr, ptr %hook.at
  %result = call ptr @PyObject_Vectorcall(ptr %hook, ptr %arguments, i64 1, ptr null)
  call void @Py_DecRef(ptr %object)
  %bad = icmp eq ptr %result, null
  br i1 %bad, label %failed, label %learn
learn:
  %true = icmp eq ptr %result, @_Py_TrueStruct
  call void @Py_DecRef(ptr %result)
  %found = zext i1 %true to i64
  %shifted = shl i64 %pc, 1
  %entry = or i64 %shifted, %found
  store i64 %entry, ptr %word.at
  %new = zext i1 %true to i32
  ret i32 %new
failed:
  ret i32 -1
}

; The innermost frame from %fp on that was called by a call with a handler; null where the activation has none, -1 where
; Python raised. The GIL is held.
define internal ptr @find_handler(ptr %start, ptr %end) {
entry:
  br label %frame
frame:
  %fp = phi ptr [ %start, %entry ], [ %up, %further ]
  %inside = icmp ult ptr %fp, %end
  br i1 %inside, label %look, label %nowhere
look:
  %r = getelementptr i8, ptr %fp, i64 8
  %return = load i64, ptr %r
  %site = call i32 @is_catch_site(i64 %return)
  switch i32 %site, label %raised [ i32 0, label %next i32 1, label %here ]
next:
  %up = load ptr, ptr %fp
  %upward = icmp ugt ptr %up, %fp
  br i1 %upward, label %further, label %nowhere
further:
  br label %frame
here:
  ret ptr %fp
nowhere:
  ret ptr null
raised:
  ret ptr inttoptr (i64 -1 to ptr)
}

; Let the call return that made the frame at %fp.
define internal void @land(ptr %fp) noinline {
  %buffer = alloca [5 x ptr], align 16
  %caller = load ptr, ptr %fp
  store volatile ptr %caller, ptr %buffer
  %r = getelementptr i8, ptr %fp, i64 8
  %return = load ptr, ptr %r
  %b.pc = getelementptr i8, ptr %buffer, i64 8
  store volatile ptr %return, ptr %b.pc
  %sp = getelementptr i8, ptr %fp, i64 16
  %b.sp = getelementptr i8, ptr %buffer, i64 16
  store volatile ptr %sp, ptr %b.sp
  call void @llvm.eh.sjlj.longjmp(ptr %buffer)
  unreachable
}

; The exception is on its way to the handler whose call made the frame at %fp.
define internal void @catch(ptr %store, ptr %thread, ptr %exception, ptr %fp) noinline {
  %s.exception = getelementptr i8, ptr %store, i64 $STORE_EXCEPTION
  store ptr %exception, ptr %s.exception
  call void @running(ptr %thread)
  call void @land(ptr %fp)
  unreachable
}

define void @wasmark_throw(ptr %store, ptr %exception) #0 {
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  call void @paused(ptr %thread)
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load ptr, ptr %a.end
  %found = call ptr @find_handler(ptr %fp, ptr %end)
  %number = ptrtoint ptr %found to i64
  switch i64 %number, label %caught [ i64 0, label %uncaught i64 -1, label %raised ]
caught:
  call void @catch(ptr %store, ptr %thread, ptr %exception, ptr %found)
  unreachable
uncaught:
  call void @depart(ptr %store, ptr %exception)
  %a.exception = getelementptr i8, ptr %act, i64 $ACT_EXCEPTION
  store volatile ptr %exception, ptr %a.exception
  %a.code = getelementptr i8, ptr %act, i64 $ACT_TRAP_CODE
  store volatile i64 $THROWN, ptr %a.code
  %r = getelementptr i8, ptr %fp, i64 8
  %return = load i64, ptr %r
  %pc = sub i64 %return, 1
  %a.pc = getelementptr i8, ptr %act, i64 $ACT_TRAP_PC
  store volatile i64 %pc, ptr %a.pc
  %a.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 $STATUS_TRAPPED, ptr %a.status
  %up = load ptr, ptr %fp
  call void @walk(ptr %act, i64 %pc, ptr %up)
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
raised:
  %added = call i1 @add_wasm_frames(ptr %act, ptr %fp, ptr %end)
  %r.status = getelementptr i8, ptr %act, i64 $ACT_STATUS
  store volatile i64 $STATUS_RAISED, ptr %r.status
  call void @llvm.eh.sjlj.longjmp(ptr %act)
  unreachable
}

; An exception that nobody caught is in a list of its store from here until Python has made an exception of its own of it.
; The store has been left by then, and other threads run in it, throw, and collect. The same one may be on its way more
; than once. Both functions are called with the GIL, as is whoever collects.
define internal void @depart(ptr %store, ptr %exception) {
  %e.leaving = getelementptr i8, ptr %exception, i64 $EXCEPTION_LEAVING
  %times = load i32, ptr %e.leaving
  %more = add i32 %times, 1
  store i32 %more, ptr %e.leaving
  %known = icmp ne i32 %times, 0
  br i1 %known, label %done, label %link
link:
  %s.uncaught = getelementptr i8, ptr %store, i64 $STORE_UNCAUGHT
  %others = load ptr, ptr %s.uncaught
  %e.next = getelementptr i8, ptr %exception, i64 $EXCEPTION_NEXT
  store ptr %others, ptr %e.next
  store ptr %exception, ptr %s.uncaught
  br label %done
done:
  ret void
}

define void @wasmark_arrived(ptr %store, ptr %exception) #0 {
  %e.leaving = getelementptr i8, ptr %exception, i64 $EXCEPTION_LEAVING
  %times = load i32, ptr %e.leaving
  %less = sub i32 %times, 1
  store i32 %less, ptr %e.leaving
  %last = icmp eq i32 %less, 0
  br i1 %last, label %find, label %done
find:
  %s.uncaught = getelementptr i8, ptr %store, i64 $STORE_UNCAUGHT
  br label %look
look:
  %at = phi ptr [ %s.uncaught, %find ], [ %o.next, %other ]
  %here = load ptr, ptr %at
  %found = icmp eq ptr %here, %exception
  br i1 %found, label %unlink, label %other
other:
  %o.next = getelementptr i8, ptr %here, i64 $EXCEPTION_NEXT
  br label %look
unlink:
  %e.next = getelementptr i8, ptr %exception, i64 $EXCEPTION_NEXT
  %next = load ptr, ptr %e.next
  store ptr %next, ptr %at
  store ptr null, ptr %e.next
  br label %done
done:
  ret void
}

; After a host function raised: where that is an exception of wasm's that has a handler in this activation, go there.
; Otherwise it stays pending. %fp is the frame of the host function's stub.
define internal void @throw_in(ptr %store, ptr %act, ptr %fp) noinline {
  %type = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
  %arguments = alloca [3 x ptr]
  %word = alloca ptr
  %class.at = getelementptr i8, ptr @wasmark_python, i64 $HOOK_EXCEPTION
  %class = load ptr, ptr %class.at
  %matches = call i32 @PyErr_ExceptionMatches(ptr %class)
  %ours = icmp ne i32 %matches, 0
  br i1 %ours, label %look, label %out
look:
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %trace)
  call void @PyErr_NormalizeException(ptr %type, ptr %value, ptr %trace)
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load ptr, ptr %a.end
  %found = call ptr @find_handler(ptr %fp, ptr %end)
  %number = ptrtoint ptr %found to i64
  switch i64 %number, label %convert [ i64 0, label %restore i64 -1, label %drop ]
convert:
  ; It passes the frames up to the one with the handler, as it would those of Python.
  %t0 = load ptr, ptr %type
  %v0 = load ptr, ptr %value
  %b0 = load ptr, ptr %trace
  call void @PyErr_Restore(ptr %t0, ptr %v0, ptr %b0)
  %behind = getelementptr i8, ptr %found, i64 1
  %same = call i1 @add_wasm_frames(ptr %act, ptr %fp, ptr %behind)
  br i1 %same, label %offer, label %out
offer:
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %trace)
  call void @PyErr_NormalizeException(ptr %type, ptr %value, ptr %trace)
  %object = load ptr, ptr %value
  %traceback = load ptr, ptr %trace
  %no.trace = icmp eq ptr %traceback, null
  br i1 %no.trace, label %call, label %set.trace
set.trace:
  %set = call i32 @PyException_SetTraceback(ptr %object, ptr %traceback)
  br label %call
call:
  %address = call ptr @PyLong_FromVoidPtr(ptr %store)
  %no.address = icmp eq ptr %address, null
  br i1 %no.address, label %drop, label %ask
ask: ; the word is a part of the stack: what is in it is there until it has been thrown
  store volatile ptr null, ptr %word
  %place = call ptr @PyLong_FromVoidPtr(ptr %word)
  %no.place = icmp eq ptr %place, null
  br i1 %no.place, label %short, label %convert.it
short:
  call void @Py_DecRef(ptr %address)
  br label %drop
convert.it:
  store ptr %object, ptr %arguments
  %second = getelementptr ptr, ptr %arguments, i64 1
  store ptr %address, ptr %second
  %third = getelementptr ptr, ptr %arguments, i64 2
  store ptr %place, ptr %third
  %hook.at = getelementptr i8, ptr @wasmark_python, i64 $HOOK_THROW
  %hook = load ptr, ptr %hook.at
  %answer = call ptr @PyObject_Vectorcall(ptr %hook, ptr %arguments, i64 3, ptr null)
  call void @Py_DecRef(ptr %place)
  call void @Py_DecRef(ptr %address)
  %bad = icmp eq ptr %answer, null
  br i1 %bad, label %drop, label %take
take:
  call void @Py_DecRef(ptr %answer)
  %exception = load volatile ptr, ptr %word
  %foreign = icmp eq ptr %exception, null
  br i1 %foreign, label %restore, label %go
go:
  call void @give_up(ptr %type, ptr %value, ptr %trace)
  %a.thread = getelementptr i8, ptr %act, i64 $ACT_THREAD
  %thread = load ptr, ptr %a.thread
  call void @catch(ptr %store, ptr %thread, ptr %exception, ptr %found)
  unreachable
restore:
  %t = load ptr, ptr %type
  %v = load ptr, ptr %value
  %b = load ptr, ptr %trace
  call void @PyErr_Restore(ptr %t, ptr %v, ptr %b)
  br label %out
drop: ; something else was raised meanwhile
  call void @give_up(ptr %type, ptr %value, ptr %trace)
  br label %out
out:
  ret void
}

define internal void @give_up(ptr %type, ptr %value, ptr %trace) {
  %t = load ptr, ptr %type
  %v = load ptr, ptr %value
  %b = load ptr, ptr %trace
  call void @Py_DecRef(ptr %t)
  call void @Py_DecRef(ptr %v)
  call void @Py_DecRef(ptr %b)
  ret void
}

; An exception with a tag and room for so many values, which are for the caller to fill in; null where there is no room.
; The frames that are active are noted, the innermost ones.
define ptr @wasmark_exception_new(ptr %store, ptr %tag, i64 %values) #0 {
  %fp = call ptr @llvm.frameaddress.p0(i32 0)
  %twice = shl i64 %values, 1
  %words = add i64 %twice, $EXCEPTION_WORDS
  %bytes = shl i64 %words, 3
  %size = add i64 %bytes, $ARRAY_ELEMENTS
  %length = trunc i64 %words to i32
  %s.new = getelementptr i8, ptr %store, i64 $STORE_GC_NEW
  %new = load ptr, ptr %s.new
  %s.descriptor = getelementptr i8, ptr %store, i64 $STORE_GC_WORDS
  %descriptor = load ptr, ptr %s.descriptor
  %exception = call ptr %new(ptr %store, ptr %descriptor, i64 %size, i32 %length)
  %none = icmp eq ptr %exception, null
  br i1 %none, label %no.memory, label %fill
no.memory:
  ret ptr null
fill:
  %e.tag = getelementptr i8, ptr %exception, i64 $EXCEPTION_TAG
  store ptr %tag, ptr %e.tag
  %s.act = getelementptr i8, ptr %store, i64 $STORE_ACTIVATION
  %act = load ptr, ptr %s.act
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load ptr, ptr %a.end
  %frames = getelementptr i8, ptr %exception, i64 $EXCEPTION_FRAMES
  br label %frame
frame:
  %at = phi ptr [ %fp, %fill ], [ %up, %note ]
  %n = phi i64 [ 0, %fill ], [ %n1, %note ]
  %inside = icmp ult ptr %at, %end
  %room = icmp ult i64 %n, $EXCEPTION_FRAMES_KEPT
  %go.on = and i1 %inside, %room
  br i1 %go.on, label %note, label %done
note:
  %r = getelementptr i8, ptr %at, i64 8
  %return = load i64, ptr %r
  %slot = getelementptr i64, ptr %frames, i64 %n
  store i64 %return, ptr %slot
  %n1 = add i64 %n, 1
  %up = load ptr, ptr %at
  br label %frame
done:
  %count.at = getelementptr i8, ptr %exception, i64 $EXCEPTION_FRAME_COUNT
  %count = trunc i64 %n to i32
  store i32 %count, ptr %count.at
  ret ptr %exception
}
