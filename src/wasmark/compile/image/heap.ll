; The heap of garbage-collected objects (see `runtime.layout`: HEAP_*, TYPE_*): making objects, and the collector, which
; marks what can be reached and sweeps the rest, and moves nothing.

; (StoreBlock, descriptor, bytes, length) -> a new object with zeros in its fields, or null where there is no room.
define ptr @wasmark_gc_new(ptr %store, ptr %descriptor, i64 %size, i32 %length) #0 {
  %s.heap = getelementptr i8, ptr %store, i64 $STORE_GC_HEAP
  %heap = load ptr, ptr %s.heap
  %no.heap = icmp eq ptr %heap, null
  %large = icmp ugt i64 %size, $HEAP_LARGEST_CELL
  %unusual = or i1 %no.heap, %large
  br i1 %unusual, label %slow, label %small, !prof !1
small:
  %class = call i64 @class_of(ptr %heap, i64 %size)
  %head.at = call ptr @free_list(ptr %heap, i64 %class)
  %cell = load ptr, ptr %head.at
  %none = icmp eq ptr %cell, null
  br i1 %none, label %slow, label %take, !prof !1
take:
  %next.at = getelementptr i8, ptr %cell, i64 8
  %next = load ptr, ptr %next.at
  store ptr %next, ptr %head.at
  call void @clear(ptr %cell, i64 %size)
  store i32 %length, ptr %next.at
  store ptr %descriptor, ptr %cell
  ret ptr %cell
slow:
  %object = call ptr @wasmark_gc_new_with_care(ptr %store, ptr %descriptor, i64 %size, i32 %length)
  ret ptr %object
}

define internal i64 @class_of(ptr %heap, i64 %size) alwaysinline {
  %up = add i64 %size, 15
  %units = lshr i64 %up, 4
  %classes = getelementptr i8, ptr %heap, i64 $HEAP_CLASSES
  %at = getelementptr i8, ptr %classes, i64 %units
  %byte = load i8, ptr %at
  %class = zext i8 %byte to i64
  ret i64 %class
}

define internal ptr @free_list(ptr %heap, i64 %class) alwaysinline {
  %lists = getelementptr i8, ptr %heap, i64 $HEAP_FREE
  %at = getelementptr ptr, ptr %lists, i64 %class
  ret ptr %at
}

; Zeros from the second word on, 16 bytes at a time: a cell has a multiple of them.
define internal void @clear(ptr %cell, i64 %size) alwaysinline {
  store <2 x i64> zeroinitializer, ptr %cell, align 16
  br label %head
head:
  %at = phi i64 [ 16, %0 ], [ %next, %more ]
  %any = icmp ult i64 %at, %size
  br i1 %any, label %more, label %done
more:
  %p = getelementptr i8, ptr %cell, i64 %at
  store <2 x i64> zeroinitializer, ptr %p, align 16
  %next = add i64 %at, 16
  br label %head
done:
  ret void
}

; The same as `wasmark_gc_new`, where there is no free cell, or where every object is to be preceded by a collection
; (`wasmark_gc_new_after_collection`). Whether and what to collect is Python's to say, which then lets more blocks be
; used.
define ptr @wasmark_gc_new_with_care(ptr %store, ptr %descriptor, i64 %size, i32 %length) #0 noinline {
  %s.heap = getelementptr i8, ptr %store, i64 $STORE_GC_HEAP
  %heap = load ptr, ptr %s.heap
  %no.heap = icmp eq ptr %heap, null
  br i1 %no.heap, label %ask, label %try
try:
  %object = call ptr @allocate(ptr %heap, ptr %descriptor, i64 %size, i32 %length)
  %none = icmp eq ptr %object, null
  br i1 %none, label %ask, label %done
done:
  ret ptr %object
ask:
  %second = call ptr @wasmark_gc_new_after_collection(ptr %store, ptr %descriptor, i64 %size, i32 %length)
  ret ptr %second
}

define ptr @wasmark_gc_new_after_collection(ptr %store, ptr %descriptor, i64 %size, i32 %length) #0 noinline {
  %code.at = getelementptr i8, ptr %store, i64 $STORE_GC_COLLECT
  %code = load ptr, ptr %code.at
  %context.at = getelementptr i8, ptr %code.at, i64 8
  %context = load ptr, ptr %context.at
  %answer = call i64 %code(ptr %context, i64 %size)
  %s.heap = getelementptr i8, ptr %store, i64 $STORE_GC_HEAP
  %heap = load ptr, ptr %s.heap
  %object = call ptr @allocate(ptr %heap, ptr %descriptor, i64 %size, i32 %length)
  ret ptr %object
}

; For Python, which has seen to it that there is room: (heap, descriptor, bytes, length) -> an object, or null.
define ptr @wasmark_gc_allocate(ptr %heap, ptr %descriptor, i64 %size, i32 %length) #0 {
  %object = call ptr @allocate(ptr %heap, ptr %descriptor, i64 %size, i32 %length)
  ret ptr %object
}

define internal ptr @allocate(ptr %heap, ptr %descriptor, i64 %size, i32 %length) #0 noinline {
  %large = icmp ugt i64 %size, $HEAP_LARGEST_CELL
  br i1 %large, label %whole, label %small
whole:
  %object = call ptr @take_blocks(ptr %heap, i64 %size)
  %full = icmp eq ptr %object, null
  br i1 %full, label %none, label %fill
small:
  %class = call i64 @class_of(ptr %heap, i64 %size)
  %head.at = call ptr @free_list(ptr %heap, i64 %class)
  %cell = load ptr, ptr %head.at
  %empty = icmp eq ptr %cell, null
  br i1 %empty, label %refill, label %take
refill:
  %filled = call i1 @take_block(ptr %heap, i64 %class)
  br i1 %filled, label %again, label %none
again:
  %fresh = load ptr, ptr %head.at
  br label %take
take:
  %found = phi ptr [ %cell, %small ], [ %fresh, %again ]
  %next.at = getelementptr i8, ptr %found, i64 8
  %next = load ptr, ptr %next.at
  store ptr %next, ptr %head.at
  call void @clear(ptr %found, i64 %size)
  br label %fill
fill:
  %new = phi ptr [ %object, %whole ], [ %found, %take ]
  %length.at = getelementptr i8, ptr %new, i64 8
  store i32 %length, ptr %length.at
  store ptr %descriptor, ptr %new
  ret ptr %new
none:
  ret ptr null
}

; Give a block to a size class, with all its cells free.
define internal i1 @take_block(ptr %heap, i64 %class) #0 noinline {
  %block = call i64 @find_blocks(ptr %heap, i64 1)
  %none = icmp slt i64 %block, 0
  br i1 %none, label %full, label %use
use:
  %blocks.at = getelementptr i8, ptr %heap, i64 $HEAP_BLOCKS
  %blocks = load ptr, ptr %blocks.at
  %state = getelementptr i8, ptr %blocks, i64 %block
  %byte = trunc i64 %class to i8
  store i8 %byte, ptr %state
  %cell = call i64 @cell_size(ptr %heap, i64 %class)
  %start = call ptr @block_start(ptr %heap, i64 %block)
  %count = udiv i64 $HEAP_BLOCK_SIZE, %cell
  %head.at = call ptr @free_list(ptr %heap, i64 %class)
  %before = load ptr, ptr %head.at
  br label %head
head:
  %i = phi i64 [ %count, %use ], [ %i.less, %more ]
  %list = phi ptr [ %before, %use ], [ %p, %more ]
  %any = icmp ne i64 %i, 0
  br i1 %any, label %more, label %done
more:
  %i.less = sub i64 %i, 1
  %offset = mul i64 %i.less, %cell
  %p = getelementptr i8, ptr %start, i64 %offset
  store ptr null, ptr %p
  %next.at = getelementptr i8, ptr %p, i64 8
  store ptr %list, ptr %next.at
  br label %head
done:
  store ptr %list, ptr %head.at
  ret i1 true
full:
  ret i1 false
}

; Blocks for one large object, all zeros.
define internal ptr @take_blocks(ptr %heap, i64 %size) #0 noinline {
  %last = sub i64 $HEAP_BLOCK_SIZE, 1
  %up = add i64 %size, %last
  %count = lshr i64 %up, $HEAP_BLOCK_LOG2
  %block = call i64 @find_blocks(ptr %heap, i64 %count)
  %none = icmp slt i64 %block, 0
  br i1 %none, label %full, label %use
use:
  %blocks.at = getelementptr i8, ptr %heap, i64 $HEAP_BLOCKS
  %blocks = load ptr, ptr %blocks.at
  %state = getelementptr i8, ptr %blocks, i64 %block
  call void @llvm.memset.p0.i64(ptr %state, i8 $BLOCK_MORE, i64 %count, i1 false)
  store i8 $BLOCK_LARGE, ptr %state
  %start = call ptr @block_start(ptr %heap, i64 %block)
  call void @llvm.memset.p0.i64(ptr %start, i8 0, i64 %size, i1 false)
  ret ptr %start
full:
  ret ptr null
}

; The number of the first of `count` free blocks in a row, which are counted as used from now on; -1 where there are none.
define internal i64 @find_blocks(ptr %heap, i64 %count) #0 noinline {
entry:
  %used.at = getelementptr i8, ptr %heap, i64 $HEAP_USED
  %used = load i64, ptr %used.at
  %after = add i64 %used, %count
  %trigger.at = getelementptr i8, ptr %heap, i64 $HEAP_TRIGGER
  %trigger = load i64, ptr %trigger.at
  %over = icmp ugt i64 %after, %trigger
  br i1 %over, label %none, label %search
search:
  %blocks.at = getelementptr i8, ptr %heap, i64 $HEAP_BLOCKS
  %blocks = load ptr, ptr %blocks.at
  %top.at = getelementptr i8, ptr %heap, i64 $HEAP_TOP
  %top = load i64, ptr %top.at
  %search.at = getelementptr i8, ptr %heap, i64 $HEAP_SEARCH
  %first = load i64, ptr %search.at
  br label %head
head: ; blocks from `start` to `i` are free
  %i = phi i64 [ %first, %search ], [ %i.next, %look ]
  %start = phi i64 [ %first, %search ], [ %start.next, %look ]
  %length = sub i64 %i, %start
  %enough = icmp eq i64 %length, %count
  br i1 %enough, label %found, label %on
on:
  %inside = icmp ult i64 %i, %top
  br i1 %inside, label %look, label %end
look:
  %state = getelementptr i8, ptr %blocks, i64 %i
  %byte = load i8, ptr %state
  %free = icmp eq i8 %byte, $BLOCK_FREE
  %i.next = add i64 %i, 1
  %start.next = select i1 %free, i64 %start, i64 %i.next
  br label %head
end: ; the rest have never been used
  %new.top = add i64 %start, %count
  %size.at = getelementptr i8, ptr %heap, i64 $HEAP_SIZE
  %size = load i64, ptr %size.at
  %most = lshr i64 %size, $HEAP_BLOCK_LOG2
  %beyond = icmp ugt i64 %new.top, %most
  br i1 %beyond, label %none, label %extend
extend:
  store i64 %new.top, ptr %top.at
  br label %found
found:
  store i64 %after, ptr %used.at
  %single = icmp eq i64 %count, 1
  br i1 %single, label %remember, label %answer
remember: ; one free block is the first one that there is
  %behind = add i64 %start, 1
  store i64 %behind, ptr %search.at
  br label %answer
answer:
  ret i64 %start
none:
  ret i64 -1
}

define internal ptr @block_start(ptr %heap, i64 %block) alwaysinline {
  %base = load ptr, ptr %heap
  %offset = shl i64 %block, $HEAP_BLOCK_LOG2
  %start = getelementptr i8, ptr %base, i64 %offset
  ret ptr %start
}

define internal i64 @cell_size(ptr %heap, i64 %class) alwaysinline {
  %cells = getelementptr i8, ptr %heap, i64 $HEAP_CELLS
  %at = getelementptr i32, ptr %cells, i64 %class
  %size = load i32, ptr %at
  %wide = zext i32 %size to i64
  ret i64 %wide
}

; (heap, ranges, number of them, end of the stack or null, two words, what they were when the ranges were put together):
; collect. Roots are the words of the ranges, each given as the address of the first one and their number, and what of
; this thread's stack lies below the end: any word there that could be a reference is taken for one. The assembly makes
; the caller's registers part of the stack. 1, and nothing done, where one of the two words has changed.
define i32 @wasmark_gc_collect(ptr %heap, ptr %ranges, i64 %count, ptr %stack.end, ptr %first, i64 %first.seen,
                               ptr %second, i64 %second.seen) #0 noinline {
  %first.now = load i64, ptr %first
  %second.now = load i64, ptr %second
  %first.same = icmp eq i64 %first.now, %first.seen
  %second.same = icmp eq i64 %second.now, %second.seen
  %same = and i1 %first.same, %second.same
  br i1 %same, label %entry, label %late
late:
  ret i32 1
entry:
  call void asm sideeffect "", "~{rbx},~{r12},~{r13},~{r14},~{r15},~{memory}"()
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %any = icmp ult i64 %i, %count
  br i1 %any, label %range, label %stack
range:
  %place = shl i64 %i, 1
  %range.at = getelementptr i64, ptr %ranges, i64 %place
  %address = load ptr, ptr %range.at
  %length.at = getelementptr i64, ptr %range.at, i64 1
  %length = load i64, ptr %length.at
  call void @mark_words(ptr %heap, ptr %address, i64 %length)
  call void @drain(ptr %heap)
  br label %next
next:
  %i.next = add i64 %i, 1
  br label %head
stack:
  %sp = call ptr @llvm.stacksave.p0()
  br label %stack.head
stack.head:
  %p = phi ptr [ %sp, %stack ], [ %p.next, %stack.more ]
  %below = icmp ult ptr %p, %stack.end
  br i1 %below, label %stack.more, label %sweep
stack.more:
  %word = load i64, ptr %p
  call void @mark_maybe(ptr %heap, i64 %word)
  %p.next = getelementptr i64, ptr %p, i64 1
  br label %stack.head
sweep:
  call void @drain(ptr %heap)
  call void @sweep(ptr %heap)
  %collections.at = getelementptr i8, ptr %heap, i64 $HEAP_COLLECTIONS
  %collections = load i64, ptr %collections.at
  %one.more = add i64 %collections, 1
  store i64 %one.more, ptr %collections.at
  ret i32 0
}

define internal void @mark_words(ptr %heap, ptr %address, i64 %count) #0 noinline {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %more ]
  %any = icmp ult i64 %i, %count
  br i1 %any, label %more, label %done
more:
  %at = getelementptr i64, ptr %address, i64 %i
  %word = load i64, ptr %at
  call void @mark_reference(ptr %heap, i64 %word)
  %i.next = add i64 %i, 1
  br label %head
done:
  ret void
}

; A word that is a reference of any kind.
define internal void @mark_reference(ptr %heap, i64 %word) alwaysinline {
  %base.at = getelementptr i8, ptr %heap, i64 $HEAP_BASE
  %base = load i64, ptr %base.at
  %offset = sub i64 %word, %base
  %size.at = getelementptr i8, ptr %heap, i64 $HEAP_SIZE
  %size = load i64, ptr %size.at
  %inside = icmp ult i64 %offset, %size
  br i1 %inside, label %object, label %other
object:
  %address = load ptr, ptr %base.at
  %cell = getelementptr i8, ptr %address, i64 %offset
  call void @mark(ptr %heap, ptr %cell)
  br label %done
other:
  call void @mark_handle(ptr %heap, i64 %word)
  br label %done
done:
  ret void
}

define internal void @mark_handle(ptr %heap, i64 %word) alwaysinline {
  %tag = and i64 %word, 7
  %host = icmp eq i64 %tag, $HOST_TAG
  br i1 %host, label %handle, label %done
handle:
  %number = lshr i64 %word, 3
  %count.at = getelementptr i8, ptr %heap, i64 $HEAP_HANDLE_COUNT
  %count = load i64, ptr %count.at
  %known = icmp ult i64 %number, %count
  br i1 %known, label %note, label %done
note:
  %handles.at = getelementptr i8, ptr %heap, i64 $HEAP_HANDLES
  %handles = load ptr, ptr %handles.at
  %at = getelementptr i8, ptr %handles, i64 %number
  store i8 1, ptr %at
  br label %done
done:
  ret void
}

; A cell: mark it, unless it is marked already, or free.
define internal void @mark(ptr %heap, ptr %cell) alwaysinline {
  %first = load i64, ptr %cell
  %marked = and i64 %first, 1
  %is.marked = icmp ne i64 %marked, 0
  %is.free = icmp eq i64 %first, 0
  %nothing = or i1 %is.marked, %is.free
  br i1 %nothing, label %done, label %new
new:
  %with.mark = or i64 %first, 1
  store i64 %with.mark, ptr %cell
  %pending.at = getelementptr i8, ptr %heap, i64 $HEAP_PENDING
  %pending = load i64, ptr %pending.at
  %stack.at = getelementptr i8, ptr %heap, i64 $HEAP_STACK
  %stack = load ptr, ptr %stack.at
  %at = getelementptr ptr, ptr %stack, i64 %pending
  store ptr %cell, ptr %at
  %more = add i64 %pending, 1
  store i64 %more, ptr %pending.at
  br label %done
done:
  ret void
}

; A word that may be a reference, or an address inside an object that code is at work on.
define internal void @mark_maybe(ptr %heap, i64 %word) #0 noinline {
  %base.at = getelementptr i8, ptr %heap, i64 $HEAP_BASE
  %base = load i64, ptr %base.at
  %offset = sub i64 %word, %base
  %top.at = getelementptr i8, ptr %heap, i64 $HEAP_TOP
  %top = load i64, ptr %top.at
  %block = lshr i64 %offset, $HEAP_BLOCK_LOG2
  %inside = icmp ult i64 %block, %top
  br i1 %inside, label %look, label %other
look:
  %blocks.at = getelementptr i8, ptr %heap, i64 $HEAP_BLOCKS
  %blocks = load ptr, ptr %blocks.at
  br label %back
back:
  %b = phi i64 [ %block, %look ], [ %b.less, %earlier ]
  %state.at = getelementptr i8, ptr %blocks, i64 %b
  %state = load i8, ptr %state.at
  switch i8 %state, label %small [ i8 $BLOCK_FREE, label %done
                                   i8 $BLOCK_LARGE, label %large
                                   i8 $BLOCK_MORE, label %earlier ]
earlier:
  %b.less = sub i64 %b, 1
  br label %back
large:
  %start = call ptr @block_start(ptr %heap, i64 %b)
  call void @mark(ptr %heap, ptr %start)
  br label %done
small:
  %class = zext i8 %state to i64
  %cell = call i64 @cell_size(ptr %heap, i64 %class)
  %mask = sub i64 $HEAP_BLOCK_SIZE, 1
  %in.block = and i64 %offset, %mask
  %number = udiv i64 %in.block, %cell
  %at = mul i64 %number, %cell
  %behind = add i64 %at, %cell
  %rest = icmp ugt i64 %behind, $HEAP_BLOCK_SIZE
  br i1 %rest, label %done, label %one
one:
  %block.at = call ptr @block_start(ptr %heap, i64 %b)
  %object = getelementptr i8, ptr %block.at, i64 %at
  call void @mark(ptr %heap, ptr %object)
  br label %done
other:
  call void @mark_handle(ptr %heap, i64 %word)
  br label %done
done:
  ret void
}

; Go through all that is marked and has not been gone through.
define internal void @drain(ptr %heap) #0 noinline {
entry:
  %pending.at = getelementptr i8, ptr %heap, i64 $HEAP_PENDING
  %stack.at = getelementptr i8, ptr %heap, i64 $HEAP_STACK
  %stack = load ptr, ptr %stack.at
  br label %head
head:
  %pending = load i64, ptr %pending.at
  %any = icmp ne i64 %pending, 0
  br i1 %any, label %pop, label %done
pop:
  %less = sub i64 %pending, 1
  store i64 %less, ptr %pending.at
  %at = getelementptr ptr, ptr %stack, i64 %less
  %object = load ptr, ptr %at
  %first = load ptr, ptr %object
  %descriptor = getelementptr i8, ptr %first, i64 -1 ; without the mark
  %references.at = getelementptr i8, ptr %descriptor, i64 $TYPE_REFERENCES
  %references = load i32, ptr %references.at
  %none = icmp eq i32 %references, 0
  br i1 %none, label %head, label %which
which:
  %kind.at = getelementptr i8, ptr %descriptor, i64 $TYPE_KIND
  %kind = load i32, ptr %kind.at
  %is.struct = icmp eq i32 %kind, $KIND_STRUCT
  br i1 %is.struct, label %fields, label %elements
fields:
  %offsets.at = getelementptr i8, ptr %descriptor, i64 $TYPE_OFFSETS
  %offsets = load ptr, ptr %offsets.at
  br label %field
field:
  %f = phi i32 [ 0, %fields ], [ %f.next, %field ]
  %o.at = getelementptr i32, ptr %offsets, i32 %f
  %o = load i32, ptr %o.at
  %field.at = getelementptr i8, ptr %object, i32 %o
  %value = load i64, ptr %field.at
  call void @mark_reference(ptr %heap, i64 %value)
  %f.next = add i32 %f, 1
  %f.more = icmp ult i32 %f.next, %references
  br i1 %f.more, label %field, label %head
elements:
  %length.at = getelementptr i8, ptr %object, i64 8
  %length = load i32, ptr %length.at
  %count = zext i32 %length to i64
  %words = getelementptr i8, ptr %object, i64 16
  %is.array = icmp eq i32 %kind, $KIND_ARRAY
  br i1 %is.array, label %exact, label %vague
exact:
  call void @mark_words(ptr %heap, ptr %words, i64 %count)
  br label %head
vague:
  %e = phi i64 [ 0, %elements ], [ %e.next, %element ]
  %e.more = icmp ult i64 %e, %count
  br i1 %e.more, label %element, label %head
element:
  %e.at = getelementptr i64, ptr %words, i64 %e
  %e.word = load i64, ptr %e.at
  call void @mark_maybe(ptr %heap, i64 %e.word)
  %e.next = add i64 %e, 1
  br label %vague
done:
  ret void
}

; Free what is not marked, and take the marks away.
define internal void @sweep(ptr %heap) #0 noinline {
entry:
  %lists = getelementptr i8, ptr %heap, i64 $HEAP_FREE
  call void @llvm.memset.p0.i64(ptr %lists, i8 0, i64 512, i1 false)
  %search.at = getelementptr i8, ptr %heap, i64 $HEAP_SEARCH
  store i64 0, ptr %search.at
  %top.at = getelementptr i8, ptr %heap, i64 $HEAP_TOP
  %top = load i64, ptr %top.at
  %blocks.at = getelementptr i8, ptr %heap, i64 $HEAP_BLOCKS
  %blocks = load ptr, ptr %blocks.at
  br label %head
head:
  %b = phi i64 [ 0, %entry ], [ %b.next, %unused ], [ %b.next, %whole ], [ %b.next, %cells ]
  %used = phi i64 [ 0, %entry ], [ %used, %unused ], [ %used.large, %whole ], [ %used.small, %cells ]
  %any = icmp ult i64 %b, %top
  br i1 %any, label %look, label %done
look:
  %b.next = add i64 %b, 1
  %state.at = getelementptr i8, ptr %blocks, i64 %b
  %state = load i8, ptr %state.at
  switch i8 %state, label %cells [ i8 $BLOCK_FREE, label %unused
                                   i8 $BLOCK_MORE, label %unused
                                   i8 $BLOCK_LARGE, label %whole ]
unused:
  br label %head
whole:
  %kept = call i64 @sweep_large(ptr %heap, i64 %b, ptr %state.at, i64 %top)
  %used.large = add i64 %used, %kept
  br label %head
cells:
  %class = zext i8 %state to i64
  %one = call i64 @sweep_block(ptr %heap, i64 %b, ptr %state.at, i64 %class)
  %used.small = add i64 %used, %one
  br label %head
done:
  %used.at = getelementptr i8, ptr %heap, i64 $HEAP_USED
  store i64 %used, ptr %used.at
  ret void
}

; How many blocks a large object keeps: all, or none, and then their pages go back.
define internal i64 @sweep_large(ptr %heap, i64 %block, ptr %state, i64 %top) #0 noinline {
entry:
  %left = sub i64 %top, %block
  br label %head
head:
  %i = phi i64 [ 1, %entry ], [ %i.next, %look ]
  %inside = icmp ult i64 %i, %left
  br i1 %inside, label %look, label %counted
look:
  %at = getelementptr i8, ptr %state, i64 %i
  %byte = load i8, ptr %at
  %i.next = add i64 %i, 1
  %more = icmp eq i8 %byte, $BLOCK_MORE
  br i1 %more, label %head, label %counted
counted:
  %start = call ptr @block_start(ptr %heap, i64 %block)
  %first = load i64, ptr %start
  %marked = and i64 %first, 1
  %live = icmp ne i64 %marked, 0
  br i1 %live, label %keep, label %free
keep:
  %without = xor i64 %first, 1
  store i64 %without, ptr %start
  ret i64 %i
free:
  call void @llvm.memset.p0.i64(ptr %state, i8 $BLOCK_FREE, i64 %i, i1 false)
  %bytes = shl i64 %i, $HEAP_BLOCK_LOG2
  %done = call i32 @madvise(ptr %start, i64 %bytes, i32 $MADV_DONTNEED)
  ret i64 0
}

; 1 where something in a block of cells is live, and its free cells go to the list; 0 where the block is free now.
define internal i64 @sweep_block(ptr %heap, i64 %block, ptr %state, i64 %class) #0 noinline {
entry:
  %cell = call i64 @cell_size(ptr %heap, i64 %class)
  %start = call ptr @block_start(ptr %heap, i64 %block)
  %head.at = call ptr @free_list(ptr %heap, i64 %class)
  %before = load ptr, ptr %head.at
  %count = udiv i64 $HEAP_BLOCK_SIZE, %cell
  br label %head
head:
  %i = phi i64 [ %count, %entry ], [ %i.less, %keep ], [ %i.less, %free ]
  %list = phi ptr [ %before, %entry ], [ %list, %keep ], [ %p, %free ]
  %live = phi i64 [ 0, %entry ], [ 1, %keep ], [ %live, %free ]
  %any = icmp ne i64 %i, 0
  br i1 %any, label %look, label %end
look:
  %i.less = sub i64 %i, 1
  %offset = mul i64 %i.less, %cell
  %p = getelementptr i8, ptr %start, i64 %offset
  %first = load i64, ptr %p
  %marked = and i64 %first, 1
  %is.live = icmp ne i64 %marked, 0
  br i1 %is.live, label %keep, label %free
keep:
  %without = xor i64 %first, 1
  store i64 %without, ptr %p
  br label %head
free:
  store i64 0, ptr %p
  %next.at = getelementptr i8, ptr %p, i64 8
  store ptr %list, ptr %next.at
  br label %head
end:
  %empty = icmp eq i64 %live, 0
  br i1 %empty, label %give.back, label %done
give.back:
  store i8 $BLOCK_FREE, ptr %state
  ret i64 0
done:
  store ptr %list, ptr %head.at
  ret i64 1
}
