//! Checks a log offline: every line seals the one before, over all segments, and the counts add up.

use super::chain::{self, Link};
use super::disk::{self, DAMAGED};
use super::{Head, LINE_BYTES_MAX};
use crate::error::{Error, ErrorKind};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Most bytes of a line that is read: beyond what is ever written.
const READ_LINE_MAX: u64 = 8 * LINE_BYTES_MAX as u64;

/// What a check of a log found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Files.
    pub segments: usize,
    /// Lines that hold.
    pub lines: u64,
    /// Number of the first line; above zero when the oldest segments were deleted.
    pub first_line: u64,
    /// Lines per event.
    pub events: BTreeMap<String, u64>,
    /// Lines that the log itself says were lost while the storage failed.
    pub lost: u64,
    /// Bytes of an unfinished last line, as a killed process leaves it; a restart cuts it off and says so.
    pub torn_bytes: u64,
    /// Last chain value, hexadecimal.
    pub head: String,
    /// The first place where the log does not hold; `None` when all of it does.
    pub fault: Option<VerificationFault>,
}

/// Where a log does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerificationFault {
    /// File name of the segment.
    pub segment: String,
    /// Line in that file, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

/// Checks the log that grows at `path` with all its closed segments.
///
/// # Errors
/// [`ErrorKind::File`] when there is no log or it cannot be read.
pub fn verify(path: &Path) -> Result<Verification, Error> {
    let refused = |error: io::Error| Error::new(ErrorKind::File, error.to_string()).at(path.display());
    let mut files: Vec<PathBuf> =
        disk::segments(path).map_err(refused)?.into_iter().map(|(_, path)| path).collect();
    if path.exists() || files.is_empty() {
        files.push(path.into());
    }
    let mut check = Check::default();
    for (index, file) in files.iter().enumerate() {
        let last = index + 1 == files.len();
        check.segment(file, last).map_err(|error| {
            Error::new(ErrorKind::File, format!("{error}; name the log that grows")).at(file.display())
        })?;
        if check.found.fault.is_some() {
            break;
        }
    }
    let head = chain::hex(&check.head.map_or(Link::default(), |head| head.link));
    check.found.head = String::from_utf8_lossy(&head).into_owned();
    Ok(check.found)
}

#[derive(Default)]
struct Check {
    found: Verification,
    /// The last line that holds; `None` before the first.
    head: Option<Head>,
    /// Greatest frame number so far of frames that reached the engine, and of those rejected on arrival.
    frames: [Option<u64>; 2],
}

impl Check {
    fn segment(&mut self, path: &Path, last: bool) -> io::Result<()> {
        self.found.segments += 1;
        let segment = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fault = |line, problem: String| {
            let segment = segment.clone();
            Some(VerificationFault { segment, line, problem })
        };
        let mut lines = Lines::open(path)?;
        let mut count = 0;
        while let Some(line) = lines.next()? {
            count += 1;
            let Line::Whole(text) = line else {
                if last {
                    self.found.torn_bytes = lines.torn;
                } else {
                    self.found.fault = fault(count, "the line is unfinished".into());
                }
                return Ok(());
            };
            if let Err(problem) = self.line(text, count == 1) {
                self.found.fault = fault(count, problem);
                return Ok(());
            }
        }
        if segment.ends_with(DAMAGED) {
            let problem = "the segment was set aside as damaged, and holds now".into();
            self.found.fault = fault(count, problem);
        }
        Ok(())
    }

    fn line(&mut self, text: &[u8], first: bool) -> Result<(), String> {
        let (body, link) = chain::split(text).ok_or("it does not end in a chain value")?;
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON ({error})"))?;
        let number = value["n"].as_u64().ok_or("it has no number")?;
        let event = value["event"].as_str().ok_or("it has no event")?;
        let previous = match (self.head, event) {
            (None, "segment") => {
                self.found.first_line = number;
                let previous = value["previous"].as_str().unwrap_or_default();
                chain::unhex(previous.as_bytes()).ok_or("it names no chain value that it follows")?
            }
            (None, _) => return Err("a segment begins with another event than `segment`".into()),
            (Some(head), _) => {
                if number != head.lines {
                    return Err(format!("its number is {number} where {} is next", head.lines));
                }
                head.link
            }
        };
        if first && event != "segment" {
            return Err("a segment begins with another event than `segment`".into());
        }
        if chain::link(&previous, body) != link {
            return Err("its chain value does not follow from the line before".into());
        }
        self.meaning(event, &value)?;
        self.head = Some(Head { lines: number + 1, link });
        self.found.lines += 1;
        match self.found.events.get_mut(event) {
            Some(count) => *count += 1,
            None => drop(self.found.events.insert(event.into(), 1)),
        }
        Ok(())
    }

    /// Checks what a line says against the lines before.
    fn meaning(&mut self, event: &str, value: &Value) -> Result<(), String> {
        let count = |key: &str| value[key].as_u64().unwrap_or(0);
        match event {
            "ledger" | "stopped" => {
                let open = [&value["waiting"], &value["running"]];
                let open = open.iter().filter(|flag| flag.as_bool() == Some(true)).count() as u64;
                let settled = ["processed", "superseded", "rejected", "late"].map(count);
                let total = settled.iter().fold(open, |sum, own| sum.saturating_add(*own));
                if total != count("arrived") {
                    return Err(format!("{} frames arrived but {total} are told of", count("arrived")));
                }
            }
            "gap" => self.found.lost += count("lost") + count("events_lost"),
            "frame" | "rejected" => {
                let newest = &mut self.frames[usize::from(event == "rejected")];
                let own = value["seq"].as_u64().ok_or("it names no frame")?;
                if newest.is_some_and(|newest| own <= newest) {
                    return Err(format!("frame {own} comes a second time or too late"));
                }
                *newest = Some(own);
            }
            _ => {}
        }
        Ok(())
    }
}

/// One line of a segment.
pub(super) enum Line<'a> {
    /// Without its newline.
    Whole(&'a [u8]),
    /// The file ends before a newline, or goes on too long without one.
    Torn,
}

/// The lines of a segment, one at a time in bounded memory.
pub(super) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Bytes of the lines so far.
    pub length: u64,
    /// Bytes after them when the last is torn.
    pub torn: u64,
}

impl Lines {
    pub fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        Ok(Self { reader, line: Vec::new(), length: 0, torn: 0 })
    }

    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        (&mut self.reader).take(READ_LINE_MAX).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.length += self.line.len() as u64;
            return Ok(Some(Line::Whole(&self.line[..self.line.len() - 1])));
        }
        self.torn = self.line.len() as u64;
        let rest = io::copy(&mut self.reader, &mut io::sink())?;
        self.torn += rest;
        Ok(Some(Line::Torn))
    }
}
