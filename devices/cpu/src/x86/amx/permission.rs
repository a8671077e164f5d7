//! Whether the CPU has byte tiles and Linux lets this process use them.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

const UNKNOWN: u8 = 0;
const REFUSED: u8 = 1;
const GRANTED: u8 = 2;

/// `arch_prctl` on x86-64 Linux.
const ARCH_PRCTL: i64 = 158;
/// Requests permission for a state component that a process must ask for.
const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
/// The state component that holds tile data.
const TILE_DATA: i64 = 18;

/// Whether tiles can be used; asks the kernel for the whole process the first time.
pub(crate) fn is_permitted() -> bool {
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    let known = ANSWER.load(Relaxed);
    if known != UNKNOWN {
        return known == GRANTED;
    }
    // Asking twice is harmless: the kernel gives the same answer.
    let granted = has_tiles() && request() == 0;
    ANSWER.store(if granted { GRANTED } else { REFUSED }, Relaxed);
    granted
}

/// Whether the CPU has tiles with byte products and the system saves their state.
fn has_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const TILE_STATE: u32 = 1 << 17 | 1 << 18;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    let enabled: u32;
    // SAFETY: the instruction exists where OSXSAVE is set and reads a register.
    unsafe {
        asm!(
            "xgetbv",
            in("ecx") 0,
            out("eax") enabled,
            out("edx") _,
            options(nomem, nostack, preserves_flags)
        );
    }
    features & AMX_TILE_AND_INT8 == AMX_TILE_AND_INT8 && enabled & TILE_STATE == TILE_STATE
}

/// Asks the kernel to let this process use tile data; zero on success.
fn request() -> i64 {
    let mut answer = ARCH_PRCTL;
    // SAFETY: the system call takes two integers, touches no memory of ours, and is refused where unknown.
    unsafe {
        asm!(
            "syscall",
            inout("rax") answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    answer
}
