//! Preprocessing against f64 on real-valued formulas, and a tile that covers the frame against the whole.

use super::*;
use crate::frame::Samples;
use candor_core::tensor::{Element, Halo};

const ORDERS: [ChannelOrder; 3] = [ChannelOrder::Gray, ChannelOrder::Rgb, ChannelOrder::Bgr];

fn noise(count: usize, full_scale: u16) -> Vec<u16> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    (0..count).map(|_| (next() % (u32::from(full_scale) + 1)) as u16).collect()
}

fn preprocessor(
    geometry: Geometry,
    order: ChannelOrder,
    normalize: Normalize,
    [height, width]: [usize; 2],
    [scale, zero]: [f32; 2],
) -> Preprocessor {
    let channels = if order == ChannelOrder::Gray { 1 } else { 3 };
    let layout = Layout::packed(height, width, channels, Halo::default(), Element::Code);
    let settings = Preprocess { geometry, order, normalize };
    Preprocessor::new(settings, layout, Scale::new(scale), zero as u8).unwrap()
}

fn frame(samples: &[u16], [height, width, channels]: [usize; 3], full_scale: u16) -> FrameView<'_> {
    FrameView { width, height, channels, full_scale, samples: Samples::U16(samples) }
}

fn codes(preprocessor: &Preprocessor, frame: &FrameView<'_>) -> Vec<u8> {
    let mut codes = vec![0; preprocessor.model.iter().product()];
    all_codes(preprocessor, frame, [0, 0], &mut codes);
    codes
}

fn near(codes: &[u8], reals: impl Iterator<Item = f64>, [scale, zero]: [f32; 2]) {
    for (at, (&code, real)) in codes.iter().zip(reals).enumerate() {
        let expected = (real / f64::from(scale) + f64::from(zero)).clamp(0.0, 255.0);
        assert!((f64::from(code) - expected).abs() <= 0.5 + 2e-3, "value {at}: {code}, not {expected}");
    }
}

/// Planar codes of a whole model window.
fn all_codes(preprocessor: &Preprocessor, frame: &FrameView<'_>, origin: [usize; 2], codes: &mut [u8]) {
    let [height, width, _] = preprocessor.model;
    for (at, row) in codes.chunks_exact_mut(width).enumerate() {
        preprocessor.row_codes(Some(frame), origin, at % height, at / height, row);
    }
}

#[test]
fn standardised_codes_equal_f64_within_half_a_step() {
    for (full_scale, quantization) in [(255, [0.02, 128.0]), (4095, [0.017, 100.0]), (65_535, [0.03, 140.0])]
    {
        let samples = noise(31 * 45, full_scale);
        let normalize = Normalize::Standardize { epsilon: Multiplier::new(1e-6) };
        let tile = Geometry::Tile { overlap: 0 };
        let mut own = preprocessor(tile, ChannelOrder::Gray, normalize, [31, 45], quantization);
        let taken = frame(&samples, [31, 45, 1], full_scale);
        own.take(&taken);
        let count = samples.len() as f64;
        let mean = samples.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = samples.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let reals = samples.iter().map(|&v| (f64::from(v) - mean) / variance.sqrt());
        near(&codes(&own, &taken), reals, quantization);
    }
}

#[test]
fn a_constant_frame_standardises_to_zero() {
    let normalize = Normalize::Standardize { epsilon: Multiplier::new(1e-6) };
    for value in [0, 1, 77, 255] {
        let mut own = preprocessor(Geometry::Resize, ChannelOrder::Gray, normalize, [8, 8], [0.02, 99.0]);
        let samples = [value; 15];
        let taken = frame(&samples, [3, 5, 1], 255);
        own.take(&taken);
        assert_eq!(codes(&own, &taken), [99; 64], "a frame of {value}");
    }
}

#[test]
fn affine_and_window_normalisation_follow_their_formulas_per_channel() {
    let samples = noise(9 * 7 * 3, 4095);
    let (slope, offset) = ([1.5, -2.0, 0.7], [0.1, 1.9, -0.4]);
    let affine = Normalize::Affine { slope: slope.map(Multiplier::new), offset: offset.map(Multiplier::new) };
    let window = Normalize::Window { low: 700, high: 3000 };
    let quantization = [0.011, 120.0];
    for order in ORDERS {
        for normalize in [affine, window] {
            let tile = Geometry::Tile { overlap: 0 };
            let mut own = preprocessor(tile, order, normalize, [9, 7], quantization);
            let taken = frame(&samples, [9, 7, 3], 4095);
            own.take(&taken);
            let codes = codes(&own, &taken);
            let reals = (0..codes.len()).map(|at| {
                let (channel, pixel) = (at / 63, at % 63);
                let [red, green, blue] = [0, 1, 2].map(|c| f64::from(samples[pixel * 3 + c]));
                let sample = match order {
                    ChannelOrder::Gray => {
                        ((77.0 * red + 150.0 * green + 29.0 * blue + 128.0) / 256.0).floor()
                    }
                    ChannelOrder::Rgb => [red, green, blue][channel],
                    ChannelOrder::Bgr => [blue, green, red][channel],
                };
                match normalize {
                    Normalize::Window { .. } => (sample.clamp(700.0, 3000.0) - 700.0) / 2300.0,
                    _ => sample / 4095.0 * f64::from(slope[channel]) + f64::from(offset[channel]),
                }
            });
            near(&codes, reals, quantization);
        }
    }
}

#[test]
fn gray_frames_repeat_over_colour_channels_and_u8_equals_u16() {
    let samples = noise(48, 255);
    let bytes: Vec<u8> = samples.iter().map(|&v| v as u8).collect();
    let affine = Normalize::Affine { slope: [Multiplier::new(1.0); 3], offset: [Multiplier::new(0.0); 3] };
    let mut own = preprocessor(Geometry::Resize, ChannelOrder::Rgb, affine, [5, 7], [0.004, 0.0]);
    let taken = frame(&samples, [6, 8, 1], 255);
    own.take(&taken);
    let wide = codes(&own, &taken);
    assert!(wide[..35] == wide[35..70] && wide[..35] == wide[70..]);
    let narrow = FrameView { samples: Samples::U8(&bytes), ..taken };
    own.take(&narrow);
    assert_eq!(codes(&own, &narrow), wide);
}

#[test]
fn a_tile_that_covers_the_frame_equals_the_whole_frame() {
    let samples = noise(24 * 18, 255);
    let normalize = Normalize::Standardize { epsilon: Multiplier::new(1e-6) };
    let run = |geometry| {
        let mut own = preprocessor(geometry, ChannelOrder::Gray, normalize, [24, 18], [0.02, 128.0]);
        let taken = frame(&samples, [24, 18, 1], 255);
        own.take(&taken);
        codes(&own, &taken)
    };
    assert_eq!(run(Geometry::Resize), run(Geometry::Tile { overlap: 8 }));
}

#[test]
fn tiles_are_windows_of_the_frame_and_small_frames_are_mirrored() {
    let samples = noise(12 * 10, 255);
    let identity = Normalize::Window { low: 0, high: 255 };
    let tile = Geometry::Tile { overlap: 2 };
    let mut own = preprocessor(tile, ChannelOrder::Gray, identity, [4, 6], [1.0 / 255.0, 0.0]);
    let taken = frame(&samples, [12, 10, 1], 255);
    own.take(&taken);
    let mut window = vec![0; 24];
    all_codes(&own, &taken, [7, 3], &mut window);
    for (at, &code) in window.iter().enumerate() {
        assert_eq!(u16::from(code), samples[(7 + at / 6) * 10 + 3 + at % 6]);
    }
    let taken = frame(&samples[..6], [2, 3, 1], 255);
    own.take(&taken);
    all_codes(&own, &taken, [0, 0], &mut window);
    let mirrored: Vec<u16> =
        (0..24).map(|at| samples[[0, 1, 0, 1][at / 6] * 3 + [0, 1, 2, 1, 0, 1][at % 6]]).collect();
    assert_eq!(window.iter().map(|&v| u16::from(v)).collect::<Vec<_>>(), mirrored);
}

#[test]
fn reals_are_what_the_codes_round() {
    let samples = noise(14 * 11 * 3, 255);
    for order in ORDERS {
        let normalize = Normalize::Standardize { epsilon: Multiplier::new(1e-6) };
        let quantization = [0.015, 131.0];
        let mut own = preprocessor(Geometry::Resize, order, normalize, [9, 13], quantization);
        let taken = frame(&samples, [14, 11, 3], 255);
        own.take(&taken);
        near(&codes(&own, &taken), own.reals(&taken, [0, 0]).into_iter().map(f64::from), quantization);
    }
}

#[test]
fn other_channel_counts_are_refused() {
    let layout = Layout::packed(4, 4, 2, Halo::default(), Element::Code);
    for order in ORDERS {
        let normalize = Normalize::Window { low: 0, high: 255 };
        let settings = Preprocess { geometry: Geometry::Resize, order, normalize };
        assert!(Preprocessor::new(settings, layout, Scale::new(1.0), 0).is_err());
    }
}

#[test]
fn samples_of_eight_and_sixteen_bits_give_the_same_codes() {
    let normalize = Normalize::Window { low: 20, high: 200 };
    for order in ORDERS {
        for channels in [1, 3] {
            let samples = noise(13 * 17 * channels, 255);
            let bytes: Vec<u8> = samples.iter().map(|&sample| sample as u8).collect();
            let wide = frame(&samples, [13, 17, channels], 255);
            let narrow = FrameView { samples: Samples::U8(&bytes), ..wide };
            // A window that reaches beyond the frame on both sides.
            let tile = Geometry::Tile { overlap: 4 };
            let both = [wide, narrow].map(|frame| {
                let mut taken = preprocessor(tile, order, normalize, [16, 24], [0.01, 5.0]);
                taken.take(&frame);
                codes(&taken, &frame)
            });
            assert_eq!(both[0], both[1], "{order:?} from {channels} channels");
        }
    }
}
