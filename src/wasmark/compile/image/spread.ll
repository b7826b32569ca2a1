; A tail call to a function with arguments on the stack.
;
; A function that leaves by a tail call gives up its frame, and the arguments that its caller has put on the stack lie in
; the frame of that caller, which knows nothing of the other function. So the way to one that wants such arguments leads
; through here: with the registers as they are for the callee, and the address of the words for the stack (`TAIL_*`) in
; r10. The arguments get a frame of their own. Whoever is called from such a frame and leaves by another tail call has it
; used again: where the return address is the one below, rbp is the frame's. So there is never more than one. It has room
; for $TAIL_ROOM words, however few it was made for, so code that finds itself called from one can do without coming here
; (`compile.tail_calls`).
;
; The frame has a frame pointer, as all have that are walked over; nothing else is in it, and results pass it untouched.
define void @wasmark_spread() naked nounwind {
  call void asm sideeffect "
    leaq wasmark_spread_return(%rip), %r11
    cmpq %r11, (%rsp)
    je 1f
    pushq %rbp
    movq %rsp, %rbp
  1:
    leaq -8 * $TAIL_ROOM(%rbp), %rsp
    movq $TAIL_COUNT(%r10), %r11
    testb $$1, %r11b
    je 2f
    subq $$8, %rsp
  2:
    pushq ($TAIL_FIRST - 8)(%r10, %r11, 8)
    decq %r11
    jne 2b
    callq *$TAIL_CODE(%r10)
    .globl wasmark_spread_return
    .type wasmark_spread_return, @function
  wasmark_spread_return:
    movq %rbp, %rsp
    popq %rbp
    retq
    .size wasmark_spread_return, . - wasmark_spread_return", ""()
  unreachable
}
