//! The inner loops of the helium tier in assembly, for vectors of sixteen codes with the sums in registers.

use super::dense::Group;
use super::helium::{PIXELS, Words};
use candor_core::arithmetic::Multiplier;
use candor_core::tensor::BLOCK;
use core::arch::naked_asm;

/// Products of the vector of weights at `$at` with the codes of the pixels in `$a` and `$b`, added to `$c`
/// and `$d`.
macro_rules! vector {
    ($at:expr, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "\n vldrb.u8 q6, ",
            $at,
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
        concat!(
            "\n vldrw.u32 ",
            $a,
            ", [r0, #",
            $at,
            "]",
            "\n vldrw.u32 ",
            $b,
            ", [r0, #{pixel} + ",
            $at,
            "]\n"
        )
    };
}

/// Products of the vectors of codes at the given bytes with the vectors of weights that lie at `r1` and
/// behind it, in rows of `$row` bytes, for all pairs of output channels.
macro_rules! pairs {
    ($row:literal, $first:literal $(, $next:literal $from:literal $a:literal $b:literal)*) => {
        concat!(
            load!($first, "q0", "q3"),
            $(load!($next, $a, $b),)*
            "
        dls lr, r9
    9:
        ldm r5!, {{r4, r6, r8, r10}}
            ",
            vector!(concat!("[r1], #", $row), "q0", "q3", "r4", "r6"),
            $(vector!(concat!("[r1, #", $from, " - ", $row, "]"), $a, $b, "r4", "r6"),)*
            $(vector!(concat!("[r1, #", $from, "]"), $a, $b, "r8", "r10"),)*
            vector!(concat!("[r1], #", $row), "q0", "q3", "r8", "r10"),
            "
        stm r3!, {{r4, r6, r8, r10}}
        le lr, 9b
            "
        )
    };
}

/// Begins a chunk: leads to the loop for the words of a row and the vectors that the words left need.
macro_rules! branch {
    () => {
        "
    2:
        mov r4, r12
        cmp r4, r11
        it hi
        movhi r4, r11
        adds r4, #3
        add r4, r11, r4, lsr #2
        tbh [pc, r4, lsl #1]
    10:
        .hword 0, 0, 0, 0, 0
        .hword (11f - 10b) / 2, 0, 0, 0
        .hword (12f - 10b) / 2, (12f - 10b) / 2, 0, 0
        .hword (13f - 10b) / 2, (13f - 10b) / 2, (14f - 10b) / 2, 0
        .hword (15f - 10b) / 2, (15f - 10b) / 2, (16f - 10b) / 2, (17f - 10b) / 2
    11:
        "
    };
}

/// Products of a chunk of four vectors, two at a time.
macro_rules! turns {
    () => {
        concat!(
            pairs!("64", "0", "16" "16" "q1" "q4"),
            "
        sub r1, r1, r9, lsl #7
        add r1, #32
        mov r3, r2
        mov r5, r2
            ",
            pairs!("64", "32", "48" "16" "q1" "q4"),
            "
        sub r1, #32
            "
        )
    };
}

/// [`super::dense::Dense::multiply`].
///
/// In a chunk `r0` is the codes of the first pixel, `r1` walks the rows of weights, `r5` what the sums begin
/// with and `r3` the sums, which begin at `r2`; `r9` is the number of pairs of output channels, `r11` the
/// words of a row, `r7` the bytes after the last row to the next chunk and `r12` the words left. Vectors
/// beyond the words have no weights.
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
        ldrd r12, r5, [sp, #100]
        ldrd r11, r7, [r3]
        ldr r9, [r3, #8]
        add r9, r9, #1
        lsr r9, r9, #1
        sub r7, r7, r9, lsl #1
        mul r7, r7, r11
        lsl r7, r7, #2
        mov r3, r2
        ",
        branch!(),
        pairs!("16", "0"),
        "
        b 6f
    12:
        ",
        pairs!("32", "0", "16" "16" "q1" "q4"),
        "
        b 6f
    13:
        ",
        pairs!("48", "0", "16" "16" "q1" "q4"),
        "
        b 6f
    14:
        ",
        pairs!("48", "0", "16" "16" "q1" "q4", "32" "32" "q2" "q5"),
        "
        b 6f
    15:
        ",
        pairs!("64", "0", "16" "16" "q1" "q4"),
        "
        b 6f
    16:
        ",
        pairs!("64", "0", "16" "16" "q1" "q4", "32" "32" "q2" "q5"),
        "
        b 6f
    17:
        ",
        turns!(),
        "
    6:
        mov r3, r2
        mov r5, r2
        add r1, r7
        add r0, r0, r11, lsl #2
        subs r12, r12, r11
        bhi 2b
        vpop {{d8-d15}}
        pop {{r4-r11, pc}}
        ",
        pixel = const size_of::<Words>(),
    )
}

/// Gathers and centres runs of `taps` neighbouring taps for both pixels.
///
/// `r0` is the line of the first pixel, `r5` that of the second, `r1` walks the runs, `r3` and `r6` what is
/// gathered, a vector of which is written whatever a run holds. Runs of three taps of neighbouring pixels are
/// one vector of four words, of which the second pixel's are the last three.
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
        vmov.i8 q2, #0x80
        dls lr, r2
        cmp r12, #12
        bne 3f
        sub r7, r5, r0
        cmp r7, #4
        bne 3f
        movw r7, #0xfff0
        vmsr p0, r7
        sub r6, #4
    2:
        ldrh r4, [r1], #2
        add r4, r0, r4, lsl #2
        vldrb.u8 q0, [r4]
        veor q0, q0, q2
        vstrb.8 q0, [r3], #12
        vpst
        vstrbt.8 q0, [r6], #12
        le lr, 2b
        pop {{r4-r7, pc}}
    3:
        vctp.8 r12
    4:
        ldrh r4, [r1], #2
        add r7, r0, r4, lsl #2
        add r4, r5, r4, lsl #2
        vpstt
        vldrbt.u8 q0, [r7]
        vldrbt.u8 q1, [r4]
        veor q0, q0, q2
        veor q1, q1, q2
        vstrb.8 q0, [r3]
        vstrb.8 q1, [r6]
        add r3, r12
        add r6, r12
        le lr, 4b
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
