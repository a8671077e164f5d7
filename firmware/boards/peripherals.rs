//! The supervisor's ports on Arm's MPS2 boards: the line, the clock, the watchdog, a relay.

use crate::uart::Uart;
use candor_firmware::ports::{Clock, Interlock, Link, Sensor, Watchdog};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// Ticks of the processor's clock in a microsecond.
const TICKS_PER_US: u32 = 25;
/// The APB watchdog: words load, value, control, clear; the lock is far from them.
const WATCHDOG: usize = 0x4000_8000;
const WATCHDOG_LOCK: usize = WATCHDOG + 0xc00;
/// Ticks after which the watchdog warns, and after as many again resets: 50 ms each.
const WATCHDOG_TICKS: u32 = 50_000 * TICKS_PER_US;
/// The LEDs of the FPGA's I/O block; the first stands for the relay. Its buttons are two words further.
const LEDS: usize = 0x4002_8000;
const BUTTONS: usize = LEDS + 8;

/// UART0.
pub struct Line(Uart);

impl Line {
    /// Turns it on.
    pub fn start() -> Self {
        let uart = Uart::new(0);
        uart.start();
        Self(uart)
    }
}

impl Link for Line {
    fn take(&mut self) -> Option<u8> {
        self.0.take()
    }

    fn put(&mut self, byte: u8) -> bool {
        self.0.put(byte)
    }
}

/// The system timer, read often enough that it cannot pass zero twice: it takes 0.67 s.
pub struct SysTick {
    timer: SYST,
    last: u32,
    ticks: u32,
    us: u64,
}

impl SysTick {
    /// Starts at zero.
    pub fn start() -> Self {
        // SAFETY: nothing else uses the timer.
        let mut timer = unsafe { cortex_m::Peripherals::steal() }.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(0x00ff_ffff);
        timer.clear_current();
        timer.enable_counter();
        Self { last: SYST::get_current(), ticks: 0, us: 0, timer }
    }
}

impl Clock for SysTick {
    fn now_us(&mut self) -> u64 {
        let now = SYST::get_current();
        debug_assert!(self.timer.is_counter_enabled());
        self.ticks += self.last.wrapping_sub(now) & 0x00ff_ffff;
        self.last = now;
        self.us += u64::from(self.ticks / TICKS_PER_US);
        self.ticks %= TICKS_PER_US;
        self.us
    }
}

/// The APB watchdog.
pub struct Dog(());

impl Dog {
    /// Starts it; nothing stops it but a reset.
    pub fn start() -> Self {
        // SAFETY: registers of a device at a fixed address, which nothing else writes.
        unsafe {
            (WATCHDOG_LOCK as *mut u32).write_volatile(0x1acc_e551);
            (WATCHDOG as *mut u32).write_volatile(WATCHDOG_TICKS);
            ((WATCHDOG + 8) as *mut u32).write_volatile(3);
        }
        Self(())
    }
}

impl Watchdog for Dog {
    fn feed(&mut self) {
        // SAFETY: as above; any value clears the warning and loads the time anew.
        unsafe { ((WATCHDOG + 12) as *mut u32).write_volatile(1) }
    }
}

/// The watchdog's warning: whoever hangs goes on hanging, and is reset as long after.
// SAFETY: the handler does nothing.
#[exception]
unsafe fn NonMaskableInt() {}

/// A relay where the board has a LED, and the first of its buttons.
pub struct Relay;

impl Interlock for Relay {
    fn set(&mut self, closed: bool) {
        // SAFETY: registers of a device at a fixed address, which nothing else writes.
        unsafe { (LEDS as *mut u32).write_volatile(u32::from(closed)) }
    }

    fn acknowledged(&mut self) -> bool {
        // SAFETY: reading has no effect.
        unsafe { (BUTTONS as *const u32).read_volatile() & 1 != 0 }
    }
}

/// These boards have no sensor.
pub struct NoSensor;

impl Sensor for NoSensor {
    fn row(&mut self) -> Option<(&[u8], bool)> {
        None
    }
}
