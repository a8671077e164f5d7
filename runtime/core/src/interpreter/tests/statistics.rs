//! Global average and group normalisation against f64 over the reals.

use super::*;
use crate::ops::{GlobalAverage, GroupNorm};

const HALO: Halo = Halo { top: 2, left: 1, bottom: 1, right: 3 };

#[test]
fn global_average_is_the_mean_within_half_a_step() {
    let mut random = Random(31);
    for extent in [[1, 1, 1], [5, 7, 6], [40, 33, 9]] {
        let image = Image::random(&mut random, extent, 90);
        let pixels = extent[0] * extent[1];
        let mut plan = PlanWriter::default();
        let input = plan.tensor(extent, HALO, 90);
        let output = plan.tensor([1, 1, extent[2]], Halo::default(), 128);
        plan.step(GlobalAverage::OPCODE, [input; 2], output, &[bits(2.0 / pixels as f32), 0, 255]);
        for (c, found) in run_plan(&plan, &[&image]).into_iter().enumerate() {
            let plane = &image.codes[c * pixels..(c + 1) * pixels];
            let mean = plane.iter().map(|&v| f64::from(v) - 90.0).sum::<f64>() / pixels as f64;
            let expected = (2.0 * mean + 128.0).clamp(0.0, 255.0);
            assert!((f64::from(found) - expected).abs() <= 0.5 + 1e-4, "{found} {expected}");
        }
    }
}

#[test]
fn group_norm_equals_f64_within_half_a_step() {
    let mut random = Random(32);
    let (scale_in, scale_out, epsilon) = (0.03f32, 0.02f32, 1e-5f32);
    for (extent, group) in [([5, 7, 6], 1), ([5, 7, 6], 2), ([4, 4, 6], 6), ([9, 3, 12], 4), ([1, 1, 4], 4)] {
        let image = Image::random(&mut random, extent, 90);
        let gamma: Vec<f32> = (0..extent[2]).map(|_| random.unit() as f32).collect();
        let beta: Vec<f32> = (0..extent[2]).map(|_| random.unit() as f32 * 0.5).collect();
        let mut plan = PlanWriter::default();
        let input = plan.tensor(extent, HALO, 90);
        let output = plan.tensor(extent, Halo::default(), 120);
        let constants = [bits(epsilon / (scale_in * scale_in)), bits(1.0 / scale_out)];
        let tables = [plan.constant(&gamma), plan.constant(&beta)];
        let words = [group as u32, constants[0], constants[1], tables[0], tables[1], 0, 255];
        plan.step(GroupNorm::OPCODE, [input; 2], output, &words);
        let area = extent[0] * extent[1];
        for (at, found) in run_plan(&plan, &[&image]).into_iter().enumerate() {
            let channel = at / area;
            let start = channel / group * group * area;
            let reals: Vec<f64> = image.codes[start..start + group * area]
                .iter()
                .map(|&v| (f64::from(v) - 90.0) * f64::from(scale_in))
                .collect();
            let mean = reals.iter().sum::<f64>() / reals.len() as f64;
            let variance = reals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / reals.len() as f64;
            let normal = (reals[at - start] - mean) / (variance + f64::from(epsilon)).sqrt();
            let real = normal * f64::from(gamma[channel]) + f64::from(beta[channel]);
            let expected = (real / f64::from(scale_out) + 120.0).clamp(0.0, 255.0);
            assert!(
                (f64::from(found) - expected).abs() <= 0.5 + 1e-3,
                "{extent:?} {group}: {found} {expected}"
            );
        }
    }
}
