//! The inner loops of the helium tier in assembly, for vectors of sixteen codes with the sums in registers.

use super::dense::Group;
use super::helium::{PIXELS, Words};
use candor_core::arithmetic::Multiplier;
use candor_core::tensor::BLOCK;
use core::arch::naked_asm;

/// Products of one vector at byte `$at` of the row at `$row`: the codes of the pixels in `$a` and `$b`, their
/// sums in `$c` and `$d`.
macro_rules! vector {
    ($at:literal, $row:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "\n vldrb.u8 q6, [",
            $row,
            ", #",
            $at,
            "]",
            "\n vmladava.s8 ",
            $c,
            ", ",
            $a,
            ", q6",
            "\n vmladava.s8 ",
            $d,
            ", ",
            $b,
            ", q6\n",
        )
    };
}

/// Loads the vector at byte `$at` of both pixels.
macro_rules! load {
    ($at:literal, $a:literal, $b:literal) => {
        concat!("\n vldrb.u8 ", $a, ", [r0, #", $at, "]\n vldrb.u8 ", $b, ", [r9, #", $at, "]\n")
    };
}

/// Products of some vectors with the rows of all pairs of output channels.
macro_rules! pairs {
    ($($at:literal $a:literal $b:literal),+) => {
        concat!(
            $(load!($at, $a, $b),)+
            "
        ldr r9, [sp, #8]
        str r3, [sp, #8]
        dls lr, r10
    9:
        ldm r9!, {{r2, r4, r6, r8}}
            ",
            $(vector!($at, "r1", $a, $b, "r2", "r4"),)+
            $(vector!($at, "r5", $a, $b, "r6", "r8"),)+
            "
        add r1, r7
        add r5, r7
        stm r3!, {{r2, r4, r6, r8}}
        le lr, 9b
            "
        )
    };
}

/// Prepares a chunk of the `r12` words that are left: leaves its own in `r4`.
macro_rules! chunk {
    () => {
        "
        ldr r3, [sp]
        str r1, [sp, #4]
        add r5, r1, r7, lsr #1
        ldr r4, [r11]
        cmp r12, r4
        it lo
        movlo r4, r12
        sub r12, r12, r4
        "
    };
}

/// Goes on to the codes and weights of the next chunk, if words are left.
macro_rules! next {
    () => {
        "
        ldr r1, [sp, #4]
        ldr r4, [r11, #4]
        lsr r5, r7, #1
        mla r1, r4, r5, r1
        add r0, r5
        cmp r12, #0
        "
    };
}

/// [`super::dense::Dense::multiply`].
///
/// In a chunk `r0` and `r9` are the codes of the two pixels, `r1` and `r5` rows of two output channels, `r7`
/// the bytes from such a pair to the next, `r10` the number of pairs, `r3` walks the sums. `r11` is the
/// group and `r12` the words left; on the stack lie the sums, the chunk's weights and what the sums at hand
/// are read from, by `r9` too. A chunk of four vectors takes two turns; vectors beyond the words have no
/// weights.
///
/// # Safety
/// Gathered codes hold `words`, weights, sums and starts, which may be the sums, what the group says, whole
/// pairs of rows.
// SAFETY: the assembly keeps the calling convention: it saves what it must, and returns by `pc`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(
    gathered: *const [Words; PIXELS],
    weights: *const i8,
    sums: *mut [i32; PIXELS],
    group: *const Group,
    words: usize,
    starts: *const [i32; PIXELS],
) {
    naked_asm!(
        "
        .cpu cortex-m55
        push {{r4-r11, lr}}
        vpush {{d8-d15}}
        sub sp, #12
        mov r11, r3
        str r2, [sp]
        ldrd r12, r4, [sp, #112]
        str r4, [sp, #8]
        ldr r7, [r11]
        ldr r10, [r11, #8]
        adds.w r10, r10, #1
        lsr r10, r10, #1
        lsl r7, r7, #3
    2:
        add r9, r0, #{pixel}
        ",
        chunk!(),
        "
        cmp r7, #32
        beq 3f
        cmp r4, #8
        bls 4f
        cmp r4, #12
        bls 5f
        ",
        pairs!("0" "q0" "q3", "16" "q1" "q4"),
        "
        ldrd r3, r1, [sp]
        add r5, r1, r7, lsr #1
        add r9, r0, #{pixel}
        ",
        pairs!("32" "q0" "q3", "48" "q1" "q4"),
        "
        b 6f
    3:
        ",
        pairs!("0" "q0" "q3"),
        "
        b 6f
    4:
        ",
        pairs!("0" "q0" "q3", "16" "q1" "q4"),
        "
        b 6f
    5:
        ",
        pairs!("0" "q0" "q3", "16" "q1" "q4", "32" "q2" "q5"),
        "
    6:
        ",
        next!(),
        "
        bne 2b
        add sp, #12
        vpop {{d8-d15}}
        pop {{r4-r11, pc}}
        ",
        pixel = const size_of::<Words>(),
    )
}

/// One run of both pixels, whose bytes the predicate counts, stored at `r3` and `r6`.
macro_rules! run {
    ($step:literal) => {
        concat!(
            "
        ldrh r4, [r1], #2
        add r7, r0, r4, lsl #2
        add r4, r5, r4, lsl #2
        vpstt
        vldrbt.u8 q0, [r7]
        vldrbt.u8 q1, [r4]
        veor q0, q0, q2
        veor q1, q1, q2
        vstrb.8 q0, [r3]",
            $step,
            "
        vstrb.8 q1, [r6]",
            $step,
            "\n"
        )
    };
}

/// Gathers and centres runs of `taps` neighbouring taps for both pixels.
///
/// `r0` is the line of the first pixel, `r5` that of the second, `r1` walks the runs, `r3` and `r6` what is
/// gathered, a vector of which is written whatever a run holds.
///
/// # Safety
/// There is a run, of one to four taps; they are stored at every one of `runs` from both lines on; room is
/// for four words more.
// SAFETY: as [`multiply`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn neighbours(
    lines: *const [*const [u8; BLOCK]; PIXELS],
    runs: *const u16,
    count: usize,
    gathered: *mut [Words; PIXELS],
    taps: usize,
) {
    naked_asm!(
        "
        .cpu cortex-m55
        push {{r4-r7, lr}}
        ldrd r0, r5, [r0]
        ldr r12, [sp, #20]
        add r6, r3, #{pixel}
        lsl r12, r12, #2
        vctp.8 r12
        vmov.i8 q2, #0x80
        dls lr, r2
        cmp r12, #12
        bne 3f
    2:
        ",
        run!(", #12"),
        "
        le lr, 2b
        pop {{r4-r7, pc}}
    3:
        ",
        run!(""),
        "
        add r3, r12
        add r6, r12
        le lr, 3b
        pop {{r4-r7, pc}}
        ",
        pixel = const size_of::<Words>(),
    )
}

/// [`super::dense::requantize`] for two pixels. `vcvtn` rounds half to even and saturates.
///
/// `r0` walks the sums, `r1` the multipliers, `r2` and `r3` each pixel's blocks.
///
/// # Safety
/// Sums, multipliers and codes hold what the group says.
// SAFETY: as [`multiply`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn requantize(
    sums: *const [i32; PIXELS],
    multipliers: *const Multiplier,
    codes: *mut u8,
    group: *const Group,
) {
    naked_asm!(
        "
        .cpu cortex-m55
        push {{r4-r6, lr}}
        vpush {{d8-d9}}
        ldrd lr, r4, [r3, #12]
        ldrd r5, r12, [r3, #20]
        ldrd r6, r3, [r3, #28]
        vdup.32 q3, r6
        vdup.32 q4, r3
        add r3, r2, r5
        dls lr, lr
    2:
        vld20.32 {{q0, q1}}, [r0]
        vld21.32 {{q0, q1}}, [r0]!
        vldrw.u32 q2, [r1], #16
        vcvt.f32.s32 q0, q0
        vcvt.f32.s32 q1, q1
        vmul.f32 q0, q0, q2
        vmul.f32 q1, q1, q2
        vcvtn.s32.f32 q0, q0
        vcvtn.s32.f32 q1, q1
        vqadd.s32 q0, q0, r12
        vqadd.s32 q1, q1, r12
        vmax.s32 q0, q0, q3
        vmax.s32 q1, q1, q3
        vmin.s32 q0, q0, q4
        vmin.s32 q1, q1, q4
        vstrb.32 q0, [r2]
        vstrb.32 q1, [r3]
        add r2, r4
        add r3, r4
        le lr, 2b
        vpop {{d8-d9}}
        pop {{r4-r6, pc}}
        "
    )
}
