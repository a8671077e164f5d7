//! The inner loops of the dsp tier in assembly: LLVM keeps too few of their values in registers.

use super::dense::Group;
use super::dual::Pixels;
use candor_core::arithmetic::Multiplier;
use candor_core::tensor::BLOCK;
use core::arch::naked_asm;
use core::mem::MaybeUninit;

/// Sixteen products: the codes of four pixels at `r0` by the four weights at `r1`.
macro_rules! word {
    () => {
        "
        ldr r12, [r1], #4
        ldmia r0!, {{r4-r7}}
        sxtb16 lr, r12, ror #8
        sxtb16 r12, r12
        smlad r8, r4, r12, r8
        smlad r9, r6, r12, r9
        smlad r8, r5, lr, r8
        smlad r9, r7, lr, r9
        ldmia r0!, {{r4-r7}}
        smlad r10, r4, r12, r10
        smlad r11, r6, r12, r11
        smlad r10, r5, lr, r10
        smlad r11, r7, lr, r11
        "
    };
}

/// Two words.
macro_rules! words {
    () => {
        concat!(word!(), word!())
    };
}

/// Prepares a chunk of the `r4` words that are left: its end in `r2`, its codes, where the loop is entered,
/// the bytes to skip after a row, the words that are left then and the next chunk's weights on the stack.
macro_rules! chunk {
    () => {
        "
        ldrd r5, r7, [r3]
        mov r6, r4
        cmp r6, r5
        it hi
        movhi r6, r5
        subs r4, r4, r6
        str r4, [sp, #20]
        muls r7, r5, r7
        add r7, r1, r7, lsl #2
        str r7, [sp, #28]
        adds r6, #1
        bic r6, #1
        sub r5, r5, r6
        lsls r5, #2
        adr r7, 4f
        tst r6, #2
        beq 3f
        adr r7, 5f
    3:
        orr r7, #1
        str r0, [sp]
        strd r7, r5, [sp, #4]
        add r2, r0, r6, lsl #5
        ldr r3, [sp, #16]
        "
    };
}

/// [`super::dual::Dual::multiply`].
///
/// `r0` walks the gathered codes up to `r2`, `r1` the rows of weights, `r3` the sums, of which `r8` to `r11`
/// hold those at hand. On the stack lie the codes of the chunk, the loop's entry, the bytes from a row's last
/// word to the next row, the sums' end and begin, the words left, the group and the next chunk's weights.
///
/// # Safety
/// Gathered codes hold `words`, one more where that is odd; weights, sums and starts, unless null, hold what
/// the group says.
// SAFETY: the assembly keeps the calling convention: it saves what it must, and returns by `pc`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(
    gathered: *const MaybeUninit<Pixels>,
    weights: *const i8,
    sums: *mut [i32; 4],
    group: *const Group,
    words: usize,
    starts: *const [i32; 4],
) {
    naked_asm!(
        "
        push {{r4-r11, lr}}
        sub sp, #36
        ldr r4, [sp, #72]
        ldr r6, [r3, #8]
        add r6, r2, r6, lsl #4
        str r6, [sp, #12]
        str r2, [sp, #16]
        str r3, [sp, #24]
        ldr r5, [sp, #76]
        cbz r5, 2f
        mov r7, r2
    7:
        ldmia r5!, {{r8-r11}}
        stmia r7!, {{r8-r11}}
        cmp r7, r6
        bne 7b
    2:
        ",
        chunk!(),
        "
    6:
        ldr r0, [sp]
        ldmia r3, {{r8-r11}}
        ldr pc, [sp, #4]
    4:
        ",
        words!(),
        "
    5:
        ",
        words!(),
        "
        cmp r0, r2
        bne 4b
        stmia r3!, {{r8-r11}}
        ldrd r4, r5, [sp, #8]
        add r1, r4
        cmp r3, r5
        bne 6b
        ldrd r4, r3, [sp, #20]
        ldr r1, [sp, #28]
        cmp r4, #0
        bne 2b
        add sp, #36
        pop {{r4-r11, pc}}
        "
    )
}

/// [`super::dual::Dual::neighbours`].
///
/// `r0` is the line, `r1` walks the runs up to `r2`, `r3` what is gathered.
///
/// # Safety
/// There is a run, each of six aligned words, and room for all.
// SAFETY: as [`multiply`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn neighbours(
    line: *const [u8; BLOCK],
    runs: *const u16,
    end: *const u16,
    gathered: *mut [MaybeUninit<Pixels>; 3],
) {
    naked_asm!(
        "
        push {{r4-r11, lr}}
    2:
        ldrh lr, [r1], #2
        add lr, r0, lr, lsl #2
        ldm lr, {{r4, r6, r8, r10, r12}}
        uxtb16 r5, r4, ror #8
        uxtb16 r4, r4
        uxtb16 r7, r6, ror #8
        uxtb16 r6, r6
        uxtb16 r9, r8, ror #8
        uxtb16 r8, r8
        uxtb16 r11, r10, ror #8
        uxtb16 r10, r10
        stmia r3!, {{r4-r11}}
        ldr r4, [lr, #20]
        uxtb16 lr, r12, ror #8
        uxtb16 r12, r12
        stmia r3!, {{r6-r12, lr}}
        stmia r3!, {{r8-r12, lr}}
        uxtb16 r5, r4, ror #8
        uxtb16 r4, r4
        strd r4, r5, [r3], #8
        cmp r1, r2
        bne 2b
        pop {{r4-r11, pc}}
        "
    )
}

/// The codes of one channel at byte `$c` of four pixels' words, with a zero point or without.
macro_rules! channel {
    ($c:literal, $($zero_point:literal)?) => {
        concat!(
            "
        vldmia r0!, {{s0-s3}}
        vldmia r1!, {{s4}}
        vcvt.f32.s32 s0, s0
        vcvt.f32.s32 s1, s1
        vcvt.f32.s32 s2, s2
        vcvt.f32.s32 s3, s3
        vmul.f32 s0, s0, s4
        vmul.f32 s1, s1, s4
        vmul.f32 s2, s2, s4
        vmul.f32 s3, s3, s4
        vcvtr.s32.f32 s0, s0
        vcvtr.s32.f32 s1, s1
        vcvtr.s32.f32 s2, s2
        vcvtr.s32.f32 s3, s3
        vmov r6, r7, s0, s1
        vmov r8, r9, s2, s3
        "
            $(, $zero_point)?,
            "
        usat r6, #8, r6
        usat r7, #8, r7
        usat r8, #8, r8
        usat r9, #8, r9
        strb r6, [r2, #", $c, "]
        strb r7, [r3, #", $c, "]
        strb r8, [r10, #", $c, "]
        strb r9, [r11, #", $c, "]
        "
        )
    };
}

/// The codes of a block.
macro_rules! channels {
    ($($zero_point:literal)?) => {
        concat!(
            channel!("0", $($zero_point)?),
            channel!("1", $($zero_point)?),
            channel!("2", $($zero_point)?),
            channel!("3", $($zero_point)?),
            "
        add r2, r4
        add r3, r4
        add r10, r4
        add r11, r4
        cmp r0, r5
            "
        )
    };
}

/// [`super::dual::Dual::requantize`]. `vcvtr` rounds half to even, as every processor starts, and saturates.
///
/// `r0` walks the sums up to `r5`, `r1` the multipliers, `r2`, `r3`, `r10` and `r11` each
/// pixel's blocks.
///
/// # Safety
/// Sums, multipliers and codes hold what the group says.
// SAFETY: as [`multiply`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn requantize(
    sums: *const [i32; 4],
    multipliers: *const Multiplier,
    codes: *mut u8,
    group: *const Group,
) {
    naked_asm!(
        "
        .fpu fpv4-sp-d16
        push {{r4-r11}}
        ldrd r5, r4, [r3, #12]
        ldrd r6, r12, [r3, #20]
        add r5, r0, r5, lsl #6
        add r3, r2, r6
        add r10, r3, r6
        add r11, r10, r6
        cmp r12, #0
        beq 3f
    2:
        ",
        channels!(
            "
        qadd r6, r6, r12
        qadd r7, r7, r12
        qadd r8, r8, r12
        qadd r9, r9, r12
            "
        ),
        "
        bne 2b
        b 4f
    3:
        ",
        channels!(),
        "
        bne 3b
    4:
        pop {{r4-r11}}
        bx lr
        "
    )
}
