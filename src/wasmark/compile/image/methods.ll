; What Python code calls in place of slower ways to native memory: functions with the calling convention METH_FASTCALL.
; Only this package calls them (but for memories' `read`, which checks what it is given): with arguments of the right
; types, and addresses that are good.

; stamp(template: bytes, own: bytes, other: bytes, base: int) -> (bytearray, int): new native memory with the contents
; of `template`, and its address. `own` and `other` are arrays of 32-bit offsets of words: to the first ones the address
; of the new memory is added, to the others `base`.
define ptr @wasmark_stamp(ptr %self, ptr %args, i64 %count) #0 {
  %template = load ptr, ptr %args
  %a.own = getelementptr ptr, ptr %args, i64 1
  %own = load ptr, ptr %a.own
  %a.other = getelementptr ptr, ptr %args, i64 2
  %other = load ptr, ptr %a.other
  %a.base = getelementptr ptr, ptr %args, i64 3
  %base.object = load ptr, ptr %a.base
  %base = call ptr @PyLong_AsVoidPtr(ptr %base.object)
  %contents = call ptr @PyBytes_AsString(ptr %template)
  %size = call i64 @PyBytes_Size(ptr %template)
  %made = call ptr @PyByteArray_FromStringAndSize(ptr %contents, i64 %size)
  %no.memory = icmp eq ptr %made, null
  br i1 %no.memory, label %failed, label %fill
fill:
  %memory = call ptr @PyByteArray_AsString(ptr %made)
  call void @add_to_words(ptr %memory, ptr %own, ptr %memory)
  call void @add_to_words(ptr %memory, ptr %other, ptr %base)
  %address = call ptr @PyLong_FromVoidPtr(ptr %memory)
  %no.address = icmp eq ptr %address, null
  br i1 %no.address, label %drop.memory, label %gather
gather:
  %pair = call ptr @PyTuple_New(i64 2)
  %no.pair = icmp eq ptr %pair, null
  br i1 %no.pair, label %drop.address, label %answer
answer:
  %set0 = call i32 @PyTuple_SetItem(ptr %pair, i64 0, ptr %made)
  %set1 = call i32 @PyTuple_SetItem(ptr %pair, i64 1, ptr %address)
  ret ptr %pair
drop.address:
  call void @Py_DecRef(ptr %address)
  br label %drop.memory
drop.memory:
  call void @Py_DecRef(ptr %made)
  br label %failed
failed:
  ret ptr null
}

define internal void @add_to_words(ptr %memory, ptr %offsets, ptr %value) {
entry:
  %added = ptrtoint ptr %value to i64
  %first = call ptr @PyBytes_AsString(ptr %offsets)
  %size = call i64 @PyBytes_Size(ptr %offsets)
  %count = lshr i64 %size, 2
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %more ]
  %any = icmp ult i64 %i, %count
  br i1 %any, label %more, label %done
more:
  %at = getelementptr i32, ptr %first, i64 %i
  %offset = load i32, ptr %at
  %offset.wide = zext i32 %offset to i64
  %word.at = getelementptr i8, ptr %memory, i64 %offset.wide
  %word = load i64, ptr %word.at
  %sum = add i64 %word, %added
  store i64 %sum, ptr %word.at
  %next = add i64 %i, 1
  br label %loop
done:
  ret void
}

; poke(address: int, *words: int): store words from an address on.
define ptr @wasmark_poke(ptr %self, ptr %args, i64 %count) #0 {
entry:
  %address.object = load ptr, ptr %args
  %address = call ptr @PyLong_AsVoidPtr(ptr %address.object)
  br label %loop
loop:
  %i = phi i64 [ 1, %entry ], [ %next, %more ]
  %any = icmp ult i64 %i, %count
  br i1 %any, label %more, label %done
more:
  %a.word = getelementptr ptr, ptr %args, i64 %i
  %word.object = load ptr, ptr %a.word
  %word = call ptr @PyLong_AsVoidPtr(ptr %word.object)
  %before = sub i64 %i, 1
  %word.at = getelementptr ptr, ptr %address, i64 %before
  store ptr %word, ptr %word.at
  %next = add i64 %i, 1
  br label %loop
done:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}

; claim(): make our handlers the first in line, unless the one of memory faults is: whoever puts in another one, or takes
; an older one back, does so with all of them, and what slips through the monitor finds.
define ptr @wasmark_claim_method(ptr %self, ptr %args, i64 %count) #0 {
  %current = alloca [$SIGACTION_SIZE x i8], align 8
  %asked = call i32 @sigaction(i32 $SIGSEGV, ptr null, ptr %current)
  %present = load ptr, ptr %current
  %ours = icmp eq ptr %present, @wasmark_signal
  br i1 %ours, label %done, label %claim
claim:
  call void @wasmark_claim()
  br label %done
done:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}

; untrack(object) -> object: take it out of the garbage collector's lists.
define ptr @wasmark_untrack(ptr %self, ptr %args, i64 %count) #0 {
  %object = load ptr, ptr %args
  call void @PyObject_GC_UnTrack(ptr %object)
  call void @Py_IncRef(ptr %object)
  ret ptr %object
}

; discard(address: int, size: int) -> bool: give the pages of a range back; they are again what they were when they were
; mapped. False where the system refuses.
define ptr @wasmark_discard(ptr %self, ptr %args, i64 %count) #0 {
  %address.object = load ptr, ptr %args
  %address = call ptr @PyLong_AsVoidPtr(ptr %address.object)
  %a.size = getelementptr ptr, ptr %args, i64 1
  %size.object = load ptr, ptr %a.size
  %size = call ptr @PyLong_AsVoidPtr(ptr %size.object)
  %size.number = ptrtoint ptr %size to i64
  %refused = call i32 @madvise(ptr %address, i64 %size.number, i32 $MADV_DONTNEED)
  %done = icmp eq i32 %refused, 0
  %answer = select i1 %done, ptr @_Py_TrueStruct, ptr @_Py_FalseStruct
  call void @Py_IncRef(ptr %answer)
  ret ptr %answer
}

; read(offset, length), a method of objects with a buffer (see `runtime.buffer`). What is ordinary is done here: exact
; ints, in bounds; all else goes to Python's own (`Memory.read`).
define ptr @wasmark_read(ptr %self, ptr %args, i64 %count, ptr %names) #0 {
  %two = icmp eq i64 %count, 2
  %unnamed = icmp eq ptr %names, null
  %usual = and i1 %two, %unnamed
  br i1 %usual, label %look, label %slow
look:
  %offset.object = load ptr, ptr %args
  %a.length = getelementptr ptr, ptr %args, i64 1
  %length.object = load ptr, ptr %a.length
  %o.type = getelementptr i8, ptr %offset.object, i64 $OBJECT_TYPE
  %offset.type = load ptr, ptr %o.type
  %l.type = getelementptr i8, ptr %length.object, i64 $OBJECT_TYPE
  %length.type = load ptr, ptr %l.type
  %offset.exact = icmp eq ptr %offset.type, @PyLong_Type
  %length.exact = icmp eq ptr %length.type, @PyLong_Type
  %exact = and i1 %offset.exact, %length.exact
  %source.at = getelementptr i8, ptr %self, i64 $BUFFER_SOURCE
  %source = load ptr, ptr %source.at
  %made = icmp ne ptr %source, null
  %good = and i1 %exact, %made
  br i1 %good, label %convert, label %slow
convert:
  %offset = call i64 @PyLong_AsLongLong(ptr %offset.object)
  %length = call i64 @PyLong_AsLongLong(ptr %length.object)
  %base.at = getelementptr i8, ptr %source, i64 $MEMORY_BASE
  %base = load ptr, ptr %base.at
  %size.at = getelementptr i8, ptr %source, i64 $MEMORY_LENGTH
  %size = load i64, ptr %size.at
  %starts.in = icmp ule i64 %offset, %size
  %room = sub i64 %size, %offset
  %fits = icmp ule i64 %length, %room
  %in = and i1 %starts.in, %fits
  br i1 %in, label %copy, label %refuse
copy:
  %from = getelementptr i8, ptr %base, i64 %offset
  %bytes = call ptr @PyBytes_FromStringAndSize(ptr %from, i64 %length)
  ret ptr %bytes
refuse: ; one of them may be too large a number
  call void @PyErr_Clear()
  br label %slow
slow:
  %p.read = getelementptr i8, ptr @wasmark_python, i64 $HOOK_READ
  %read = load ptr, ptr %p.read
  %other = call ptr @call_python(ptr %read, ptr %self, ptr %args, i64 %count, ptr %names)
  ret ptr %other
}
