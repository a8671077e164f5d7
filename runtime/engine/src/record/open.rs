//! Opens a log where the last run left it: cuts a torn line, sets a damaged segment aside, goes on counting.

use super::chain::{self, Link};
use super::disk::{self, DAMAGED, Disk, Folder};
use super::gap::Gap;
use super::verify::{Line, Lines};
use super::{Head, LINE_BYTES_MAX, Record, RecordOptions};
use crate::error::{Error, ErrorKind};
use crate::stream::event::{Event, SegmentCause};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// What a segment holds.
#[derive(Debug, Default)]
struct Survey {
    /// After the last line that holds.
    head: Head,
    /// Bytes of the lines that hold.
    length: u64,
    /// Bytes of an unfinished line behind them.
    torn: u64,
    /// Whether a finished line does not hold.
    damaged: bool,
    /// Greatest line number that is told, plus one, in lines that hold or not.
    lines_told: u64,
    /// Greatest frame number in it, plus one.
    frames: u64,
}

/// What opening a log found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// One more than the greatest frame number in the newest segment: numbers below are taken.
    pub frames: u64,
    /// Bytes of a torn line that were cut off.
    pub cut_bytes: u64,
}

impl Record<Folder> {
    /// Opens the log that grows at `path`, or begins it. `known` is how far a checkpoint says that it had
    /// come; `wall_ms` calendar time, `now_ms` monotonic.
    ///
    /// The newest segment is read through and checked; that takes well below a second for its size.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when the folder cannot be written.
    pub fn open(
        path: &Path,
        options: RecordOptions,
        known: Option<Head>,
        wall_ms: i64,
        now_ms: u64,
    ) -> Result<(Self, Found), Error> {
        Self::open_path(path, options, known, wall_ms, now_ms).map_err(|error| {
            let fix = "name a log in a folder that can be written";
            Error::new(ErrorKind::File, format!("{error}; {fix}")).at(path.display())
        })
    }

    fn open_path(
        path: &Path,
        options: RecordOptions,
        known: Option<Head>,
        wall_ms: i64,
        now_ms: u64,
    ) -> io::Result<(Self, Found)> {
        let closed = disk::segments(path)?;
        let before = match closed.last() {
            Some((_, newest)) => survey(newest)?,
            None => Survey::default(),
        };
        let mut own = if path.exists() { survey(path)? } else { Survey::default() };
        let mut cause = None;
        if own.damaged {
            std::fs::rename(path, set_aside(path, own.lines_told))?;
            cause = Some(SegmentCause::Damaged);
            own.head.lines = own.lines_told;
            (own.length, own.torn) = (0, 0);
        } else if own.length == 0 {
            // Nothing whole in it: a new log, or a run that ended between closing a segment and this one's
            // first line.
            own.head = before.head;
            cause = Some(if closed.is_empty() { SegmentCause::New } else { SegmentCause::Size });
        }
        if let Some(known) = known.filter(|known| known.lines > own.head.lines) {
            if own.length > 0 {
                std::fs::rename(path, disk::segment_path(path, own.head.lines))?;
                (own.length, own.torn) = (0, 0);
            }
            own.head = known;
            cause = Some(SegmentCause::Missing);
        }
        let mut disk = Folder::open(path)?;
        if own.torn > 0 {
            disk.cut(own.length)?;
        }
        let mut record = Self::resumed(disk, options, own.head, own.length, now_ms);
        if let Some(cause) = cause
            && let Err(error) = record.name_segment(cause, wall_ms)
        {
            record.gap.open(wall_ms, &error);
        }
        if own.torn > 0 {
            record.write(&Event::Repaired { cut_bytes: own.torn }, wall_ms, now_ms);
        }
        let frames = own.frames.max(before.frames);
        Ok((record, Found { frames, cut_bytes: own.torn }))
    }
}

impl<D: Disk> Record<D> {
    /// Goes on after `head`, in a segment of `length` bytes.
    pub fn resumed(disk: D, options: RecordOptions, head: Head, length: u64, now_ms: u64) -> Self {
        let options = RecordOptions { segment_bytes: options.segment_bytes.max(1), ..options };
        Self {
            disk,
            options,
            head,
            length,
            dirty: false,
            began_ms: now_ms,
            synced_ms: now_ms,
            unsynced: false,
            body: Vec::with_capacity(LINE_BYTES_MAX),
            line: Vec::with_capacity(LINE_BYTES_MAX),
            gap: Gap::new(),
        }
    }
}

/// A name for a damaged segment that no other has.
fn set_aside(path: &Path, lines: u64) -> PathBuf {
    let mut name = disk::segment_path(path, lines).into_os_string();
    name.push(DAMAGED);
    name.into()
}

/// Reads a segment through.
fn survey(path: &Path) -> io::Result<Survey> {
    let mut lines = Lines::open(path)?;
    let mut found = Survey::default();
    let mut link: Option<Link> = None;
    while let Some(line) = lines.next()? {
        let Line::Whole(text) = line else {
            found.torn = lines.torn;
            break;
        };
        let value: Value = serde_json::from_slice(text).unwrap_or_default();
        if let Some(number) = value["n"].as_u64() {
            found.lines_told = found.lines_told.max(number.saturating_add(1));
        }
        let told = matches!(value["event"].as_str(), Some("frame" | "rejected"));
        if let Some(frame) = value["seq"].as_u64().filter(|_| told) {
            found.frames = found.frames.max(frame.saturating_add(1));
        }
        let arrived = value["arrived"].as_u64().unwrap_or(0);
        found.frames = found.frames.max(arrived);
        let named = value["previous"].as_str().and_then(|digits| chain::unhex(digits.as_bytes()));
        let holds = match (chain::split(text), link.or(named)) {
            (Some((body, own)), Some(previous)) if chain::link(&previous, body) == own => Some(own),
            _ => None,
        };
        let Some(own) = holds.filter(|_| !found.damaged) else {
            found.damaged = true;
            continue;
        };
        link = Some(own);
        found.head = Head { lines: value["n"].as_u64().map_or(0, |number| number + 1), link: own };
        found.length = lines.length;
    }
    Ok(found)
}
