//! Tables of 256 bytes in sixteen registers, looked up 64 entries at a time.

use crate::arm::neon::Neon;
use crate::arm::neondot::NeonDot;
use crate::loops::codebook::{Codebook, Translate, row};
use core::arch::aarch64::*;

/// Four times 64 entries.
struct Looked([uint8x16x4_t; 4]);

macro_rules! codebook {
    ($vector:ty) => {
        impl Codebook<$vector> for Looked {
            #[inline(always)]
            unsafe fn new(table: &[u8; 256]) -> Self {
                let parts = table.as_chunks::<64>().0;
                // SAFETY: each of the four parts has 64 bytes.
                Self(core::array::from_fn(|part| unsafe { vld1q_u8_x4(parts[part].as_ptr()) }))
            }

            #[inline(always)]
            unsafe fn entries(&self, codes: uint8x16_t) -> uint8x16_t {
                // SAFETY: register arithmetic of Advanced SIMD. Indices beyond 64 keep the byte they would
                // replace; the first part gives zero for them.
                unsafe {
                    let part = vdupq_n_u8(64);
                    let mut codes = codes;
                    let mut entries = vqtbl4q_u8(self.0[0], codes);
                    for index in 1..4 {
                        codes = vsubq_u8(codes, part);
                        entries = vqtbx4q_u8(entries, self.0[index], codes);
                    }
                    entries
                }
            }

            #[inline(always)]
            unsafe fn choose(lanes: u32, new: uint8x16_t, old: uint8x16_t) -> uint8x16_t {
                // SAFETY: register arithmetic of Advanced SIMD.
                unsafe { vbslq_u8(vreinterpretq_u8_u32(vdupq_n_u32(lanes)), new, old) }
            }
        }

        impl Translate for $vector {
            #[inline(always)]
            fn is_quick() -> bool {
                true
            }

            #[inline(always)]
            unsafe fn translate(
                source: *const u8,
                target: *mut u8,
                pixels: usize,
                table: &[u8; 256],
                lanes: u32,
            ) {
                // SAFETY: the caller's contract.
                unsafe { row::<$vector, Looked>(source, target, pixels, table, lanes) }
            }
        }
    };
}
codebook!(Neon);
codebook!(NeonDot);
