//! What a measurement on an emulated board needs besides its log: an argument, an end, the depth of the
//! stack.

use cortex_m_rt::exception;
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};

/// Ends the emulation.
pub fn stop(success: bool) -> ! {
    loop {
        exit(if success { EXIT_SUCCESS } else { EXIT_FAILURE });
    }
}

/// The number that the emulator was given with `-semihosting-config arg=N`; 0 without one.
pub fn argument() -> u32 {
    let mut text = [0u8; 64];
    let mut block = [text.as_mut_ptr() as usize, text.len()];
    // SAFETY: SYS_GET_CMDLINE writes at most as many bytes as the block says to where it says.
    let failed = unsafe { cortex_m_semihosting::syscall1(0x15, block.as_mut_ptr() as usize) };
    if failed != 0 {
        return 0;
    }
    let last = text.split(|&byte| byte == 0).next().unwrap_or_default().rsplit(|&byte| byte == b' ').next();
    let digits = last.unwrap_or_default().iter();
    digits.fold(0, |number: u32, digit| {
        number.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

/// Most bytes of stack used so far, from what the runtime painted before `main`.
pub fn stack_bytes() -> usize {
    unsafe extern "C" {
        static mut _stack_start: u32;
        static mut _stack_end: u32;
    }
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let mut place = end;
    // SAFETY: the linker script puts the stack between the two symbols.
    unsafe {
        while place < start && place.read_volatile() == cortex_m_rt::STACK_PAINT_VALUE {
            place = place.add(1);
        }
        start.byte_offset_from(place) as usize
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    defmt::error!("panic at {=str}:{=u32}", file, line);
    stop(false)
}

// SAFETY: the handler only logs and stops.
#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!("fault at {=u32:#x}", frame.pc());
    stop(false)
}
