//! The tile instructions, each use of the eight tile registers in one place.
//!
//! Nothing else in a program touches tile registers unless it is compiled with AMX, so they keep their
//! values between the calls here; each call says that memory may change, which keeps them in order.

use core::arch::asm;
use core::hint::black_box;

/// Bytes of a full tile.
pub(super) const TILE: usize = 1024;
/// Bytes of a row of a tile of codes or sums.
pub(super) const ROW: usize = 64;

/// How the eight tile registers are shaped: sums in 0 to 3, weights and codes in the others.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shape {
    /// Two tiles of weights, of `outputs` rows each and `width` words, by two tiles of codes.
    pub fn two_by_two(outputs: [usize; 2], width: usize) -> Self {
        let mut shape = Self::sums([outputs[0], outputs[0], outputs[1], outputs[1]]);
        for (tile, outputs) in [4, 5].into_iter().zip(outputs) {
            shape.set(tile, outputs, width * 4);
        }
        shape.set(6, width, ROW);
        shape.set(7, width, ROW);
        shape
    }

    /// One tile of weights in register 4 by four tiles of codes, which pass through registers 5 to 7.
    pub fn one_by_four(outputs: usize, width: usize) -> Self {
        let mut shape = Self::sums([outputs; 4]);
        shape.set(4, outputs, width * 4);
        for tile in 5..8 {
            shape.set(tile, width, ROW);
        }
        shape
    }

    fn sums(rows: [usize; 4]) -> Self {
        let mut shape =
            Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for (tile, rows) in rows.into_iter().enumerate() {
            shape.set(tile, rows, ROW);
        }
        shape
    }

    fn set(&mut self, tile: usize, rows: usize, row_bytes: usize) {
        self.rows[tile] = rows as u8;
        self.row_bytes[tile] = row_bytes as u16;
    }

    /// Gives the tile registers this shape and clears them.
    ///
    /// # Safety
    /// Needs AMX; every tile has 1 to 16 rows of 4 to 64 bytes.
    #[inline(always)]
    pub unsafe fn load(&self) {
        // SAFETY: the caller's contract; the 64 bytes are readable.
        unsafe { asm!("ldtilecfg [{}]", in(reg) self, options(nostack, readonly, preserves_flags)) }
    }
}

/// Ends the use of tile registers, so that the system need not save them.
///
/// # Safety
/// Needs AMX.
#[inline(always)]
pub(super) unsafe fn release() {
    // SAFETY: the caller's contract.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) }
}

/// Begins the four tiles of sums at `bias`: 0 and 1 at the first, 2 and 3 at the second.
///
/// # Safety
/// Needs AMX with a shape loaded; both point at a full tile.
#[inline(always)]
pub(super) unsafe fn start(bias: [*const i32; 2]) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "tileloadd tmm0, [{a} + {row}]",
            "tileloadd tmm1, [{a} + {row}]",
            "tileloadd tmm2, [{b} + {row}]",
            "tileloadd tmm3, [{b} + {row}]",
            a = in(reg) bias[0],
            b = in(reg) bias[1],
            row = in(reg) ROW,
            options(nostack, preserves_flags)
        );
    }
}

/// Stores the four tiles of sums one after the other.
///
/// # Safety
/// Needs AMX with a shape loaded; four full tiles are writable.
#[inline(always)]
pub(super) unsafe fn finish(sums: *mut i32) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "tilestored [{to} + {row}], tmm0",
            "tilestored [{to} + {row} + 1024], tmm1",
            "tilestored [{to} + {row} + 2048], tmm2",
            "tilestored [{to} + {row} + 3072], tmm3",
            to = in(reg) sums,
            row = in(reg) ROW,
            options(nostack, preserves_flags)
        );
    }
}

/// Adds the products of two tiles of weights and two tiles of codes.
///
/// # Safety
/// Needs AMX with [`Shape::two_by_two`] loaded; the tiles are readable, weights in rows `pitch` bytes apart.
#[inline(always)]
pub(super) unsafe fn two_by_two(weights: [*const i8; 2], pitch: usize, codes: [*const u8; 2]) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "tileloadd tmm6, [{c} + {row}]",
            "tileloadd tmm4, [{a} + {pitch}]",
            "tdpbsud tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{d} + {row}]",
            "tdpbsud tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{b} + {pitch}]",
            "tdpbsud tmm2, tmm5, tmm6",
            "tdpbsud tmm3, tmm5, tmm7",
            a = in(reg) weights[0],
            b = in(reg) weights[1],
            pitch = in(reg) pitch,
            c = in(reg) codes[0],
            d = in(reg) codes[1],
            row = in(reg) ROW,
            options(nostack, preserves_flags)
        );
    }
}

/// Adds the products of one tile of weights and four tiles of codes, `step` bytes apart.
///
/// # Safety
/// Needs AMX with [`Shape::one_by_four`] loaded; the tiles are readable, weights in rows `pitch` bytes apart.
#[inline(always)]
pub(super) unsafe fn one_by_four(weights: *const i8, pitch: usize, codes: *const u8, step: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            "tileloadd tmm4, [{a} + {pitch}]",
            "tileloadd tmm5, [{c} + {row}]",
            "tdpbsud tmm0, tmm4, tmm5",
            "tileloadd tmm6, [{d} + {row}]",
            "tdpbsud tmm1, tmm4, tmm6",
            "tileloadd tmm7, [{e} + {row}]",
            "tdpbsud tmm2, tmm4, tmm7",
            "tileloadd tmm5, [{f} + {row}]",
            "tdpbsud tmm3, tmm4, tmm5",
            a = in(reg) weights,
            pitch = in(reg) pitch,
            c = in(reg) codes,
            d = in(reg) codes.wrapping_add(step),
            e = in(reg) codes.wrapping_add(2 * step),
            f = in(reg) codes.wrapping_add(3 * step),
            row = in(reg) ROW,
            options(nostack, preserves_flags)
        );
    }
}

/// Products of resident tiles, four at a time; returns their number.
///
/// # Safety
/// Needs AMX.
pub(super) unsafe fn roof(rounds: usize) -> u64 {
    // SAFETY: the caller's contract.
    unsafe {
        Shape::two_by_two([16, 16], 16).load();
        for _ in 0..black_box(rounds) {
            asm!(
                "tdpbsud tmm0, tmm4, tmm6",
                "tdpbsud tmm1, tmm4, tmm7",
                "tdpbsud tmm2, tmm5, tmm6",
                "tdpbsud tmm3, tmm5, tmm7",
                options(nostack, preserves_flags)
            );
        }
        release();
    }
    rounds as u64 * 4 * 16 * 16 * 64
}
