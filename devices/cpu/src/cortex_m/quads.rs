//! The inner loop of the dsp tier in assembly: LLVM keeps too few of its fourteen values in registers.

use super::dual::{Group, Pixels};
use core::arch::naked_asm;

/// Sixteen products: the codes of two pixels at `r0` by the weights of two output channels at `r1` and `r1
/// + r2`.
macro_rules! word {
    () => {
        "
        ldmia r0!, {{r4-r7}}
        ldr r12, [r1, r2]
        sxtb16 lr, r12, ror #8
        sxtb16 r12, r12
        smlad r10, r4, r12, r10
        smlad r11, r6, r12, r11
        smlad r10, r5, lr, r10
        smlad r11, r7, lr, r11
        ldr r12, [r1], #4
        sxtb16 lr, r12, ror #8
        sxtb16 r12, r12
        smlad r8, r4, r12, r8
        smlad r9, r6, r12, r9
        smlad r8, r5, lr, r8
        smlad r9, r7, lr, r9
        "
    };
}

/// Two words.
macro_rules! words {
    () => {
        concat!(word!(), word!())
    };
}

/// [`super::dual::Dual::multiply`].
///
/// `r0` walks the codes up to `r3`, `r1` a row of weights of `r2` bytes; `r8` to `r11` hold the sums. On
/// the stack lie codes, weights of the pair, sums, group, words left, pairs left, and the row at hand.
///
/// # Safety
/// Codes, weights and sums hold what `group` says, of which there is at least one word and one pair.
// SAFETY: the assembly keeps the calling convention: it saves what it must, and returns by `pc`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply_pairs(
    codes: *const Pixels,
    weights: *const i8,
    sums: *mut [i32; 2],
    group: *const Group,
) {
    naked_asm!(
        "
        push {{r4-r11, lr}}
        sub sp, #28
        strd r0, r1, [sp]
        strd r2, r3, [sp, #8]
        ldr r12, [r3, #12]
        str r12, [sp, #20]
    2:
        ldrd r0, r1, [sp]
        ldrd r4, r12, [sp, #8]
        ldr r2, [r12]
        ldr lr, [r12, #8]
        ldmia r4, {{r8-r11}}
    3:
        str r1, [sp, #24]
        lsr r12, r2, #2
        cmp lr, r12
        it lo
        movlo r12, lr
        sub lr, lr, r12
        str lr, [sp, #16]
        add r3, r0, r12, lsl #4
        tst r12, #2
        beq 5f
        ",
        words!(),
        "
        cmp r0, r3
        beq 6f
    5:
        ",
        words!(),
        words!(),
        "
        cmp r0, r3
        bne 5b
    6:
        ldr lr, [sp, #16]
        cmp lr, #0
        beq 7f
        ldr r1, [sp, #24]
        ldr r12, [sp, #12]
        ldr r12, [r12, #4]
        add r1, r12
        b 3b
    7:
        ldr r4, [sp, #8]
        stmia r4!, {{r8-r11}}
        str r4, [sp, #8]
        ldr r1, [sp, #4]
        add r1, r1, r2, lsl #1
        str r1, [sp, #4]
        ldr r4, [sp, #20]
        subs r4, #1
        str r4, [sp, #20]
        bne 2b
        add sp, #28
        pop {{r4-r11, pc}}
        "
    )
}
