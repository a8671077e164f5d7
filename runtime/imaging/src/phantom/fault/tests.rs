//! Each fault does what its name says, on every sample type, and nothing elsewhere.

use super::*;
use crate::frame::Source;
use crate::phantom::{Config, Depth, Phantom};

const ALL: [Fault; 10] = [
    Fault::DoseDrop { dose: 0.1 },
    Fault::Gain { gain: 1.5, offset: -0.1 },
    Fault::MetalStreak { strength: 0.5 },
    Fault::DeadRows { rows: 5 },
    Fault::Stripes { amplitude: 0.1 },
    Fault::Saturated,
    Fault::Blank,
    Fault::Inverted,
    Fault::WrongStride,
    Fault::Frozen,
];

fn gray(width: usize, values: Vec<u8>) -> Frame {
    Frame::new(width, values.len() / width, 1, Samples::U8(values), Source::new("test", 8)).unwrap()
}

fn bytes(frame: &Frame) -> &[u8] {
    match frame.samples() {
        Samples::U8(values) => values,
        _ => panic!("8 bits expected"),
    }
}

#[test]
fn simple_faults_give_the_values_worked_out_by_hand() {
    let frame = gray(2, vec![0, 50, 100, 200]);
    let apply = |fault: Fault| bytes(&fault.apply(&frame, 1)).to_vec();
    assert_eq!(apply(Fault::Blank), [0; 4]);
    assert_eq!(apply(Fault::Inverted), [255, 205, 155, 55]);
    assert_eq!(apply(Fault::Gain { gain: 1.5, offset: 0.0 }), [0, 75, 150, 255]);
    assert_eq!(apply(Fault::Gain { gain: 1.0, offset: 0.2 }), [51, 101, 151, 251]);
    assert_eq!(apply(Fault::Stripes { amplitude: 0.04 }), [0, 40, 110, 210]);
    assert_eq!(apply(Fault::Saturated), [26, 255, 255, 255]);
    assert_eq!(apply(Fault::WrongStride), [0, 50, 200, 0]);
    assert_eq!(apply(Fault::Frozen), bytes(&frame));
}

#[test]
fn a_dose_drop_adds_noise_of_the_stated_deviation() {
    let frame = gray(200, vec![128; 200 * 200]);
    let noisy = Fault::DoseDrop { dose: 0.1 }.apply(&frame, 3);
    let deviations = bytes(&noisy).iter().map(|&value| f64::from(value) - 128.0);
    let variance = deviations.map(|deviation| deviation * deviation).sum::<f64>() / 40_000.0;
    let expected = 255.0 * 0.015 * 3.0;
    assert!((variance.sqrt() / expected - 1.0).abs() < 0.03, "{} against {expected}", variance.sqrt());
    assert_eq!(bytes(&Fault::DoseDrop { dose: 1.0 }.apply(&frame, 3)), bytes(&frame));
}

#[test]
fn dead_rows_are_whole_and_all_others_untouched() {
    let frame = gray(7, vec![9; 7 * 50]);
    let faulty = Fault::DeadRows { rows: 4 }.apply(&frame, 5);
    let rows: Vec<&[u8]> = bytes(&faulty).chunks(7).collect();
    assert!(rows.iter().all(|row| **row == [0; 7] || **row == [9; 7]));
    assert!((1..=4).contains(&rows.iter().filter(|row| row[0] == 0).count()));
}

#[test]
fn metal_is_bright_with_streaks_of_both_signs_that_fade() {
    let frame = gray(101, vec![100; 101 * 77]);
    let faulty = Fault::MetalStreak { strength: 0.6 }.apply(&frame, 7);
    let values = bytes(&faulty);
    assert!(values.contains(&255));
    assert!(values.iter().any(|&value| value < 80) && values.iter().any(|&value| value > 120 && value < 255));
    let changed = |row: usize| {
        values[row * 101..][..101].iter().map(|&value| u64::from(value.abs_diff(100))).sum::<u64>()
    };
    assert!(changed(38) > 2 * changed(0) && changed(38) > 2 * changed(76));
}

#[test]
fn every_fault_keeps_extents_type_scale_and_repeats() {
    let config = Config { width: 48, height: 32, depth: Depth::Twelve, ..Config::default() };
    let (twelve, ..) = Phantom::new(config, 1).unwrap().frame(0);
    let rgb = Frame::new(5, 7, 3, Samples::U8((0..105).collect()), Source::new("rgb", 8)).unwrap();
    let planes = (0..70u8).map(|value| f32::from(value) - 30.0).collect();
    let tensor = Frame::new(7, 5, 2, Samples::F32(planes), Source::new("tensor", 32)).unwrap();
    let flat = Frame::new(3, 3, 1, Samples::F32(vec![4.0; 9]), Source::new("flat", 32)).unwrap();
    let dot = gray(1, vec![3]);
    for frame in [twelve, rgb, tensor, flat, dot] {
        for fault in ALL {
            let faulty = fault.apply(&frame, 11);
            assert_eq!((faulty.width(), faulty.height()), (frame.width(), frame.height()), "{fault:?}");
            assert_eq!(
                (faulty.max_value(), faulty.source()),
                (frame.max_value(), frame.source()),
                "{fault:?}"
            );
            let valid = Frame::new(
                faulty.width(),
                faulty.height(),
                faulty.channels(),
                faulty.samples().clone(),
                faulty.source().clone(),
            );
            assert_eq!(valid.unwrap(), fault.apply(&frame, 11), "{fault:?}");
        }
    }
}

#[test]
fn channels_of_a_picture_are_sheared_together() {
    let rgb = Frame::new(2, 2, 3, Samples::U8((0..12).collect()), Source::new("rgb", 8)).unwrap();
    let sheared = Fault::WrongStride.apply(&rgb, 0);
    assert_eq!(bytes(&sheared), &[0, 1, 2, 3, 4, 5, 9, 10, 11, 0, 1, 2]);
}

#[test]
fn a_stream_is_faulty_only_within_its_intervals() {
    let source = (0..6u8).map(|value| gray(2, vec![value; 4]));
    let faults = vec![(1..2, Fault::Inverted), (3..5, Fault::Frozen)];
    let seen: Vec<u8> = Faulty::new(source, faults, 0).map(|frame| bytes(&frame)[0]).collect();
    assert_eq!(seen, [0, 254, 2, 2, 2, 5]);
}

#[test]
fn noise_differs_from_frame_to_frame() {
    let source = (0..2).map(|_| gray(8, vec![128; 64]));
    let frames: Vec<Frame> = Faulty::new(source, vec![(0..2, Fault::DoseDrop { dose: 0.05 })], 0).collect();
    assert_ne!(frames[0], frames[1]);
}
