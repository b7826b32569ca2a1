; Wasm's frames in the tracebacks of Python's exceptions (see `debug.python_frames`). All of this wants the GIL.

; Add frames to the traceback of the pending exception, the innermost first. %frames is a list with the code object of
; the first one, its globals, the code object of the second one, and so on.
define internal void @add_frames(ptr %frames) #0 {
entry:
  %type = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
  %state = call ptr @PyThreadState_Get()
  %size = call i64 @PyList_Size(ptr %frames)
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %add ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %make, label %done
make:
  %code = call ptr @PyList_GetItem(ptr %frames, i64 %i)
  %second = add i64 %i, 1
  %globals = call ptr @PyList_GetItem(ptr %frames, i64 %second)
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %trace)
  %frame = call ptr @PyFrame_New(ptr %state, ptr %code, ptr %globals, ptr null)
  %none = icmp eq ptr %frame, null
  br i1 %none, label %no.memory, label %add
no.memory: ; the exception has to do without
  call void @PyErr_Clear()
  call void @restore(ptr %type, ptr %value, ptr %trace)
  br label %done
add:
  call void @restore(ptr %type, ptr %value, ptr %trace)
  %refused = call i32 @PyTraceBack_Here(ptr %frame)
  call void @Py_DecRef(ptr %frame)
  %next = add i64 %i, 2
  br label %loop
done:
  ret void
}

define internal void @restore(ptr %type, ptr %value, ptr %trace) {
  %t = load ptr, ptr %type
  %v = load ptr, ptr %value
  %b = load ptr, ptr %trace
  call void @PyErr_Restore(ptr %t, ptr %v, ptr %b)
  ret void
}

; After something raised that was to improve the traceback of an exception: whether that exception is pending again. It
; is where there was no room to improve it; else what was raised in the meantime counts, a KeyboardInterrupt for one.
define internal i1 @after_all(ptr %type, ptr %value, ptr %trace) noinline cold {
  %deep.class = load ptr, ptr @PyExc_RecursionError
  %deep = call i32 @PyErr_ExceptionMatches(ptr %deep.class)
  %full.class = load ptr, ptr @PyExc_MemoryError
  %full = call i32 @PyErr_ExceptionMatches(ptr %full.class)
  %either = or i32 %deep, %full
  %no.room = icmp ne i32 %either, 0
  br i1 %no.room, label %keep, label %drop
keep:
  call void @PyErr_Clear()
  call void @restore(ptr %type, ptr %value, ptr %trace)
  ret i1 true
drop:
  call void @give_up(ptr %type, ptr %value, ptr %trace)
  ret i1 false
}

; Add the frames of an activation from the one at %fp to %end to the traceback of the pending exception. Whether that is
; still the same.
define internal i1 @add_wasm_frames(ptr %act, ptr %fp, ptr %end) noinline {
  %type = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
  %arguments = alloca ptr
  %exit.at = getelementptr i8, ptr @wasmark_python, i64 $HOOK_EXIT
  %exit = load ptr, ptr %exit.at
  %exits = call i32 @PyErr_ExceptionMatches(ptr %exit)
  %ends = icmp ne i32 %exits, 0
  br i1 %ends, label %as.is, label %walk
as.is: ; programs end so, and have to do it quickly
  ret i1 true
walk:
  call void @note(ptr %act, i64 0, i64 0)
  %count = call i64 @walk_to(ptr %act, i64 1, ptr %fp, ptr %end)
  %a.count = getelementptr i8, ptr %act, i64 $ACT_FRAME_COUNT
  store i64 %count, ptr %a.count
  %a.own = getelementptr i8, ptr %act, i64 $ACT_OWN_COUNT
  store i64 %count, ptr %a.own
  %room = add i64 $FRAMES_KEPT, $FRAMES_KEPT
  %few = icmp ult i64 %count, %room
  %kept = select i1 %few, i64 %count, i64 %room
  %bytes = shl i64 %kept, 3
  %head = sub i64 $ACT_FRAMES, $ACT_FRAME_COUNT
  %size = add i64 %bytes, %head
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %trace)
  %report = call ptr @PyBytes_FromStringAndSize(ptr %a.count, i64 %size)
  %none = icmp eq ptr %report, null
  br i1 %none, label %failed, label %ask
ask:
  store ptr %report, ptr %arguments
  %hook.at = getelementptr i8, ptr @wasmark_python, i64 $HOOK_FRAMES
  %hook = load ptr, ptr %hook.at
  %frames = call ptr @PyObject_Vectorcall(ptr %hook, ptr %arguments, i64 1, ptr null)
  call void @Py_DecRef(ptr %report)
  %bad = icmp eq ptr %frames, null
  br i1 %bad, label %failed, label %add
add:
  call void @restore(ptr %type, ptr %value, ptr %trace)
  call void @add_frames(ptr %frames)
  call void @Py_DecRef(ptr %frames)
  ret i1 true
failed:
  %same = call i1 @after_all(ptr %type, ptr %value, ptr %trace)
  ret i1 %same
}

; Raise an exception out of wasm, whose frames are those of the list, as `add_frames` takes it.
define internal void @raise_with(ptr %exception, ptr %frames) {
  %type.at = getelementptr i8, ptr %exception, i64 $OBJECT_TYPE
  %type = load ptr, ptr %type.at
  call void @PyErr_SetObject(ptr %type, ptr %exception)
  call void @add_frames(ptr %frames)
  ret void
}

; raise_with(exception, frames), for Python.
define ptr @wasmark_raise_with(ptr %self, ptr %args, i64 %count) #0 {
  %exception = load ptr, ptr %args
  %a.frames = getelementptr ptr, ptr %args, i64 1
  %frames = load ptr, ptr %a.frames
  call void @raise_with(ptr %exception, ptr %frames)
  ret ptr null
}

; What the pending exception passed of this package on its way to wasm, or back from it, is nobody's concern.
define internal void @trim() noinline cold {
  %type = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
  %arguments = alloca ptr
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %trace)
  %traceback = load ptr, ptr %trace
  %none = icmp eq ptr %traceback, null
  br i1 %none, label %put.back, label %ask
ask:
  store ptr %traceback, ptr %arguments
  %hook.at = getelementptr i8, ptr @wasmark_python, i64 $HOOK_TRIM
  %hook = load ptr, ptr %hook.at
  %rest = call ptr @PyObject_Vectorcall(ptr %hook, ptr %arguments, i64 1, ptr null)
  %bad = icmp eq ptr %rest, null
  br i1 %bad, label %failed, label %trimmed
trimmed:
  call void @Py_DecRef(ptr %traceback)
  %nothing = icmp eq ptr %rest, @_Py_NoneStruct
  br i1 %nothing, label %empty, label %shorter
empty: ; from CPython 3.14 on, an exception that is restored without a traceback keeps the one that it has
  call void @Py_DecRef(ptr %rest)
  store ptr null, ptr %trace
  call void @PyErr_NormalizeException(ptr %type, ptr %value, ptr %trace)
  %exception = load ptr, ptr %value
  %emptied = call i32 @PyException_SetTraceback(ptr %exception, ptr @_Py_NoneStruct)
  br label %put.back
shorter:
  store ptr %rest, ptr %trace
  br label %put.back
put.back:
  call void @restore(ptr %type, ptr %value, ptr %trace)
  ret void
failed:
  %same = call i1 @after_all(ptr %type, ptr %value, ptr %trace)
  ret void
}
