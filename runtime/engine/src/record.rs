//! The record: an append-only log of events, one line of JSON each, in which every line seals the one before.
//!
//! A line ends in `,"chain":"…"}`: SHA-256 over the chain value of the line before (32 bytes) and the line's
//! own bytes up to that field. A segment begins with a `segment` event that names the chain value it follows,
//! so that segments can be checked apart and together. Whoever can write the whole log can forge it: keep
//! the last chain value (printed at the end, and served as a metric) somewhere else.
//!
//! Every line is handed to the operating system before the next frame is begun, so that a killed process
//! loses none; it is on the storage within a second of that, at once after an event that is not about a
//! single frame (both on a thread of their own). When the storage refuses, the stream goes on: other events
//! wait in memory, lines about single frames are counted, and a `gap` event tells of both as soon as the
//! storage takes lines again.

pub mod chain;
pub mod disk;
mod gap;
mod open;
mod sync;
#[cfg(test)]
mod tests;
mod verify;

pub use verify::{Verification, verify};

use crate::stream::event::{Event, SegmentCause};
use chain::{CHAIN_HEX, Link};
use disk::Disk;
use gap::Gap;
use serde::Serialize;
use std::io::{self, Write};

/// Most bytes of one line.
pub const LINE_BYTES_MAX: usize = 8192;

/// When a segment is full, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOptions {
    /// A segment of so many bytes is closed.
    pub segment_bytes: u64,
    /// A segment so many milliseconds old is closed.
    pub segment_age_ms: u64,
    /// Closed segments that are kept; the oldest beyond are deleted. 0 keeps all.
    pub keep: usize,
}

impl Default for RecordOptions {
    /// 16 MiB, a day, all.
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, segment_age_ms: 86_400_000, keep: 0 }
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The operating system has it.
    Line {
        /// Its number.
        number: u64,
    },
    /// The storage refused; it waits in memory.
    Held,
    /// The storage refused; it is counted.
    Lost,
}

/// How far a log has come: the number of its last line and that line's chain value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Lines so far, over all segments.
    pub lines: u64,
    /// Chain value of the last.
    pub link: Link,
}

/// A log that is being written.
#[derive(Debug)]
pub struct Record<D> {
    disk: D,
    options: RecordOptions,
    head: Head,
    /// Bytes of the segment that hold whole lines.
    length: u64,
    /// Whether bytes may lie behind them.
    dirty: bool,
    /// Monotonic milliseconds when the segment began.
    began_ms: u64,
    synced_ms: u64,
    unsynced: bool,
    /// The JSON of an event after its number, and the line made of it.
    body: Vec<u8>,
    line: Vec<u8>,
    gap: Gap,
}

/// What precedes an event in its line.
#[derive(Serialize)]
struct Timed<'a, 'e> {
    t_ms: i64,
    #[serde(flatten)]
    event: &'a Event<'e>,
}

impl<D: Disk> Record<D> {
    /// Writes an event. `wall_ms` is calendar time, `now_ms` monotonic. Nothing is allocated unless a
    /// segment is closed.
    pub fn write(&mut self, event: &Event<'_>, wall_ms: i64, now_ms: u64) -> Written {
        if !self.ready(wall_ms, now_ms) {
            return self.hold(event, wall_ms);
        }
        self.render(event, wall_ms);
        match self.append() {
            Ok(number) => {
                self.unsynced = true;
                if !event.is_per_frame() {
                    self.sync(now_ms);
                }
                Written::Line { number }
            }
            Err(error) => {
                self.gap.open(wall_ms, &error);
                self.hold(event, wall_ms)
            }
        }
    }

    /// What is due without an event: confirmation by the storage, and a removed file. Call it at least once
    /// a second. True when lines can be written.
    pub fn tick(&mut self, wall_ms: i64, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.synced_ms) < 1000 {
            return !self.gap.is_open();
        }
        self.sync(now_ms);
        match self.disk.is_in_place() {
            Ok(true) => {}
            Ok(false) => self.put_back(wall_ms, now_ms),
            Err(error) => self.gap.open(wall_ms, &error),
        }
        if let Some(errno) = self.disk.sync_failure() {
            self.write(&Event::SyncFailed { errno }, wall_ms, now_ms);
        }
        self.ready(wall_ms, now_ms)
    }

    /// Lines so far and the last chain value.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Lines that are lost or held since the storage last took one.
    pub const fn outstanding(&self) -> u64 {
        self.gap.outstanding()
    }

    /// Waits until the storage confirms every line.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn close(&mut self) -> io::Result<()> {
        self.disk.sync_and_wait()
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.body.capacity() + self.line.capacity() + self.gap.bytes()
    }

    /// Makes sure that the next line can be written: a clean end, no gap, room in the segment.
    fn ready(&mut self, wall_ms: i64, now_ms: u64) -> bool {
        if self.gap.is_open() && self.end_gap(wall_ms).is_err() {
            return false;
        }
        let age_ms = now_ms.saturating_sub(self.began_ms);
        let cause = if self.length >= self.options.segment_bytes {
            SegmentCause::Size
        } else if age_ms >= self.options.segment_age_ms && self.length > 0 {
            SegmentCause::Age
        } else {
            return true;
        };
        match self.begin_segment(cause, wall_ms, now_ms) {
            Ok(()) => true,
            Err(error) => {
                self.gap.open(wall_ms, &error);
                false
            }
        }
    }

    /// Closes the segment and begins the next.
    fn begin_segment(&mut self, cause: SegmentCause, wall_ms: i64, now_ms: u64) -> io::Result<()> {
        self.disk.rotate(self.head.lines, self.options.keep)?;
        (self.length, self.began_ms, self.dirty) = (0, now_ms, false);
        self.name_segment(cause, wall_ms)
    }

    /// Writes the first line of a segment.
    fn name_segment(&mut self, cause: SegmentCause, wall_ms: i64) -> io::Result<()> {
        let hex = chain::hex(&self.head.link);
        let previous = std::str::from_utf8(&hex).unwrap_or_default();
        let after = self.head.lines.checked_sub(1);
        self.render(&Event::Segment { cause, after, previous }, wall_ms);
        self.append().map(|_| ())
    }

    /// The file was removed from outside: the open one still holds its lines.
    fn put_back(&mut self, wall_ms: i64, now_ms: u64) {
        if let Err(error) = self.disk.put_back(self.length) {
            self.gap.open(wall_ms, &error);
            return;
        }
        self.dirty = false;
        // Closing the segment says in its successor why, and brings the numbering of files along.
        if let Err(error) = self.begin_segment(SegmentCause::Removed, wall_ms, now_ms) {
            self.gap.open(wall_ms, &error);
        }
    }

    /// The gap's own line, then what was held.
    fn end_gap(&mut self, wall_ms: i64) -> io::Result<()> {
        if self.length == 0 {
            // The segment's first line was refused.
            self.name_segment(SegmentCause::Size, wall_ms)?;
        }
        if let Some(event) = self.gap.event() {
            self.render(&event, wall_ms);
            self.append()?;
            self.gap.told();
        }
        while self.gap.copy_first(&mut self.body) {
            self.append()?;
            self.gap.drop_first();
        }
        self.gap.close();
        self.unsynced = true;
        Ok(())
    }

    fn hold(&mut self, event: &Event<'_>, wall_ms: i64) -> Written {
        if event.is_per_frame() {
            self.gap.lose_frame_line();
            return Written::Lost;
        }
        self.render(event, wall_ms);
        if self.gap.hold(&self.body) { Written::Held } else { Written::Lost }
    }

    /// Puts `"t_ms":…,"event":…` into the body.
    fn render(&mut self, event: &Event<'_>, wall_ms: i64) {
        self.body.clear();
        // Writing to memory does not fail, and an event holds nothing that JSON cannot.
        let _ = serde_json::to_writer(&mut self.body, &Timed { t_ms: wall_ms, event });
        // Without the braces, which the line has its own of.
        self.body.pop();
        if !self.body.is_empty() {
            self.body.remove(0);
        }
    }

    /// Makes a line of the body, seals it and writes it.
    fn append(&mut self) -> io::Result<u64> {
        if self.dirty {
            self.disk.cut(self.length)?;
            self.dirty = false;
        }
        let number = self.head.lines;
        self.line.clear();
        write!(self.line, "{{\"n\":{number},")?;
        self.line.extend_from_slice(&self.body);
        let link = chain::link(&self.head.link, &self.line);
        self.line.extend_from_slice(chain::FIELD);
        let hex: [u8; CHAIN_HEX] = chain::hex(&link);
        self.line.extend_from_slice(&hex);
        self.line.extend_from_slice(b"\"}\n");
        let mut written = 0;
        while written < self.line.len() {
            match self.disk.append(&self.line[written..]) {
                Ok(0) => return self.torn(written, io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.torn(written, error),
            }
        }
        self.length += self.line.len() as u64;
        self.head = Head { lines: number + 1, link };
        Ok(number)
    }

    /// A line was refused after some of its bytes: they are cut off, now or before the next line.
    fn torn(&mut self, written: usize, error: io::Error) -> io::Result<u64> {
        self.dirty = written > 0 && self.disk.cut(self.length).is_err();
        Err(error)
    }

    fn sync(&mut self, now_ms: u64) {
        self.synced_ms = now_ms;
        if std::mem::take(&mut self.unsynced) {
            self.disk.request_sync();
        }
    }
}
