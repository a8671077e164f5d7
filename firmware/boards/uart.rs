//! The CMSDK UARTs of Arm's MPS2 and MPS3 boards, and the log over the second.

use core::sync::atomic::{AtomicBool, Ordering};

/// Address of UART0; UART1 follows.
#[cfg(not(feature = "helium"))]
const UARTS: usize = 0x4000_4000;
#[cfg(feature = "helium")]
const UARTS: usize = 0x5930_3000;

/// Bytes from one UART to the next.
const UART_STEP: usize = 0x1000;

/// A CMSDK UART: words data, state, control, interrupts, divider.
pub struct Uart(usize);

impl Uart {
    const fn register(&self, word: usize) -> *mut u32 {
        (self.0 + 4 * word) as *mut u32
    }

    /// The UART of this number.
    pub const fn new(number: usize) -> Self {
        Self(UARTS + number * UART_STEP)
    }

    /// Turns both directions on.
    pub fn start(&self) {
        // SAFETY: registers of a device at a fixed address, which nothing else writes.
        unsafe {
            self.register(4).write_volatile(16);
            self.register(2).write_volatile(3);
        }
    }

    /// The next byte that arrived.
    #[allow(dead_code, reason = "only the supervisor listens")]
    pub fn take(&self) -> Option<u8> {
        // SAFETY: as above; bit 1 of the state tells of a byte.
        unsafe { (self.register(1).read_volatile() & 2 != 0).then(|| self.register(0).read_volatile() as u8) }
    }

    /// Sends a byte; false when the buffer is full.
    pub fn put(&self, byte: u8) -> bool {
        // SAFETY: as above; bit 0 of the state tells of a full buffer.
        unsafe {
            let free = self.register(1).read_volatile() & 1 == 0;
            if free {
                self.register(0).write_volatile(byte.into());
            }
            free
        }
    }

    /// Sends bytes, waiting for room.
    fn write(&self, bytes: &[u8]) {
        for &byte in bytes {
            while !self.put(byte) {}
        }
    }
}

/// Where logs go.
const LOG: Uart = Uart::new(1);

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
