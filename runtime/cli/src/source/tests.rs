//! Sources under short reads, interruptions, garbled bytes and cut frames.

use super::phantom::{Script, Scripted, Trouble};
use super::raw::{Format, Raw, Sample};
use super::specification::{Specification, parse};
use super::video::{Header, Video};
use super::{Arrival, Source};
use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;
use candor_imaging::phantom::fault::Fault;
use std::io::{self, Read};
use std::time::Duration;

/// Gives its bytes in pieces of changing size, interrupted now and then.
struct Trickle {
    bytes: Vec<u8>,
    at: usize,
    calls: usize,
}

impl Read for Trickle {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let piece = (1 + self.calls * 7 % 13).min(target.len()).min(self.bytes.len() - self.at);
        target[..piece].copy_from_slice(&self.bytes[self.at..self.at + piece]);
        self.at += piece;
        Ok(piece)
    }
}

fn trickle(bytes: &[u8]) -> Box<dyn Read + Send> {
    Box::new(Trickle { bytes: bytes.to_vec(), at: 0, calls: 0 })
}

/// Every arrival up to the end, with the first sample of frames.
fn arrivals(source: &mut dyn Source) -> Vec<(Arrival, Option<u16>)> {
    let mut slot = Slot::default();
    let mut found = Vec::new();
    loop {
        let arrival = source.next(&mut slot);
        if arrival == Arrival::End {
            return found;
        }
        let view = slot.view();
        let frame = arrival == Arrival::Frame;
        if frame {
            view.check().expect("a frame is whole");
        }
        let first = if slot.full_scale > 255 {
            slot.wide.first().copied()
        } else {
            slot.narrow.first().map(|&value| u16::from(value))
        };
        found.push((arrival, first.filter(|_| frame)));
        assert!(found.len() < 1000, "the source does not end");
    }
}

const FRAME: Arrival = Arrival::Frame;

fn raw(sample: Sample, bytes: &[u8]) -> Vec<(Arrival, Option<u16>)> {
    arrivals(&mut Raw::new(trickle(bytes), Format { width: 3, height: 2, sample, rate: None }))
}

#[test]
fn raw_frames_are_joined_from_pieces_and_a_cut_one_is_rejected() {
    let bytes: Vec<u8> = (0..15).collect();
    let short = Arrival::Rejected(SourceFault::ShortFrame { bytes: 3, expected: 6 });
    assert_eq!(raw(Sample::Gray8, &bytes), [(FRAME, Some(0)), (FRAME, Some(6)), (short, None)]);
    assert_eq!(raw(Sample::Gray16, &bytes[..12]), [(FRAME, Some(256))]);
    assert_eq!(raw(Sample::Rgb8, &[9; 36]), [(FRAME, Some(9)), (FRAME, Some(9))]);
    assert_eq!(raw(Sample::Gray8, &[]), []);
}

#[test]
fn a_sample_that_is_no_number_rejects_its_frame_alone() {
    let frame = |values: [f32; 6]| values.map(f32::to_le_bytes).concat();
    let bytes = [
        frame([0.5; 6]),
        frame([0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0]),
        frame([f32::INFINITY; 6]),
        frame([7.0; 6]),
    ];
    let bad = |index| (Arrival::Rejected(SourceFault::NonFinite { index }), None);
    let found = raw(Sample::Gray32f, &bytes.concat());
    assert_eq!(found, [(FRAME, Some(32768)), bad(2), bad(0), (FRAME, Some(65535))]);
}

/// A video of frames of 4×2 pixels, each filled with one value.
fn video(frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W4 H2 F30:1 Ip A1:1 C420jpeg XSOMETHING\n".to_vec();
    frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
    bytes
}

/// Mark, luma and chroma of one frame.
fn picture(value: u8) -> Vec<u8> {
    [b"FRAME\n".to_vec(), vec![value; 8], vec![128; 4]].concat()
}

#[test]
fn video_is_found_again_at_the_next_frame() {
    let of = |bytes: &[u8]| arrivals(&mut Video::new(trickle(bytes)));
    let frame = |value| (FRAME, Some(value));
    let garbled = |skipped| (Arrival::Rejected(SourceFault::Garbled { skipped }), None);
    let short = |bytes| (Arrival::Rejected(SourceFault::ShortFrame { bytes, expected: 12 }), None);
    let (one, two, three) = (picture(1), picture(2), picture(3));
    assert_eq!(of(&video(&[&one, &two])), [frame(1), frame(2)]);
    let with_words = [&b"FRAME Ixyz\n"[..], &one[6..]].concat();
    assert_eq!(of(&video(&[&with_words, &two])), [frame(1), frame(2)]);
    assert_eq!(of(&video(&[&one, b"rubbish", &two])), [frame(1), garbled(7), frame(2)]);
    assert_eq!(of(&video(&[&one, &two[..10], &three])), [frame(1), short(4), frame(3)]);
    assert_eq!(of(&video(&[&one, &two[..10]])), [frame(1), short(4)]);
    assert_eq!(of(&video(&[&one, b"FRAMES\n", &two])), [frame(1), garbled(5), garbled(2), frame(2)]);
    assert_eq!(of(&video(&[&one, &two[3..], &three])), [frame(1), garbled(15), frame(3)]);
    let trouble = (Arrival::Trouble(SourceFault::Garbled { skipped: 4 }), None);
    assert_eq!(of(&[b"????".to_vec(), video(&[&one])].concat()), [trouble, frame(1)]);
    assert_eq!(of(b"no video at all"), [garbled(15)]);
    assert_eq!(of(b""), []);
}

#[test]
fn video_under_every_single_cut_and_flip_ends_and_finds_the_last_frame() {
    let frames: Vec<Vec<u8>> = (1..=5).map(picture).collect();
    let whole = video(&frames.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let header = whole.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
    let last = whole.len() - frames[4].len();
    for at in header..last {
        let mut cut = whole.clone();
        cut.remove(at);
        let mut hit = whole.clone();
        hit[at] ^= 0x20;
        for bytes in [cut, hit] {
            let found = arrivals(&mut Video::new(trickle(&bytes)));
            let good = found.iter().filter(|(arrival, _)| *arrival == FRAME).count();
            assert!(good >= 4, "byte {at}: {found:?}");
            assert_eq!(found.last(), Some(&(FRAME, Some(5))), "byte {at}");
        }
    }
}

#[test]
fn headers_of_video_say_extent_depth_and_chroma() {
    let of = |text: &str| Header::parse(text).map(|header| (header.bits, header.bytes()));
    assert_eq!(of("W4 H2"), Some((8, 12)));
    assert_eq!(of("W5 H3 Cmono"), Some((8, 15)));
    assert_eq!(of("W5 H3 C420paldv"), Some((8, 15 + 12)));
    assert_eq!(of("W5 H3 C422"), Some((8, 15 + 18)));
    assert_eq!(of("W5 H3 C444p10"), Some((10, 90)));
    assert_eq!(of("W5 H3 Cmono12"), Some((12, 30)));
    for bad in ["W5", "W0 H3", "W5 H99999", "W5 Hx", "W5 H3 C410", "W5 H3 Cmono99", "W5 H3 C420p7"] {
        assert_eq!(of(bad).filter(|_| bad != "W5 H3 C420p7"), None, "{bad}");
    }
}

#[test]
fn specifications_are_read_and_others_refused() {
    let raw = parse("raw:-", Some("640x480:gray16le@29.97")).expect("it is sound");
    let format = Format { width: 640, height: 480, sample: Sample::Gray16, rate: Some(29.97) };
    assert_eq!(raw, Specification::Raw { format });
    let script = "phantom:seed=9,pool=4,size=64x48,gain=1.5@10..20,nan@7,stall=0.5@3";
    let troubles = vec![
        (10..20, Trouble::Picture(Fault::Gain { gain: 1.5, offset: 0.0 })),
        (7..8, Trouble::NotANumber),
        (3..4, Trouble::Stall(Duration::from_millis(500))),
    ];
    let expected = Script { seed: 9, extent: Some([64, 48]), pool: 4, troubles };
    assert_eq!(parse(script, None).expect("it is sound"), Specification::Phantom { script: expected });
    for (source, frame) in [
        ("camera", None),
        ("dir:", None),
        ("raw:-", None),
        ("raw:file", Some("4x4:gray8")),
        ("raw:-", Some("4x4")),
        ("raw:-", Some("4x0:gray8")),
        ("raw:-", Some("4x4:gray9")),
        ("raw:-", Some("4x4:gray8@0")),
        ("y4m:-", Some("4x4:gray8")),
        ("phantom:gain@3", None),
        ("phantom:gain=x@3", None),
        ("phantom:pool=0", None),
        ("phantom:nan", None),
        ("phantom:nan@3..", None),
        ("phantom:stall=1e99@3", None),
    ] {
        assert!(parse(source, frame).is_err(), "{source} {frame:?}");
    }
}

#[test]
fn the_phantom_does_what_its_script_says() {
    let text = "phantom:size=32x32,pool=2,short@1,garbled@2,nan@3,stall=0.001@4,blank@5,anatomy=60@6";
    let Ok(Specification::Phantom { script }) = parse(text, None) else { panic!("it is sound") };
    let mut source = Scripted::new(&script, [9, 9]).expect("it can be drawn");
    let mut slot = Slot::default();
    let mut next =
        || (source.next(&mut slot), slot.narrow.iter().map(|&value| u64::from(value)).sum::<u64>());
    let (first, clean) = next();
    assert!(first == FRAME && clean > 0);
    assert_eq!(next().0, Arrival::Rejected(SourceFault::ShortFrame { bytes: 512, expected: 1024 }));
    assert_eq!(next().0, Arrival::Rejected(SourceFault::Garbled { skipped: 1024 }));
    assert_eq!(next().0, Arrival::Rejected(SourceFault::NonFinite { index: 512 }));
    assert_eq!(next().0, Arrival::Pause(Duration::from_millis(1)));
    assert_eq!(next(), (FRAME, clean), "the pool comes in turn");
    assert_eq!(next(), (FRAME, 0));
    let (arrival, other) = next();
    assert!(arrival == FRAME && other != clean);
}
