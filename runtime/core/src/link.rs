//! The link between an imaging box and its supervisor: what a frame on the wire says and how its bytes are
//! made.
//!
//! A frame is a [`Frame`] as postcard 1 writes it, its integers of full width so that a message has one
//! length, then its CRC-32C in four bytes, least significant first, all of it stuffed by COBS (Cheshire &
//! Baker 1999) and ended by a zero byte. A sender also begins each frame with a zero, so that what noise
//! left on the line cannot swallow it. Whoever receives needs only the bytes between two zeros: no state
//! outlives a frame but the sequence number.

mod receiver;

pub use receiver::{Received, Receiver, Refusal};

use crate::alert::Severity;
use crc::{CRC_32_ISCSI, Crc, Table};
use serde::{Deserialize, Serialize};

/// Version of the protocol; frames of another are refused.
pub const VERSION: u8 = 1;
/// Most bytes of a frame on the wire, both zeros included.
pub const WIRE_BYTES_MAX: usize = 96;
/// Most bytes of a frame before stuffing, CRC included. COBS adds one byte to so few.
pub const PLAIN_BYTES_MAX: usize = WIRE_BYTES_MAX - 3;
/// Bytes of the CRC.
const CRC_BYTES: usize = 4;

/// CRC-32C (Castagnoli, Bräuer & Herrmann 1993): finds every error of up to five bits in frames as short as
/// these.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// One frame of either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// [`VERSION`].
    pub version: u8,
    /// One more than in the sender's frame before; wraps around.
    #[serde(with = "postcard::fixint::le")]
    pub sequence: u32,
    /// Number of the exam; rises when a new one begins.
    #[serde(with = "postcard::fixint::le")]
    pub epoch: u32,
    /// First eight bytes of the digest of the package in use, as [`crate::digest::short`] gives them.
    #[serde(with = "postcard::fixint::le")]
    pub package: u64,
    /// Number of the camera frame that the message speaks of; rises by at least one from each to the next.
    #[serde(with = "postcard::fixint::le")]
    pub frame_id: u64,
    /// The sender's monotonic time in µs.
    #[serde(with = "postcard::fixint::le")]
    pub time_us: u64,
    /// What it says.
    pub message: Message,
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The box lives; it has no news.
    Heartbeat,
    /// The box judged camera frame [`Frame::frame_id`].
    Finding(Finding),
    /// The supervisor wants the digest that the package gives for the golden input of this seed.
    Challenge {
        /// Names the question.
        #[serde(with = "postcard::fixint::le")]
        nonce: u32,
        /// Seed of the [`crate::golden`] input.
        #[serde(with = "postcard::fixint::le")]
        seed: u32,
    },
    /// The answer of the box: the first eight bytes of the SHA-256 of its own output for that input.
    Answer {
        /// The question.
        #[serde(with = "postcard::fixint::le")]
        nonce: u32,
        /// See [`crate::digest::short`].
        #[serde(with = "postcard::fixint::le")]
        digest: u64,
    },
    /// How the supervisor stands; it sends this unasked.
    Status {
        /// Whether the interlock is closed: the box's results may be used.
        closed: bool,
        /// Number of the latched stop, rising by one with each; 0 before the first.
        #[serde(with = "postcard::fixint::le")]
        latch: u32,
        /// Why it stopped, as the supervisor numbers its causes; 0 for none.
        cause: u8,
    },
    /// A person has seen stop `latch` and wants work to go on.
    Acknowledge {
        /// As in [`Message::Status`]: a stop that came after the one seen stays latched.
        #[serde(with = "postcard::fixint::le")]
        latch: u32,
    },
}

/// The verdict on a camera frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Digest of the camera frame's own samples: the same twice in a row is a frozen source.
    #[serde(with = "postcard::fixint::le")]
    pub input: u64,
    /// Digest of the model's output.
    #[serde(with = "postcard::fixint::le")]
    pub output: u64,
    /// Whether the confidence may be relied on.
    pub calibration: Calibration,
    /// The greatest severity of the alerts that stand, as [`crate::alert::AlertMachine::worst`] gives it.
    pub worst: Option<Severity>,
}

/// What the calibration of a finding is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Calibration {
    /// The package's calibration was applied.
    Applied,
    /// The confidence must not be relied on.
    Void,
    /// The package has none.
    Absent,
}

/// A frame that does not fit [`WIRE_BYTES_MAX`]: no frame of this version is so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Frame {
    /// Writes the frame as it goes over the wire, and returns those bytes.
    ///
    /// # Errors
    /// [`TooLong`]; no message of [`VERSION`] is.
    pub fn encode<'w>(&self, wire: &'w mut [u8; WIRE_BYTES_MAX]) -> Result<&'w [u8], TooLong> {
        let mut plain = [0; PLAIN_BYTES_MAX];
        let (body, _) = plain.split_at_mut(PLAIN_BYTES_MAX - CRC_BYTES);
        let length = postcard::to_slice(self, body).map_err(|_| TooLong)?.len();
        let (body, rest) = plain.split_at_mut_checked(length).ok_or(TooLong)?;
        let crc = CRC.checksum(body).to_le_bytes();
        rest.first_chunk_mut::<CRC_BYTES>().ok_or(TooLong)?.copy_from_slice(&crc);
        let plain = plain.get(..length + CRC_BYTES).ok_or(TooLong)?;
        let length = stuff(plain, wire).ok_or(TooLong)?;
        wire.get(..length).ok_or(TooLong)
    }

    /// Reads a frame from the bytes between two zeros, which are overwritten.
    ///
    /// # Errors
    /// [`Refusal`]; never [`Refusal::Replay`], which only a [`Receiver`] can see.
    pub fn decode(stuffed: &mut [u8]) -> Result<Self, Refusal> {
        let length = unstuff(stuffed).ok_or(Refusal::Stuffing)?;
        let plain = stuffed.get(..length).ok_or(Refusal::Stuffing)?;
        let (body, crc) = plain.split_last_chunk::<CRC_BYTES>().ok_or(Refusal::Checksum)?;
        if CRC.checksum(body).to_le_bytes() != *crc {
            return Err(Refusal::Checksum);
        }
        if body.first() != Some(&VERSION) {
            return Err(Refusal::Version);
        }
        match postcard::take_from_bytes::<Self>(body) {
            Ok((frame, [])) => Ok(frame),
            _ => Err(Refusal::Content),
        }
    }
}

/// COBS with a zero on either side; `plain` is shorter than 254 bytes. Returns the bytes written.
///
/// Written out here because frames are so short that one code byte per zero is all there is to it.
fn stuff(plain: &[u8], wire: &mut [u8; WIRE_BYTES_MAX]) -> Option<usize> {
    let mut used = 0;
    let mut put = |bytes: &[u8]| -> Option<()> {
        wire.get_mut(used..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        used += bytes.len();
        Some(())
    };
    put(&[0])?;
    for run in plain.split(|&byte| byte == 0) {
        put(&[u8::try_from(run.len() + 1).ok()?])?;
        put(run)?;
    }
    put(&[0])?;
    Some(used)
}

/// Undoes [`stuff`] in place on the bytes between the zeros; the length of what was stuffed.
fn unstuff(bytes: &mut [u8]) -> Option<usize> {
    let mut read = 0;
    let mut written = 0;
    loop {
        // A run of 254 would end without a zero, but no frame is that long.
        let run = usize::from(*bytes.get(read)?).checked_sub(1)?;
        for _ in 0..run {
            read += 1;
            *bytes.get_mut(written)? = *bytes.get(read)?;
            written += 1;
        }
        read += 1;
        if read == bytes.len() {
            return Some(written);
        }
        *bytes.get_mut(written)? = 0;
        written += 1;
    }
}

#[cfg(test)]
mod tests;
