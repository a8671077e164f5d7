//! Bytes of a pipe in a buffer of fixed size: short reads are joined, interrupted ones repeated.

use std::io::{self, Read};
use std::time::Duration;

/// Reads that may fail one after the other before the pipe is given up.
const FAILURES_MAX: u32 = 8;

/// What a pipe had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// As many bytes as were asked for.
    Enough,
    /// It ended before.
    Ended,
    /// The operating system refused; its error number. Asking again goes on.
    Failed(i32),
}

/// A buffered pipe.
pub struct Feed {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    failures: u32,
    ended: bool,
}

impl Feed {
    /// With room for `capacity` bytes.
    pub fn new(reader: Box<dyn Read + Send>, capacity: usize) -> Self {
        Self { reader, buffer: vec![0; capacity.max(1)], start: 0, end: 0, failures: 0, ended: false }
    }

    /// Makes room for `capacity` bytes, once it is known how large frames are.
    pub fn reserve(&mut self, capacity: usize) {
        if capacity > self.buffer.len() {
            self.buffer.resize(capacity, 0);
        }
    }

    /// What was read and not consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Done with the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Reads until at least `count` bytes are there, at most the capacity.
    pub fn ensure(&mut self, count: usize) -> Supply {
        let count = count.min(self.buffer.len());
        if self.start + count > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < count {
            if self.ended {
                return Supply::Ended;
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.end += read;
                    self.failures = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failures += 1;
                    self.ended = self.failures >= FAILURES_MAX;
                    // A device that is being plugged in again deserves a moment.
                    std::thread::sleep(Duration::from_millis(20));
                    return Supply::Failed(error.raw_os_error().unwrap_or(0));
                }
            }
        }
        Supply::Enough
    }
}
