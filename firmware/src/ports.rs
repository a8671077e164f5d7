//! What a board gives the supervisor: time, a line, a sensor, a watchdog and the interlock.

/// A clock that never goes back.
pub trait Clock {
    /// Microseconds since it started.
    fn now_us(&mut self) -> u64;
}

/// The line to the box. Neither direction ever waits.
pub trait Link {
    /// The next byte that arrived.
    fn take(&mut self) -> Option<u8>;

    /// Takes a byte to send; false when there is no room for it yet.
    fn put(&mut self, byte: u8) -> bool;
}

/// The sensor itself, seen past the box.
pub trait Sensor {
    /// The next row of samples and whether it ends a frame; none when there is none yet.
    fn row(&mut self) -> Option<(&[u8], bool)>;
}

/// Resets the processor unless it is fed in time.
pub trait Watchdog {
    /// Starts the time anew.
    fn feed(&mut self);
}

/// The contact that lets the box's results be used. It is open without power and after a reset.
pub trait Interlock {
    /// Opens or closes it.
    fn set(&mut self, closed: bool);

    /// Whether a person has pressed the button that acknowledges a stop since this was asked last.
    fn acknowledged(&mut self) -> bool;
}

/// All of a board but its clock, whose time is handed to each poll.
#[derive(Debug)]
pub struct Ports<L, S, W, I> {
    /// The line to the box.
    pub link: L,
    /// The sensor.
    pub sensor: S,
    /// The watchdog.
    pub watchdog: W,
    /// The interlock.
    pub interlock: I,
}
