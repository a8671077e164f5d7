//! YUV4MPEG2 video on standard input: the luma of every frame, found again after garbled bytes.
//!
//! Format: mjpegtools' yuv4mpeg(5). A stream header names the extent and the chroma layout; every frame
//! begins with a line `FRAME…`. Chroma is left out.

use super::feed::{Feed, Supply};
use super::{Arrival, Source};
use candor::frame::EXTENT_LIMIT;
use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;
use std::io::Read;

/// What the stream begins with.
const MAGIC: &[u8] = b"YUV4MPEG2 ";
/// What every frame begins with.
const MARK: &[u8] = b"FRAME";
/// The line that a frame without words of its own begins with.
const MARK_LINE: &[u8] = b"FRAME\n";
/// Most bytes of a header line.
const HEADER_BYTES_MAX: usize = 1024;

/// What the stream's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub width: usize,
    pub height: usize,
    /// Bits of a sample, 8 to 16; more than 8 take two bytes, little-endian.
    pub bits: u32,
    /// Samples of all chroma planes of a frame.
    pub chroma: usize,
}

impl Header {
    /// Reads the words of a header line after its magic; `None` when it is not one that can be used.
    pub fn parse(line: &str) -> Option<Self> {
        let (mut width, mut height, mut layout) = (0, 0, "420");
        for word in line.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_at_checked(1)?;
            match key {
                "W" => width = value.parse().ok()?,
                "H" => height = value.parse().ok()?,
                "C" => layout = value,
                _ => {}
            }
        }
        if !(1..=EXTENT_LIMIT).contains(&width) || !(1..=EXTENT_LIMIT).contains(&height) {
            return None;
        }
        let (half_width, half_height): (usize, usize) = (width.div_ceil(2), height.div_ceil(2));
        let chroma = match layout.get(..3)? {
            "mon" => 0,
            "420" => 2 * half_width * half_height,
            "422" => 2 * half_width * height,
            "444" => 2 * width * height,
            "411" => 2 * width.div_ceil(4) * height,
            _ => return None,
        };
        let deep = layout.strip_prefix("mono").or_else(|| layout.get(3..)?.strip_prefix('p'));
        let bits = match deep {
            None | Some("") => 8,
            Some(bits) => bits.parse().ok().filter(|bits| (8..=16).contains(bits)).or_else(|| {
                // 420paldv and its like say where chroma was sampled.
                layout
                    .starts_with("420p")
                    .then_some(8)
                    .filter(|_| !bits.starts_with(|c: char| c.is_ascii_digit()))
            })?,
        };
        Some(Self { width, height, bits, chroma })
    }

    const fn sample_bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// Bytes of a frame after its mark.
    pub const fn bytes(&self) -> usize {
        (self.width * self.height + self.chroma) * self.sample_bytes()
    }
}

/// The source.
pub struct Video {
    feed: Feed,
    header: Option<Header>,
}

impl Video {
    /// Video from `reader`.
    pub fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { feed: Feed::new(reader, 4 * HEADER_BYTES_MAX), header: None }
    }

    /// Consumes bytes up to the next place where `mark` stands, and counts them; all but its length when it
    /// stands nowhere.
    fn skip_to(&mut self, mark: &[u8]) -> u64 {
        let bytes = self.feed.bytes();
        let skipped = find(bytes, mark).unwrap_or(bytes.len().saturating_sub(mark.len() - 1));
        self.feed.consume(skipped);
        skipped as u64
    }

    /// Looks for `mark` from the first byte on, reading as much as it takes; the bytes skipped, or the end.
    fn seek(&mut self, mark: &[u8]) -> Result<u64, Arrival> {
        let mut skipped = 0;
        loop {
            let supply = self.feed.ensure(mark.len());
            if supply != Supply::Enough {
                let rest = self.feed.bytes().len();
                return Err(match supply {
                    Supply::Failed(errno) => Arrival::Trouble(SourceFault::ReadFailed { errno }),
                    _ if skipped + rest as u64 > 0 => {
                        self.feed.consume(rest);
                        Arrival::Rejected(SourceFault::Garbled { skipped: skipped + rest as u64 })
                    }
                    _ => Arrival::End,
                });
            }
            if self.feed.bytes().starts_with(mark) {
                return Ok(skipped);
            }
            skipped += self.skip_to(mark);
        }
    }

    /// The header line that the feed begins with, consumed; `None` when it is too long or cut.
    fn line(&mut self) -> Option<String> {
        for length in 1..=HEADER_BYTES_MAX {
            if self.feed.ensure(length) != Supply::Enough {
                return None;
            }
            if self.feed.bytes()[length - 1] == b'\n' {
                let line = String::from_utf8_lossy(&self.feed.bytes()[..length - 1]).into_owned();
                self.feed.consume(length);
                return Some(line);
            }
        }
        None
    }

    /// Length of the frame mark's line that the feed begins with, newline included; `None` when there is
    /// none. Allocates nothing.
    fn mark_length(&mut self) -> Option<usize> {
        for length in MARK.len() + 1..=HEADER_BYTES_MAX {
            if self.feed.ensure(length) != Supply::Enough {
                return None;
            }
            match self.feed.bytes()[length - 1] {
                b'\n' => return Some(length),
                b' '..=b'~' if length > MARK.len() + 1 || self.feed.bytes()[length - 1] == b' ' => {}
                _ => return None,
            }
        }
        None
    }

    /// How many of the last of the first `end` bytes begin the next frame's mark, 1 to 5: this frame then
    /// lost so many. Waits for the next frame only when its last bytes look like that.
    fn overlap(&mut self, end: usize) -> Option<usize> {
        let likely = |bytes: &[u8], own: usize| bytes[..end].ends_with(&MARK_LINE[..own]);
        let own = (1..MARK_LINE.len()).rev().find(|&own| likely(self.feed.bytes(), own))?;
        let whole = end + MARK_LINE.len() - own;
        let enough = self.feed.ensure(whole) == Supply::Enough;
        (enough && self.feed.bytes()[..whole].ends_with(MARK_LINE)).then_some(own)
    }

    fn begin(&mut self) -> Result<Header, Arrival> {
        let skipped = self.seek(MAGIC)?;
        let line = self.line().unwrap_or_default();
        let header = Header::parse(line.get(MAGIC.len()..).unwrap_or_default());
        let Some(header) = header else {
            // Nothing that follows can be understood; look for another header.
            self.feed.consume(1);
            return Err(Arrival::Rejected(SourceFault::Garbled { skipped: skipped + line.len() as u64 }));
        };
        self.feed.reserve(2 * (header.bytes() + HEADER_BYTES_MAX));
        self.header = Some(header);
        if skipped > 0 {
            return Err(Arrival::Trouble(SourceFault::Garbled { skipped }));
        }
        Ok(header)
    }
}

impl Source for Video {
    fn next(&mut self, slot: &mut Slot) -> Arrival {
        let header = match self.header {
            Some(header) => header,
            None => match self.begin() {
                Ok(header) => header,
                Err(arrival) => return arrival,
            },
        };
        match self.seek(MARK) {
            Ok(0) => {}
            Ok(skipped) => return Arrival::Rejected(SourceFault::Garbled { skipped }),
            Err(arrival) => return arrival,
        }
        let Some(mark) = self.mark_length() else {
            self.feed.consume(MARK.len());
            return Arrival::Rejected(SourceFault::Garbled { skipped: MARK.len() as u64 });
        };
        let expected = header.bytes();
        let supply = self.feed.ensure(mark + expected);
        let frame = &self.feed.bytes()[mark..];
        let frame = &frame[..frame.len().min(expected)];
        // A frame that lost bytes runs into the mark of the next.
        let cut = find(frame, MARK_LINE);
        let bytes = cut.unwrap_or(frame.len());
        if let Supply::Failed(errno) = supply {
            return Arrival::Trouble(SourceFault::ReadFailed { errno });
        }
        if bytes < expected {
            self.feed.consume(mark + bytes);
            let (bytes, expected) = (bytes as u64, expected as u64);
            return Arrival::Rejected(SourceFault::ShortFrame { bytes, expected });
        }
        if let Some(overlap) = self.overlap(mark + expected) {
            self.feed.consume(mark + expected - overlap);
            let (bytes, expected) = ((expected - overlap) as u64, expected as u64);
            return Arrival::Rejected(SourceFault::ShortFrame { bytes, expected });
        }
        take_luma(&header, &self.feed.bytes()[mark..mark + expected], slot);
        self.feed.consume(mark + expected);
        Arrival::Frame
    }
}

fn take_luma(header: &Header, frame: &[u8], slot: &mut Slot) {
    let pixels = header.width * header.height;
    (slot.width, slot.height, slot.channels) = (header.width, header.height, 1);
    if header.bits > 8 {
        let most = u16::MAX >> (16 - header.bits);
        let pairs = &frame.as_chunks::<2>().0[..pixels];
        slot.full_scale = most;
        slot.wide.clear();
        slot.wide.extend(pairs.iter().map(|pair| u16::from_le_bytes(*pair).min(most)));
    } else {
        slot.full_scale = 255;
        slot.narrow.clear();
        slot.narrow.extend_from_slice(&frame[..pixels]);
    }
}

/// Where `wanted` first stands in `bytes`.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
