//! The log under every failure of the storage, every torn end, and every flipped bit.

use super::disk::{Disk, Folder};
use super::{Head, Record, RecordOptions, Verification, Written, verify};
use crate::stream::event::{Event, SegmentCause, SourceFault, StopCause};
use crate::stream::ledger::Ledger;
use std::io;
use std::path::Path;

/// Fails as a full disk does in a span of its calls, after writing half of what it was given.
#[derive(Debug)]
struct Failing {
    disk: Folder,
    calls: usize,
    failing: std::ops::Range<usize>,
}

impl Failing {
    fn fails(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.failing.contains(&(self.calls - 1)) { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }
}

impl Disk for Failing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A short write comes before the refusal, as on a disk that fills up.
        if self.failing.contains(&self.calls) && bytes.len() > 60 {
            return self.disk.append(&bytes[..bytes.len() / 2]);
        }
        self.fails()?;
        self.disk.append(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.fails()?;
        self.disk.cut(length)
    }

    fn rotate(&mut self, lines: u64, keep: usize) -> io::Result<()> {
        self.fails()?;
        self.disk.rotate(lines, keep)
    }

    fn is_in_place(&mut self) -> io::Result<bool> {
        self.fails()?;
        self.disk.is_in_place()
    }

    fn put_back(&mut self, length: u64) -> io::Result<()> {
        self.fails()?;
        self.disk.put_back(length)
    }

    fn request_sync(&mut self) {
        self.disk.request_sync();
    }

    fn sync_failure(&mut self) -> Option<i32> {
        self.disk.sync_failure()
    }

    fn sync_and_wait(&mut self) -> io::Result<()> {
        self.disk.sync_and_wait()
    }
}

const SMALL: RecordOptions = RecordOptions { segment_bytes: 1500, segment_age_ms: u64::MAX, keep: 0 };

fn rejected(seq: u64) -> Event<'static> {
    Event::Rejected { seq, fault: SourceFault::ShortFrame { bytes: 3, expected: 9 } }
}

fn important(step_ms: i64) -> Event<'static> {
    Event::ClockSet { step_ms }
}

fn sound(path: &Path) -> Verification {
    let found = verify(path).expect("the log can be read");
    assert_eq!(found.fault, None);
    found
}

fn count(found: &Verification, event: &str) -> u64 {
    found.events.get(event).copied().unwrap_or(0)
}

#[test]
fn at_whatever_call_the_storage_fails_no_other_event_is_lost_and_the_gap_is_told() {
    for first in 0..60 {
        for span in [1, 2, 7] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("log.jsonl");
            let disk = Folder::open(&path).expect("the folder can be written");
            let disk = Failing { disk, calls: 0, failing: first..first + span };
            let mut record = Record::resumed(disk, SMALL, Head::default(), 0, 0);
            record.name_segment(SegmentCause::New, 0).unwrap_or_else(|error| record.gap.open(0, &error));
            let (mut written, mut lost) = (0, 0);
            for at in 0..40 {
                let seq = at as u64;
                match record.write(&rejected(seq), at, seq) {
                    Written::Line { .. } => written += 1,
                    Written::Lost => lost += 1,
                    Written::Held => panic!("lines about frames are not held"),
                }
                if at % 4 == 0 {
                    record.write(&important(at), at, seq);
                }
                if at % 8 == 0 {
                    record.tick(at, 2000 * (1 + seq));
                }
            }
            record.disk.failing = 0..0;
            assert!(record.tick(40, 1 << 20), "calls {first}+{span}: the storage works again");
            assert_eq!(record.outstanding(), 0, "calls {first}+{span}");
            drop(record);
            let found = sound(&path);
            assert_eq!(count(&found, "clock_set"), 10, "calls {first}+{span}");
            assert_eq!(count(&found, "rejected"), written, "calls {first}+{span}");
            assert_eq!(found.lost, lost, "calls {first}+{span}");
            assert!(lost == 0 || count(&found, "gap") > 0);
        }
    }
}

#[test]
fn wherever_a_log_is_torn_it_is_mended_and_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.jsonl");
    let options = RecordOptions::default();
    let open = |known| Record::open(&path, options, known, 0, 0).expect("the folder can be written");
    let (mut record, _) = open(None);
    for seq in 0..3 {
        record.write(&rejected(seq), 5, 5);
    }
    drop(record);
    let whole = std::fs::read(&path).expect("the log is there");
    for end in 0..whole.len() {
        let mut torn = whole[..end].to_vec();
        // What a power failure can leave behind a file's end.
        torn.extend_from_slice(&[0; 5][..end % 6]);
        std::fs::write(&path, &torn).expect("the folder can be written");
        let (mut record, found) = open(None);
        let last_line = torn.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        assert_eq!(found.cut_bytes, (torn.len() - last_line) as u64, "cut at {end}");
        let lines = torn[..last_line].iter().filter(|&&byte| byte == b'\n').count() as u64;
        assert_eq!(found.frames, lines.saturating_sub(1));
        record.write(&Event::Stopped { cause: StopCause::Signal, ledger: Ledger::default() }, 6, 6);
        drop(record);
        let found = sound(&path);
        assert_eq!(count(&found, "rejected"), lines.saturating_sub(1));
        assert_eq!(count(&found, "repaired"), u64::from(torn.len() > last_line));
        assert_eq!(found.torn_bytes, 0);
    }
}

#[test]
fn every_flipped_bit_of_a_finished_line_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.jsonl");
    let (mut record, _) = Record::open(&path, SMALL, None, 0, 0).expect("the folder can be written");
    for seq in 0..30 {
        record.write(&rejected(seq), 5, 5);
    }
    drop(record);
    let found = sound(&path);
    assert!(found.segments > 2, "{} segments", found.segments);
    let mut segments: Vec<_> = std::fs::read_dir(folder.path())
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    segments.sort();
    for segment in &segments {
        let whole = std::fs::read(segment).expect("it is there");
        for at in (0..whole.len()).step_by(3) {
            let mut hit = whole.clone();
            hit[at] ^= 1 << (at % 8);
            std::fs::write(segment, &hit).expect("the folder can be written");
            let found = verify(&path).expect("the log can be read");
            assert!(found.fault.is_some() || found.torn_bytes > 0, "{} byte {at}", segment.display());
        }
        std::fs::write(segment, &whole).expect("the folder can be written");
    }
    // Of the sorted names the growing one is first, so this is not the oldest segment.
    std::fs::remove_file(&segments[2]).expect("it can be removed");
    assert!(verify(&path).expect("the log can be read").fault.is_some());
}

#[test]
fn a_removed_log_is_written_again_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("logs");
    std::fs::create_dir(&place).expect("the folder can be written");
    let path = place.join("log.jsonl");
    let (mut record, _) =
        Record::open(&path, RecordOptions::default(), None, 0, 0).expect("the folder can be written");
    for seq in 0..5 {
        record.write(&rejected(seq), 0, 0);
    }
    std::fs::remove_dir_all(&place).expect("it can be removed");
    record.write(&rejected(5), 0, 0);
    assert!(record.tick(0, 1500));
    record.write(&rejected(6), 0, 1500);
    drop(record);
    let found = sound(&path);
    assert_eq!((count(&found, "rejected"), found.segments), (7, 2));
    let text = std::fs::read_to_string(&path).expect("it is there again");
    assert!(text.starts_with(r#"{"n":7,"t_ms":0,"event":"segment","cause":"removed","after":6,"#), "{text}");
}

#[test]
fn a_damaged_segment_is_set_aside_and_a_missing_log_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.jsonl");
    let options = RecordOptions::default();
    let (mut record, _) = Record::open(&path, options, None, 0, 0).expect("the folder can be written");
    for seq in 0..5 {
        record.write(&rejected(seq), 0, 0);
    }
    let head = record.head();
    drop(record);
    let text = std::fs::read_to_string(&path).expect("it is there").replacen("\"seq\":1", "\"seq\":7", 1);
    std::fs::write(&path, &text).expect("the folder can be written");
    let (record, _) = Record::open(&path, options, None, 0, 0).expect("the folder can be written");
    assert_eq!(record.head().lines, 7, "six old lines and the new segment's first");
    drop(record);
    let fault = verify(&path).expect("the log can be read").fault.expect("the damage stays visible");
    assert_eq!((fault.segment.as_str(), fault.line), ("log.jsonl.000000000006.damaged", 3));
    for entry in std::fs::read_dir(folder.path()).expect("the folder can be read") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("it can be removed");
    }
    let (record, _) = Record::open(&path, options, Some(head), 0, 0).expect("the folder can be written");
    assert_eq!(record.head().lines, 7);
    drop(record);
    let found = sound(&path);
    assert_eq!((found.first_line, found.lines), (6, 1));
    assert!(std::fs::read_to_string(&path).expect("it is there").contains(r#""cause":"missing""#));
}

#[test]
fn old_segments_are_deleted_beyond_those_to_keep() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.jsonl");
    let options = RecordOptions { keep: 2, ..SMALL };
    let (mut record, _) = Record::open(&path, options, None, 0, 0).expect("the folder can be written");
    for seq in 0..200 {
        record.write(&rejected(seq), 0, 0);
    }
    let head = record.head();
    drop(record);
    let found = sound(&path);
    assert_eq!(found.segments, 3);
    assert_eq!(found.first_line + found.lines, head.lines);
    assert!(found.first_line > 100);
}

#[test]
fn a_log_has_one_writer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.jsonl");
    let open = || Record::open(&path, SMALL, None, 0, 0);
    let (mut record, _) = open().expect("the folder can be written");
    assert!(open().is_err_and(|error| error.to_string().contains("another process writes this log")));
    for seq in 0..30 {
        record.write(&rejected(seq), 0, 0);
    }
    assert!(open().is_err(), "the segment that grows now is locked too");
    let head = record.head();
    drop(record);
    let (record, _) = open().expect("nobody writes it any more");
    assert_eq!(record.head(), head);
    assert_eq!(sound(&path).lines, head.lines);
}
