//! Raw frames: specification text, byte order, and streams that stop midway.

use super::*;

fn spec(text: &str) -> RawSpec {
    text.parse().unwrap()
}

#[test]
fn specifications_round_trip_and_bad_ones_are_refused() {
    for text in ["640x480:gray8", "3x2:gray16le", "1x1:rgb24"] {
        assert_eq!(spec(text).to_string(), text);
    }
    for text in ["", "640x480", "640:gray8", "ax2:gray8", "3x2:yuv", "-3x2:gray8", "3x2:gray8 "] {
        let error = text.parse::<RawSpec>().unwrap_err();
        assert!(error.fix().contains("WxH:FORMAT"), "{error}");
    }
    assert_eq!("0x2:gray8".parse::<RawSpec>().unwrap_err().kind(), ReadErrorKind::Empty);
    assert_eq!("20000x2:gray8".parse::<RawSpec>().unwrap_err().kind(), ReadErrorKind::TooLarge);
    assert_eq!("16384x16384:rgb24".parse::<RawSpec>().unwrap_err().kind(), ReadErrorKind::TooLarge);
}

#[test]
fn samples_keep_their_byte_order_and_place() {
    let frame = spec("1x2:gray16le").decode(vec![0x34, 0x12, 0xff, 0xff], "raw").unwrap();
    assert_eq!((frame.width(), frame.height()), (1, 2));
    assert_eq!(frame.samples(), &Samples::U16(vec![0x1234, 0xffff]));
    let frame = spec("2x1:rgb24").decode(vec![1, 2, 3, 4, 5, 6], "raw").unwrap();
    assert_eq!((frame.channels(), frame.samples()), (3, &Samples::U8(vec![1, 2, 3, 4, 5, 6])));
}

#[test]
fn a_wrong_length_says_both_lengths() {
    let error = spec("2x2:gray8").decode(vec![0; 5], "raw").unwrap_err();
    assert_eq!(error.kind(), ReadErrorKind::Length);
    assert!(error.problem().contains('5') && error.problem().contains('4'), "{error}");
}

/// Delivers one byte at a time and is interrupted before each.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some((&first, rest)) = self.0.split_first() else { return Ok(0) };
        buffer[0] = first;
        self.0 = rest;
        Ok(1)
    }
}

#[test]
fn a_stream_gives_whole_frames_and_ends_between_them() {
    let frames: Vec<_> = RawFrames::new(Trickle(&[1, 2, 3, 4], false), spec("2x1:gray8"), "pipe").collect();
    assert_eq!(frames.len(), 2);
    let second = frames[1].as_ref().unwrap();
    assert_eq!((second.samples(), second.source().name.as_str()), (&Samples::U8(vec![3, 4]), "pipe#1"));
}

#[test]
fn a_stream_that_stops_midway_is_an_error_once() {
    let mut frames = RawFrames::new(&[1u8, 2, 3][..], spec("2x1:gray8"), "pipe");
    assert!(frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.name()), (ReadErrorKind::Length, "pipe#1"));
    assert!(frames.next().is_none());
}
