//! Slopes and offsets from channel sums as great as there can be, which no image of a test reaches.

use crate::host::Host;
use bytemuck::cast_slice;
use candor_core::arithmetic::{Multiplier, Normalization, Range};
use candor_core::ops::GroupNorm;
use candor_core::ops::group_norm::Affine;
use candor_gpu::{Kernel, Launch, Step, View};
use candor_lab::metrics::SplitMix64;

const CHANNELS: usize = 12;

/// Σv and Σv² that `pixels` codes can have.
fn sums(random: &mut SplitMix64, pixels: u64) -> [u64; 2] {
    let sum = match random.next_u64() % 4 {
        0 => 0,
        1 => 255 * pixels,
        _ => random.next_u64() % (255 * pixels + 1),
    };
    let least = (u128::from(sum) * u128::from(sum)).div_ceil(u128::from(pixels)) as u64;
    let room = 255 * sum - least;
    let more = match random.next_u64() % 3 {
        0 => 0,
        1 => random.next_u64() % room.clamp(1, 1000),
        _ => random.next_u64() % (room + 1),
    };
    [sum, least + more.min(room)]
}

/// A positive float over many powers of two.
fn float(random: &mut SplitMix64, [low, high]: [i32; 2]) -> f32 {
    let power = low + (random.next_u64() % (high - low) as u64) as i32;
    (1.0 + (random.next_u64() >> 41) as f32 / (1 << 23) as f32) * (power as f32).exp2()
}

#[test]
fn coefficients_of_great_sums_agree() {
    let Some(host) = Host::compiled() else { return };
    let mut random = SplitMix64::new(21);
    let mut launches = Vec::new();
    let (mut arena, mut constants, mut expected) = (Vec::new(), Vec::new(), Vec::<Affine>::new());
    for case in 0..2_000 {
        let group = [1, 2, 3, 12][case % 4];
        let pixels = random.next_u64() % ((1 << (random.next_u64() % 31 + 1)) / group as u64 + 1) + 1;
        let sums: Vec<[u64; 2]> = (0..CHANNELS).map(|_| sums(&mut random, pixels)).collect();
        let mut floats = || (0..CHANNELS).map(|_| Multiplier::new(float(&mut random, [-9, 9]))).collect();
        let (gamma, beta): (Vec<Multiplier>, Vec<Multiplier>) = (floats(), floats());
        let epsilon = Multiplier::new(float(&mut random, [-60, 9]));
        let output_steps = Multiplier::new(float(&mut random, [-4, 9]));
        let op = GroupNorm {
            group,
            constants: Normalization { epsilon, output_steps },
            gamma: &gamma,
            beta: &beta,
            range: Range { zero_point: 0, low: 0, high: 255 },
        };
        let mut affine = [[Multiplier::new(0.0); 2]; CHANNELS];
        op.coefficients(&sums, pixels, &mut affine);
        expected.extend(affine);
        let input = View { channels: CHANNELS as u32, ..View::default() };
        let step = Step {
            input,
            from: arena.len() as u32,
            scratch: (arena.len() + 16 * CHANNELS) as u32,
            rows: constants.len() as u32,
            columns: (constants.len() + 4 * CHANNELS) as u32,
            count: group as u32,
            to: pixels as u32,
            multiplier: epsilon.get(),
            factors: [output_steps.to_bits() as i32, 0, 0],
            ..Step::default()
        };
        arena.extend_from_slice(cast_slice(&sums));
        arena.extend_from_slice(&[0x5a; 8 * CHANNELS]);
        constants.extend_from_slice(cast_slice(&gamma));
        constants.extend_from_slice(cast_slice(&beta));
        launches.push(Launch { kernel: Kernel::Coefficients, grid: [CHANNELS as u32, 1, 1], step });
    }
    let arena = host.launch(&arena, &constants, &launches);
    let found = launches.iter().flat_map(|launch| &arena[launch.step.scratch as usize..][..8 * CHANNELS]);
    let found: Vec<u8> = found.copied().collect();
    assert!(found == cast_slice::<_, u8>(&expected));
    let slopes = expected.iter().filter(|[slope, _]| slope.get() > 0.0).count();
    assert!(slopes > expected.len() / 3, "{slopes} of {} slopes say little", expected.len());
}
