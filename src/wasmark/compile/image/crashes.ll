; The last words of a process that crashes while wasm is on the stack: which functions that are. Written where no handler is
; left that could help (`pass_on` in signals.ll), when all others have had their say; by write(2), out of plain memory
; (`runtime/crash_names.py`).
;
; wasmark_crash            the handler of the signals that are never a trap
; wasmark_watch_crashes    puts it in line

declare i64 @write(i32, ptr, i64)
@wasmark_crash_names = external global i8
@crash.head = internal constant [44 x i8] c"\0Awasm frames on the stack, innermost first:\0A", align 1
@crash.indent = internal constant [4 x i8] c"    ", align 1
@crash.at = internal constant [6 x i8] c" at 0x", align 1
@crash.end = internal constant [1 x i8] c"\0A", align 1
@crash.python = internal constant [13 x i8] c"    (Python)\0A", align 1
@crash.more = internal constant [8 x i8] c"    ...\0A", align 1
@crash.digits = internal constant [16 x i8] c"0123456789abcdef", align 1

define void @wasmark_crash(i32 %signal, ptr %info, ptr %context) #0 {
  call void @pass_on(i32 %signal, ptr %info, ptr %context)
  ret void
}

define i32 @wasmark_watch_crashes() #0 {
  call void @claim(i32 $SIGABRT, ptr @wasmark_crash)
  call void @claim(i32 $SIGFPE, ptr @wasmark_crash)
  ret i32 0
}

; All that is on the stack of the calling thread, whose interrupted state is in %context.
define internal void @report_crash(ptr %context) noinline cold #0 {
entry:
  %record = alloca [$RECORD_SIZE x i8], align 16
  %enabled = load volatile i64, ptr @wasmark_crash_names
  %off = icmp eq i64 %enabled, 0
  br i1 %off, label %done, label %who
who:
  %key = call i32 @key()
  %thread = call ptr @pthread_getspecific(i32 %key)
  %stranger = icmp eq ptr %thread, null
  br i1 %stranger, label %done, label %activation
activation:
  %act = load volatile ptr, ptr %thread
  %none = icmp eq ptr %act, null
  br i1 %none, label %done, label %where
where:
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %inside = icmp ne i64 %in, 0
  br i1 %inside, label %interrupted, label %host
host:
  %a.exit = getelementptr i8, ptr %act, i64 $ACT_EXIT_FP
  %exit = load i64, ptr %a.exit
  br label %walk
interrupted:
  ; Another handler may have been the first to hear of it: then the context is that of its own signal.
  %c.sp = getelementptr i8, ptr %context, i64 $CONTEXT_RSP
  %sp = load i64, ptr %c.sp
  %t.low = getelementptr i8, ptr %thread, i64 $THREAD_LOW
  %low = load i64, ptr %t.low
  %a.end = getelementptr i8, ptr %act, i64 $ACT_ENTRY_FP
  %end = load i64, ptr %a.end
  %above = icmp uge i64 %sp, %low
  %below = icmp ult i64 %sp, %end
  %on.stack = and i1 %above, %below
  %c.pc = getelementptr i8, ptr %context, i64 $CONTEXT_RIP
  %pc = load i64, ptr %c.pc
  %pc.after = add i64 %pc, 1 ; the others are return addresses
  %c.fp = getelementptr i8, ptr %context, i64 $CONTEXT_RBP
  %fp = load i64, ptr %c.fp
  call void @note_entry(ptr %record, i64 0, i64 %pc.after)
  %sane = icmp uge i64 %fp, %sp
  %usable = and i1 %on.stack, %sane
  %start = select i1 %usable, i64 %fp, i64 %end
  br label %walk
walk:
  %first = phi i64 [ 0, %host ], [ 1, %interrupted ]
  %from = phi i64 [ %exit, %host ], [ %start, %interrupted ]
  call void @put_frames(ptr %record, ptr %thread, i64 %first, i64 %from)
  call void @say(ptr @crash.head, i64 44)
  %r.count = getelementptr i8, ptr %record, i64 $RECORD_COUNT
  %count = load i64, ptr %r.count
  %entries = getelementptr i8, ptr %record, i64 $RECORD_ENTRIES
  br label %entry.next
entry.next:
  %i = phi i64 [ 0, %walk ], [ %i1, %said ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %bounded, label %done
bounded:
  %kept = icmp ult i64 %i, $ENTRIES_KEPT
  br i1 %kept, label %look, label %omitted
look:
  %entry.at = getelementptr i64, ptr %entries, i64 %i
  %word = load i64, ptr %entry.at
  %mark = icmp slt i64 %word, 0
  br i1 %mark, label %python, label %frame
python:
  call void @say(ptr @crash.python, i64 13)
  br label %said
frame:
  %address = sub i64 %word, 1
  call void @say_frame(i64 %address)
  br label %said
said:
  %i1 = add i64 %i, 1
  br label %entry.next
omitted:
  call void @say(ptr @crash.more, i64 8)
  br label %done
done:
  ret void
}

; One line for an address, if it is that of a function of a module.
define internal void @say_frame(i64 %address) {
entry:
  %c.count = getelementptr i8, ptr @wasmark_crash_names, i64 $CRASH_COUNT
  %count = load volatile i64, ptr %c.count
  %table = getelementptr i8, ptr @wasmark_crash_names, i64 $CRASH_TABLE
  br label %slot
slot:
  %i = phi i64 [ 0, %entry ], [ %i1, %next.slot ]
  %any = icmp ult i64 %i, %count
  br i1 %any, label %ask, label %done
ask:
  %offset = mul i64 %i, $CRASH_SLOT_SIZE
  %s.start = getelementptr i8, ptr %table, i64 %offset
  %start = load volatile i64, ptr %s.start
  %s.end = getelementptr i8, ptr %s.start, i64 8
  %end = load volatile i64, ptr %s.end
  %used = icmp ne i64 %start, 0
  %from = icmp uge i64 %address, %start
  %to = icmp ult i64 %address, %end
  %between = and i1 %from, %to
  %in.slot = and i1 %used, %between
  br i1 %in.slot, label %rows, label %next.slot
next.slot:
  %i1 = add i64 %i, 1
  br label %slot
rows:
  %s.rows = getelementptr i8, ptr %s.start, i64 16
  %all = load volatile ptr, ptr %s.rows
  %s.length = getelementptr i8, ptr %s.start, i64 24
  %length = load volatile i64, ptr %s.length
  br label %row
row:
  %j = phi i64 [ 0, %rows ], [ %j1, %next.row ]
  %left = icmp ult i64 %j, %length
  br i1 %left, label %compare, label %done
compare:
  %row.offset = mul i64 %j, $CRASH_ROW_SIZE
  %r.start = getelementptr i8, ptr %all, i64 %row.offset
  %row.start = load i64, ptr %r.start
  %r.end = getelementptr i8, ptr %r.start, i64 8
  %row.end = load i64, ptr %r.end
  %row.from = icmp uge i64 %address, %row.start
  %row.to = icmp ult i64 %address, %row.end
  %in.row = and i1 %row.from, %row.to
  br i1 %in.row, label %found, label %next.row
next.row:
  %j1 = add i64 %j, 1
  br label %row
found:
  %r.name = getelementptr i8, ptr %r.start, i64 16
  %name = load ptr, ptr %r.name
  %r.size = getelementptr i8, ptr %r.start, i64 24
  %size = load i64, ptr %r.size
  call void @say(ptr @crash.indent, i64 4)
  call void @say(ptr %name, i64 %size)
  call void @say(ptr @crash.at, i64 6)
  call void @say_hex(i64 %address)
  call void @say(ptr @crash.end, i64 1)
  br label %done
done:
  ret void
}

define internal void @say(ptr %text, i64 %size) {
  %written = call i64 @write(i32 2, ptr %text, i64 %size)
  ret void
}

; A number in hex, twelve digits: no address has more.
define internal void @say_hex(i64 %number) {
entry:
  %digits = alloca [12 x i8]
  br label %digit
digit:
  %i = phi i64 [ 0, %entry ], [ %i1, %digit ]
  %rest = phi i64 [ %number, %entry ], [ %less, %digit ]
  %low = and i64 %rest, 15
  %from = getelementptr i8, ptr @crash.digits, i64 %low
  %character = load i8, ptr %from
  %place = sub i64 11, %i
  %to = getelementptr i8, ptr %digits, i64 %place
  store i8 %character, ptr %to
  %less = lshr i64 %rest, 4
  %i1 = add i64 %i, 1
  %done = icmp eq i64 %i1, 12
  br i1 %done, label %end, label %digit
end:
  call void @say(ptr %digits, i64 12)
  ret void
}
