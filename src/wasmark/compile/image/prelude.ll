; What the parts of the runtime image have in common.

declare ptr @pthread_getspecific(i32)
declare ptr @signal(i32, ptr)
declare i64 @syscall(i64, ...)
declare i32 @usleep(i32)
declare i32 @clock_gettime(i32, ptr)
declare i32 @getpid()
declare i32 @sigaction(i32, ptr, ptr)
declare i32 @sigpending(ptr)
declare i32 @sigismember(ptr, i32)
declare i32 @raise(i32)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i32 @PyErr_CheckSignals()
declare i32 @PyErr_ExceptionMatches(ptr)
declare void @PyErr_Fetch(ptr, ptr, ptr)
declare void @PyErr_NormalizeException(ptr, ptr, ptr)
declare void @PyErr_Restore(ptr, ptr, ptr)
declare i32 @PyException_SetTraceback(ptr, ptr)
declare void @PyErr_SetObject(ptr, ptr)
declare i32 @PyTraceBack_Here(ptr)
declare ptr @PyThreadState_Get()
declare ptr @PyFrame_New(ptr, ptr, ptr, ptr)
declare i64 @PyList_Size(ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyTuple_GetItem(ptr, i64)
declare i32 @madvise(ptr, i64, i32)
declare ptr @PyLong_FromVoidPtr(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare void @PyObject_GC_UnTrack(ptr)
declare void @PyErr_Clear()
declare void @PyErr_SetNone(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyBytes_FromStringAndSize(ptr, i64)
declare ptr @PyBytes_AsString(ptr)
declare i64 @PyBytes_Size(ptr)
declare ptr @PyByteArray_FromStringAndSize(ptr, i64)
declare ptr @PyByteArray_AsString(ptr)
declare i32 @PyBuffer_FillInfo(ptr, ptr, ptr, i64, i32, i32)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i32 @llvm.eh.sjlj.setjmp(ptr)
declare void @llvm.eh.sjlj.longjmp(ptr)
declare ptr @llvm.frameaddress.p0(i32 immarg)
declare ptr @llvm.stacksave.p0()
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1 immarg)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1 immarg)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1 immarg)
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
@PyLong_Type = external global i8
@PyExc_BufferError = external global ptr
@PyExc_RecursionError = external global ptr
@PyExc_MemoryError = external global ptr
@_Py_NoneStruct = external global i8
@_Py_TrueStruct = external global i8
@_Py_FalseStruct = external global i8
@wasmark_signal_state = external global i8
@wasmark_process_table = external global i8
@wasmark_memory_granules = external global i8
@wasmark_monitor = external global i8
@wasmark_catch_sites = external global i8
@wasmark_python = external global i8

attributes #0 = { nounwind "frame-pointer"="all" }
!1 = !{!"branch_weights", i32 1, i32 2000}
!2 = !{!"branch_weights", i32 2000, i32 1}

; The pthread key of the thread's ThreadBlock.
define internal i32 @key() alwaysinline {
  %p = getelementptr i8, ptr @wasmark_signal_state, i64 $STATE_KEY
  %key = load i32, ptr %p
  ret i32 %key
}

; CLOCK_MONOTONIC in nanoseconds. Signal handlers may ask for it.
define internal i64 @now() {
  %time = alloca [2 x i64]
  %asked = call i32 @clock_gettime(i32 $CLOCK_MONOTONIC, ptr %time)
  %seconds = load i64, ptr %time
  %fraction.at = getelementptr i64, ptr %time, i64 1
  %fraction = load i64, ptr %fraction.at
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %fraction
  ret i64 %sum
}

; The nearest deadline of the thread, less 1; the largest number where it has none.
define internal i64 @nearest(ptr %thread) alwaysinline {
  %t.deadline = getelementptr i8, ptr %thread, i64 $THREAD_DEADLINE
  %deadline = load volatile i64, ptr %t.deadline
  %t.timeout = getelementptr i8, ptr %thread, i64 $THREAD_TIMEOUT
  %timeout = load volatile i64, ptr %t.timeout
  %first = sub i64 %deadline, 1
  %second = sub i64 %timeout, 1
  %least = call i64 @llvm.umin.i64(i64 %first, i64 %second)
  ret i64 %least
}
