//! Resize against the ONNX formulas evaluated per pixel, and against values the specification prints.

use super::super::tests::{Random, assert_close};
use super::resize;
use crate::network::Coordinates::{AlignCorners, Asymmetric, HalfPixel, PytorchHalfPixel};
use crate::network::Nearest::{Ceil, Floor, RoundPreferCeil, RoundPreferFloor};
use crate::network::{Coordinates, Data, Interpolation, Nearest, Tensor};

/// Table "coordinate_transformation_mode" of the ONNX Resize specification.
fn original(coordinates: Coordinates, at: usize, input: usize, output: usize, scale: f32) -> f32 {
    let resized = at as f32;
    match coordinates {
        HalfPixel => (resized + 0.5) / scale - 0.5,
        PytorchHalfPixel if output == 1 => 0.0,
        PytorchHalfPixel => (resized + 0.5) / scale - 0.5,
        AlignCorners if output == 1 => 0.0,
        AlignCorners => resized * (input as f32 - 1.0) / (output as f32 - 1.0),
        Asymmetric => resized / scale,
    }
}

/// Attribute "nearest_mode" of the specification, by cases on the fraction.
fn rounded(mode: Nearest, position: f32) -> i64 {
    let (low, fraction) = (position.floor(), position - position.floor());
    let up = match mode {
        Floor => false,
        Ceil => fraction > 0.0,
        RoundPreferFloor => fraction > 0.5,
        RoundPreferCeil => fraction >= 0.5,
    };
    low as i64 + i64::from(up)
}

fn naive(
    x: &Tensor,
    interpolation: Interpolation,
    coordinates: Coordinates,
    scales: [f32; 2],
    to: [usize; 2],
) -> Tensor {
    let [n, c, h, w] = x.shape[..] else { panic!() };
    let mut out = Vec::new();
    for plane in x.as_f32().unwrap().chunks(h * w) {
        let at =
            |y: i64, x: i64| plane[y.clamp(0, h as i64 - 1) as usize * w + x.clamp(0, w as i64 - 1) as usize];
        for (y, x) in (0..to[0]).flat_map(|y| (0..to[1]).map(move |x| (y, x))) {
            let y = original(coordinates, y, h, to[0], scales[0]);
            let x = original(coordinates, x, w, to[1], scales[1]);
            out.push(match interpolation {
                Interpolation::Nearest(mode) => at(rounded(mode, y), rounded(mode, x)),
                Interpolation::Linear => {
                    let (y0, x0) = (y.floor() as i64, x.floor() as i64);
                    let (fy, fx) = (y - y.floor(), x - x.floor());
                    let top = at(y0, x0) * (1.0 - fx) + at(y0, x0 + 1) * fx;
                    let bottom = at(y0 + 1, x0) * (1.0 - fx) + at(y0 + 1, x0 + 1) * fx;
                    top * (1.0 - fy) + bottom * fy
                }
            });
        }
    }
    Tensor::f32(vec![n, c, to[0], to[1]], out)
}

#[test]
fn every_mode_matches_the_specification_over_random_extents() {
    let random = &mut Random(10);
    let modes = [Floor, Ceil, RoundPreferFloor, RoundPreferCeil].map(Interpolation::Nearest);
    for _ in 0..60 {
        let (from, to) =
            ([random.between(1, 9), random.between(1, 9)], [random.between(1, 20), random.between(1, 20)]);
        let x = random.tensor(&[2, 2, from[0], from[1]]);
        let scales = [0, 1].map(|axis| to[axis] as f32 / from[axis] as f32);
        for coordinates in [HalfPixel, PytorchHalfPixel, AlignCorners, Asymmetric] {
            for interpolation in modes.into_iter().chain([Interpolation::Linear]) {
                let expected = naive(&x, interpolation, coordinates, scales, to);
                let actual = resize(&x, interpolation, coordinates, scales, &expected.shape).unwrap();
                assert_close(
                    &actual,
                    &expected,
                    1e-5,
                    &format!("{from:?} → {to:?} {coordinates:?} {interpolation:?}"),
                );
            }
        }
    }
}

#[test]
fn linear_upsampling_by_two_gives_the_values_the_specification_prints() {
    let x = Tensor::f32(vec![1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]);
    let actual = resize(&x, Interpolation::Linear, HalfPixel, [2.0, 2.0], &[1, 1, 4, 4]).unwrap();
    let rows =
        [[1.0, 1.25, 1.75, 2.0], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3.0, 3.25, 3.75, 4.0]];
    assert_close(&actual, &Tensor::f32(vec![1, 1, 4, 4], rows.concat()), 1e-6, "half pixel");
}

#[test]
fn the_stated_scale_wins_over_the_ratio_of_extents() {
    let x = Tensor::f32(vec![1, 1, 1, 3], vec![0.0, 1.0, 2.0]);
    let actual = resize(&x, Interpolation::Linear, Asymmetric, [1.0, 1.4], &[1, 1, 1, 4]).unwrap();
    let expected = [0.0, 1.0 / 1.4, 2.0 / 1.4, 2.0];
    assert_close(&actual, &Tensor::f32(vec![1, 1, 1, 4], expected.to_vec()), 1e-6, "1.4");
}

#[test]
fn nearest_keeps_integers_and_linear_refuses_them() {
    let x = Tensor { shape: vec![1, 1, 1, 2], data: Data::U8(vec![3, 9]) };
    let nearest = Interpolation::Nearest(Floor);
    let actual = resize(&x, nearest, Asymmetric, [1.0, 2.0], &[1, 1, 1, 4]).unwrap();
    assert_eq!(actual.data, Data::U8(vec![3, 3, 9, 9]));
    assert!(resize(&x, Interpolation::Linear, Asymmetric, [1.0, 2.0], &[1, 1, 1, 4]).is_err());
}

#[test]
fn unusable_extents_and_scales_are_refused() {
    let random = &mut Random(11);
    let nearest = Interpolation::Nearest(Floor);
    let x = random.tensor(&[1, 2, 3, 3]);
    assert!(resize(&x, nearest, Asymmetric, [2.0, 2.0], &[1, 1, 6, 6]).is_err());
    assert!(resize(&x, nearest, Asymmetric, [0.0, 2.0], &[1, 2, 6, 6]).is_err());
    assert!(resize(&x, nearest, Asymmetric, [f32::NAN, 2.0], &[1, 2, 6, 6]).is_err());
    assert!(resize(&random.tensor(&[1, 2, 0, 3]), nearest, Asymmetric, [2.0, 2.0], &[1, 2, 6, 6]).is_err());
    assert!(resize(&random.tensor(&[2, 3, 3]), nearest, Asymmetric, [2.0, 2.0], &[1, 2, 6, 6]).is_err());
}
