; The monitor: one native thread that looks, every few milliseconds while wasm runs anywhere, for threads that have been in
; the same stretch of wasm code since its last look, and signals those that hold the GIL, those whose time is up, and the
; main one, now and then (see wasmark_tick). To those that call the host all the time it gives a note now and then, for the
; way back into wasm. With nothing to look at it sleeps until wasmark_enter wakes it. It also sees to it that signals still come to our handlers first: whoever installs one later
; comes before ours, and who takes an older one back takes ours away, as faulthandler does. So does wasmark_enter when it
; wakes the monitor.

define ptr @wasmark_monitor_thread(ptr %unused) #0 {
entry:
  %m.idle = getelementptr i8, ptr @wasmark_monitor, i64 $MONITOR_IDLE
  br label %sleep
sleep:
  %quiet = phi i64 [ 0, %entry ], [ 0, %active ], [ %quiet1, %still ], [ %quiet1, %declare ], [ 0, %woken ]
  %slept = call i32 @usleep(i32 $MONITOR_PERIOD_US)
  %process = call i32 @getpid()
  %now = call i64 @now()
  call void @wasmark_claim()
  br label %scan
scan:
  %link = phi ptr [ @wasmark_monitor, %sleep ], [ %t.next, %next ]
  %busy = phi i64 [ 0, %sleep ], [ %busy1, %next ]
  %thread = load atomic ptr, ptr %link acquire, align 8
  %end = icmp eq ptr %thread, null
  br i1 %end, label %scanned, label %look
look:
  %t.next = getelementptr i8, ptr %thread, i64 $THREAD_NEXT
  %t.in = getelementptr i8, ptr %thread, i64 $THREAD_IN_WASM
  %in = load volatile i64, ptr %t.in
  %running = icmp ne i64 %in, 0
  br i1 %running, label %inside, label %skip
skip:
  br label %next
inside:
  %t.sequence = getelementptr i8, ptr %thread, i64 $THREAD_SEQUENCE
  %sequence = load volatile i64, ptr %t.sequence
  %t.seen = getelementptr i8, ptr %thread, i64 $THREAD_SEEN
  %seen = load i64, ptr %t.seen
  store i64 %sequence, ptr %t.seen
  %long = icmp eq i64 %sequence, %seen
  %t.look = getelementptr i8, ptr %thread, i64 $THREAD_NEXT_LOOK
  %look.at = load volatile i64, ptr %t.look
  %look.due = icmp uge i64 %now, %look.at
  br i1 %long, label %stay, label %busy.with.host
busy.with.host:
  br i1 %look.due, label %remind, label %next
remind:
  %t.pending = getelementptr i8, ptr %thread, i64 $THREAD_PENDING
  store volatile i64 1, ptr %t.pending
  br label %next
stay:
  %t.released = getelementptr i8, ptr %thread, i64 $THREAD_RELEASED
  %state = load volatile ptr, ptr %t.released
  %holds = icmp eq ptr %state, null
  %t.main = getelementptr i8, ptr %thread, i64 $THREAD_MAIN
  %main = load volatile i64, ptr %t.main
  %is.main = icmp ne i64 %main, 0
  %handlers = and i1 %is.main, %look.due
  %deadline = call i64 @nearest(ptr %thread)
  %late = icmp ugt i64 %now, %deadline
  %either = or i1 %handlers, %late
  %wanted = or i1 %either, %holds
  br i1 %wanted, label %signal, label %next
signal:
  %t.ticked = getelementptr i8, ptr %thread, i64 $THREAD_TICKED
  store volatile i64 1, ptr %t.ticked
  %t.id = getelementptr i8, ptr %thread, i64 $THREAD_ID
  %id = load volatile i64, ptr %t.id
  %process.wide = sext i32 %process to i64
  %sent = call i64 (i64, ...) @syscall(i64 $SYS_TGKILL, i64 %process.wide, i64 %id, i64 $MONITOR_SIGNAL)
  br label %next
next:
  %busy1 = phi i64 [ %busy, %skip ], [ 1, %busy.with.host ], [ 1, %remind ], [ 1, %stay ], [ 1, %signal ]
  br label %scan
scanned:
  %any = icmp ne i64 %busy, 0
  br i1 %any, label %active, label %quieter
active:
  store atomic i32 0, ptr %m.idle seq_cst, align 4
  br label %sleep
quieter:
  %quiet1 = add i64 %quiet, 1
  %bored = icmp ugt i64 %quiet1, $MONITOR_PATIENCE
  br i1 %bored, label %rest, label %still
still:
  br label %sleep
rest:
  ; First declare it and look once more a period later: by then every thread has either been seen, or has seen the mark.
  %declared = load atomic i32, ptr %m.idle seq_cst, align 4
  %sure = icmp ne i32 %declared, 0
  br i1 %sure, label %wait, label %declare
declare:
  store atomic i32 1, ptr %m.idle seq_cst, align 4
  br label %sleep
wait:
  %waited = call i64 (i64, ...) @syscall(i64 $SYS_FUTEX, ptr %m.idle, i64 $FUTEX_WAIT, i64 1, ptr null)
  br label %woken
woken:
  store atomic i32 0, ptr %m.idle seq_cst, align 4
  br label %sleep
}
