//! Bytes in, frames out: finds the frames in whatever a line delivers and refuses what was said before.

use super::{Frame, WIRE_BYTES_MAX};

/// A frame in sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The frame.
    pub frame: Frame,
    /// Frames that the sender numbered between the last accepted one and this, and that did not arrive.
    pub missed: u32,
}

/// Why the bytes between two zeros are no frame to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Longer than any frame.
    Length,
    /// No COBS.
    Stuffing,
    /// The CRC does not match.
    Checksum,
    /// A version that this side does not speak.
    Version,
    /// A sound frame that says nothing known.
    Content,
    /// A sequence number that was met or passed before.
    Replay,
}

/// Collects the bytes of one direction of a link.
#[derive(Debug, Clone)]
pub struct Receiver {
    bytes: [u8; WIRE_BYTES_MAX],
    length: usize,
    overlong: bool,
    last: Option<u32>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// A receiver that takes any sequence number first.
    pub const fn new() -> Self {
        Self { bytes: [0; WIRE_BYTES_MAX], length: 0, overlong: false, last: None }
    }

    /// Takes any sequence number next: the other side was started again, and somebody knows of it.
    pub const fn restart(&mut self) {
        self.last = None;
    }

    /// Takes one byte. `None` while a frame goes on, and between frames.
    ///
    /// # Errors
    /// [`Refusal`] for bytes that came where a frame should be. The next frame is found all the same.
    pub fn push(&mut self, byte: u8) -> Option<Result<Received, Refusal>> {
        if byte != 0 {
            match self.bytes.get_mut(self.length) {
                Some(place) => {
                    *place = byte;
                    self.length += 1;
                }
                None => self.overlong = true,
            }
            return None;
        }
        let (length, overlong) = (self.length, self.overlong);
        (self.length, self.overlong) = (0, false);
        if overlong {
            return Some(Err(Refusal::Length));
        }
        match self.bytes.get_mut(..length) {
            None | Some([]) => None,
            Some(stuffed) => Some(Frame::decode(stuffed).and_then(|frame| self.in_sequence(frame))),
        }
    }

    /// Compares with the last number by the sign of the difference, as sequence numbers that wrap are (RFC
    /// 1982).
    fn in_sequence(&mut self, frame: Frame) -> Result<Received, Refusal> {
        let missed = match self.last {
            None => 0,
            Some(last) => {
                let ahead = frame.sequence.wrapping_sub(last);
                if ahead == 0 || ahead >= 1 << 31 {
                    return Err(Refusal::Replay);
                }
                ahead - 1
            }
        };
        self.last = Some(frame.sequence);
        Ok(Received { frame, missed })
    }
}
