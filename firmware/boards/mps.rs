//! Arm's MPS2 and MPS3 boards as QEMU has them: two UARTs, a log, a way to stop.

use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m_rt::exception;
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};

/// Address of UART0; UART1 follows.
#[cfg(not(feature = "helium"))]
const UARTS: usize = 0x4000_4000;
#[cfg(feature = "helium")]
const UARTS: usize = 0x5930_3000;

/// Bytes from one UART to the next.
const UART_STEP: usize = 0x1000;

/// A CMSDK UART: words data, state, control, interrupts, divider.
struct Uart(usize);

impl Uart {
    const fn register(&self, word: usize) -> *mut u32 {
        (self.0 + 4 * word) as *mut u32
    }

    /// Turns both directions on.
    fn start(&self) {
        // SAFETY: registers of a device at a fixed address, which nothing else writes.
        unsafe {
            self.register(4).write_volatile(16);
            self.register(2).write_volatile(3);
        }
    }

    fn write(&self, bytes: &[u8]) {
        for &byte in bytes {
            // SAFETY: as above; bit 0 of the state tells of a full buffer.
            unsafe {
                while self.register(1).read_volatile() & 1 != 0 {}
                self.register(0).write_volatile(byte.into());
            }
        }
    }
}

/// Where logs go.
const LOG: Uart = Uart(UARTS + UART_STEP);

/// Sends logs over UART1, for defmt's decoder.
#[defmt::global_logger]
struct Logger;

static STARTED: AtomicBool = AtomicBool::new(false);
static mut ENCODER: defmt::Encoder = defmt::Encoder::new();

/// The encoder. There is one thread, and no interrupt logs.
#[allow(static_mut_refs, reason = "one thread")]
fn encoder() -> &'static mut defmt::Encoder {
    // SAFETY: one thread takes one reference at a time, within the functions below.
    unsafe { &mut ENCODER }
}

// SAFETY: one thread logs, and no interrupt does.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        if !STARTED.swap(true, Ordering::Relaxed) {
            LOG.start();
        }
        encoder().start_frame(|bytes| LOG.write(bytes));
    }

    unsafe fn flush() {}

    unsafe fn release() {
        encoder().end_frame(|bytes| LOG.write(bytes));
    }

    unsafe fn write(bytes: &[u8]) {
        encoder().write(bytes, |bytes| LOG.write(bytes));
    }
}

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
