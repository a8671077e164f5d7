//! What a frame promises, checked at its edges.

use super::*;

fn rgb(values: Vec<u8>) -> Frame {
    Frame::new(values.len() / 3, 1, 3, Samples::U8(values), Source::new("test", 8)).unwrap()
}

#[test]
fn luma_is_exact_on_gray_and_weighs_green_most() {
    let ramp: Vec<u8> = (0..=255).flat_map(|value| [value; 3]).collect();
    let gray = rgb(ramp).to_gray().unwrap();
    assert_eq!(gray.samples(), &Samples::U8((0..=255).collect()));
    let primaries = rgb(vec![255, 0, 0, 0, 255, 0, 0, 0, 255]).to_gray().unwrap();
    assert_eq!(primaries.samples(), &Samples::U8(vec![77, 149, 29]));
}

#[test]
fn luma_of_16_bits_is_exact_on_gray_and_stays_within_full_scale() {
    let values: Vec<u16> = [0, 1, 4094, 4095].into_iter().flat_map(|value| [value; 3]).collect();
    let frame = Frame::new(2, 2, 3, Samples::U16(values), Source::new("test", 12)).unwrap();
    assert_eq!(frame.max_value(), Some(4095));
    assert_eq!(frame.to_gray().unwrap().samples(), &Samples::U16(vec![0, 1, 4094, 4095]));
}

#[test]
fn a_float_tensor_with_channels_has_no_luma() {
    let frame = Frame::new(1, 1, 3, Samples::F32(vec![0.0, 1.0, 2.0]), Source::new("test", 32)).unwrap();
    assert!(frame.to_gray().is_none());
    assert_eq!(frame.max_value(), None);
}

#[test]
fn every_broken_invariant_is_named() {
    let make = |width, height, channels, samples, bits| {
        Frame::new(width, height, channels, samples, Source::new("test", bits)).unwrap_err()
    };
    let u8s = |count| Samples::U8(vec![0; count]);
    assert_eq!(make(0, 4, 1, u8s(0), 8), FrameError::Empty { width: 0, height: 4, channels: 1 });
    assert_eq!(make(2, 2, 1, u8s(3), 8), FrameError::Length { expected: 4, found: 3 });
    assert_eq!(make(1, 1, 2, u8s(2), 8), FrameError::Channels(2));
    assert_eq!(make(1, 1, 1, u8s(1), 9), FrameError::BitDepth(9));
    assert_eq!(make(1, 1, 1, u8s(1), 0), FrameError::BitDepth(0));
    assert_eq!(make(1, 1, 1, Samples::U16(vec![0]), 8), FrameError::BitDepth(8));
    assert_eq!(
        make(1, 2, 1, Samples::U16(vec![4095, 4096]), 12),
        FrameError::AboveFullScale { index: 1, value: 4096, max: 4095 }
    );
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(make(2, 1, 1, Samples::F32(vec![0.0, bad]), 32), FrameError::NonFinite { index: 1 });
    }
}

#[test]
fn limits_hold_on_sides_and_products_without_overflow() {
    let limits = Limits::DEFAULT;
    assert_eq!(limits.check(16_384, 16_384, 1), Ok(1 << 28));
    assert!(matches!(limits.check(16_385, 1, 1), Err(FrameError::SideTooLong { .. })));
    assert!(matches!(limits.check(16_384, 16_384, 3), Err(FrameError::TooManySamples { .. })));
    assert!(matches!(limits.check(16_384, 16_384, usize::MAX), Err(FrameError::TooManySamples { .. })));
    let unbounded = Limits { side: usize::MAX, samples: usize::MAX };
    assert!(matches!(unbounded.check(usize::MAX, 2, 1), Err(FrameError::TooManySamples { .. })));
}

#[test]
fn display_reaches_both_ends_of_the_scale() {
    let frame = Frame::new(3, 1, 1, Samples::U16(vec![0, 2048, 4095]), Source::new("test", 12)).unwrap();
    assert_eq!(frame.to_display(), (vec![0, 128, 255], 1));
    let tensor = Frame::new(3, 1, 1, Samples::F32(vec![-1.0, 0.0, 3.0]), Source::new("test", 32)).unwrap();
    assert_eq!(tensor.to_display(), (vec![0, 64, 255], 1));
    let flat = Frame::new(2, 1, 1, Samples::F32(vec![7.0; 2]), Source::new("test", 32)).unwrap();
    assert_eq!(flat.to_display(), (vec![0, 0], 1));
}
