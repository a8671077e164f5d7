//! Where this binary's events go: the log, and standard output as JSON.

use crate::exit::Failure;
use candor::record::disk::Folder;
use candor::record::{Head, Record, Written};
use candor::stream::Sink;
use candor::stream::event::Event;
use serde::Serialize;
use std::io::Write;

/// Most bytes of a line.
const LINE_BYTES: usize = 8192;

/// The log and standard output.
pub struct Recorder {
    record: Option<Record<Folder>>,
    /// One line at a time; `None` without `--json`, or once nobody reads it.
    line: Option<Vec<u8>>,
    raised: bool,
}

#[derive(Serialize)]
struct Printed<'a, 'e> {
    /// Number of the line in the log; `null` without a log, or when it could not be written.
    n: Option<u64>,
    t_ms: i64,
    #[serde(flatten)]
    event: &'a Event<'e>,
}

impl Recorder {
    /// To `record`, and to standard output when `json`.
    pub fn new(record: Option<Record<Folder>>, json: bool) -> Self {
        Self { record, line: json.then(|| Vec::with_capacity(LINE_BYTES)), raised: false }
    }

    /// Whether an alert was raised that is more than a notice.
    pub const fn raised(&self) -> bool {
        self.raised
    }

    /// Waits until the log is on the storage; where it ends.
    ///
    /// # Errors
    /// Exit code 3 when the storage does not confirm it.
    pub fn close(&mut self) -> Result<Option<Head>, Failure> {
        let Some(record) = self.record.as_mut() else { return Ok(None) };
        record
            .close()
            .map_err(|error| Failure::invalid(format!("the log is not on the storage: {error}")))?;
        if record.outstanding() > 0 {
            let count = record.outstanding();
            return Err(Failure::invalid(format!(
                "{count} lines of the log are lost: the storage refused them"
            )));
        }
        Ok(Some(record.head()))
    }
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event<'_>, wall_ms: i64, now_ms: u64) {
        let n = match self.record.as_mut().map(|record| record.write(event, wall_ms, now_ms)) {
            Some(Written::Line { number }) => Some(number),
            _ => None,
        };
        if let Event::Alert { change: "raised", severity, .. } = event {
            self.raised |= *severity != "notice";
        }
        if let Event::DeviceLost { reason, .. } = event {
            eprintln!("candor: {reason}; the CPU goes on");
        }
        let Some(line) = self.line.as_mut() else { return };
        line.clear();
        // Writing to memory does not fail, and an event holds nothing that JSON cannot.
        let _ = serde_json::to_writer(&mut *line, &Printed { n, t_ms: wall_ms, event });
        line.push(b'\n');
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(line).and_then(|()| stdout.flush()).is_err() {
            // Whoever read it is gone; the stream and its log go on.
            self.line = None;
        }
    }

    fn tick(&mut self, wall_ms: i64, now_ms: u64) {
        if let Some(record) = self.record.as_mut() {
            record.tick(wall_ms, now_ms);
        }
    }

    fn outstanding(&self) -> u64 {
        self.record.as_ref().map_or(0, Record::outstanding)
    }

    fn head(&self) -> Head {
        self.record.as_ref().map(Record::head).unwrap_or_default()
    }
}
