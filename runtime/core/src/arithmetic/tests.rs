//! The float step against exact integer arithmetic, and normalisation against plain f64.

use super::*;
use crate::tests::Random;

/// A number `significand · 2^exponent`.
#[derive(Clone, Copy)]
struct Exact {
    significand: i128,
    exponent: i32,
}

impl Exact {
    fn of(value: f32) -> Self {
        let bits = value.to_bits();
        let exponent = (bits >> 23 & 255) as i32;
        let fraction = i128::from(bits & 0x7f_ffff);
        let magnitude = if exponent == 0 { fraction } else { fraction | 0x80_0000 };
        let significand = if bits >> 31 == 1 { -magnitude } else { magnitude };
        Self { significand, exponent: exponent.max(1) - 150 }
    }

    /// Rounded to 24 significant bits, half to even: an IEEE binary32 result away from its ends.
    fn to_single(self) -> Self {
        let spare = 128 - self.significand.unsigned_abs().leading_zeros() as i32 - 24;
        if spare <= 0 {
            return self;
        }
        Self { significand: shifted(self.significand, spare), exponent: self.exponent + spare }
    }

    /// The nearest integer, half to even, saturating at ±2^40.
    fn to_integer(self) -> i64 {
        let limit = 1i128 << 40;
        if self.exponent >= 0 {
            if self.significand == 0 {
                return 0;
            }
            let grown = if self.exponent > 60 { limit } else { self.significand.abs() << self.exponent };
            return (self.significand.signum() * grown.min(limit)) as i64;
        }
        shifted(self.significand, -self.exponent).clamp(-limit, limit) as i64
    }
}

/// `value / 2^by`, half to even.
fn shifted(value: i128, by: i32) -> i128 {
    if by > 100 {
        return 0;
    }
    let (quotient, rest, half) = (value >> by, value & ((1 << by) - 1), 1i128 << (by - 1));
    quotient + i128::from(rest > half || rest == half && quotient & 1 == 1)
}

fn model(accumulator: i32, multiplier: f32, range: Range) -> i32 {
    let single = Exact { significand: i128::from(accumulator), exponent: 0 }.to_single();
    let factor = Exact::of(multiplier);
    let product = Exact {
        significand: single.significand * factor.significand,
        exponent: single.exponent + factor.exponent,
    };
    let value = product.to_single().to_integer() + i64::from(range.zero_point);
    value.clamp(i64::from(range.low), i64::from(range.high)) as i32
}

#[test]
fn shares_equal_integer_division() {
    let check = |part: u16, total: u32| {
        let exact = (u64::from(part) * 65_535 + u64::from(total / 2)) / u64::from(total.max(1));
        assert_eq!(u64::from(share(part, total)), exact, "{part} of {total}");
    };
    let mut random = Random(65);
    for part in (0..300).chain(65_236..=65_535) {
        for more in (0..300).chain([32_767, 32_768, 65_535, 65_536, 131_070, (1 << 24) - 65_536]) {
            check(part, u32::from(part) + more);
        }
    }
    for bits in 1..24 {
        for _ in 0..20_000 {
            let part = random.bits() as u16 >> random.between(0, 15);
            check(part, (u32::from(part) + random.bits() as u32 % (1 << bits)).min((1 << 24) - 1));
        }
    }
}

const RANGES: [Range; 6] = [
    Range { zero_point: 0, low: 0, high: 255 },
    Range { zero_point: 255, low: 0, high: 255 },
    Range { zero_point: 128, low: 0, high: 255 },
    Range { zero_point: 128, low: 128, high: 200 },
    Range { zero_point: 7, low: 99, high: 99 },
    Range { zero_point: 2048, low: 0, high: 4095 },
];

#[test]
fn requantize_equals_exact_arithmetic_on_edges() {
    let edges = [0, 1, 3, 5, 255, 256, (1 << 24) - 1, (1 << 24) + 1, (1 << 24) + 3, (1 << 30) + 64];
    let mut accumulators: Vec<i32> = edges.iter().flat_map(|&e| [e, -e]).collect();
    accumulators.extend([i32::MAX, i32::MAX - 64, i32::MIN, i32::MIN + 64, i32::MIN + 65]);
    let mut factors = vec![0.5, 0.25, 1.5, 1.0, 2.0, 0.1, 1.0 / 3.0, 1e-9, 1e-38, f32::MAX, 0.0];
    factors.extend([0.499_999_97, 0.500_000_06, 0.5 / 16_777_217.0, f32::from_bits(1), 2.5 / 16_777_216.0]);
    for &accumulator in &accumulators {
        for &factor in factors.iter() {
            for (factor, range) in [factor, -factor].into_iter().flat_map(|f| RANGES.map(|r| (f, r))) {
                let found = requantize(accumulator, Multiplier::new(factor), range);
                assert_eq!(found, model(accumulator, factor, range), "{accumulator} · {factor} in {range:?}");
            }
        }
    }
}

#[test]
fn requantize_equals_exact_arithmetic_on_random_values_and_ties() {
    let mut random = Random(3);
    for _ in 0..400_000 {
        let accumulator = (random.bits() as i32) >> random.between(0, 30);
        let magnitude = f64::from(accumulator).abs().max(1.0);
        let factor = match random.between(0, 2) {
            // Half codes: products that end in exactly one half.
            0 => 0.5f32.powi(random.between(1, 24) as i32),
            1 => (random.unit() * 300.0 / magnitude) as f32,
            _ => f32::from_bits(random.bits() as u32 & 0xbf7f_ffff),
        };
        let range = RANGES[random.between(0, RANGES.len() - 1)];
        let found = requantize(accumulator, Multiplier::new(factor), range);
        assert_eq!(found, model(accumulator, factor, range), "{accumulator} · {factor:e} in {range:?}");
    }
}

#[test]
fn round_half_even_holds_over_its_whole_range() {
    let limit = 1 << 22;
    let mut random = Random(4);
    let halves = (0..200_000).map(|_| (random.bits() as i32 >> 8) as f32 / 4.0);
    let edges = [limit, limit - 1, 1, 0].map(|i| i as f32);
    let edges = edges.into_iter().flat_map(|e| [e, -e, e - 0.5, 0.5 - e, e.next_down()]);
    for x in edges.chain(halves).filter(|x: &f32| x.abs() <= limit as f32) {
        assert_eq!(round_half_even(x), f64::from(x).round_ties_even() as i32, "{x}");
    }
    assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(round_half_even), [0, 2, 2, 0, -2]);
}

#[test]
fn affine_requantization_rounds_product_and_sum_once_each() {
    let range = Range { zero_point: 100, low: 0, high: 255 };
    let mut random = Random(5);
    for _ in 0..100_000 {
        let code = random.between(0, 65_535) as i32;
        let slope = (random.unit() * 0.01) as f32;
        let offset = (random.unit() * 200.0) as f32;
        // The product of two f32 is exact in f64; each rounding to f32 is then a single one.
        let product = (f64::from(code) * f64::from(slope)) as f32;
        let sum = (f64::from(product) + f64::from(offset)) as f32;
        let expected = (f64::from(sum).round_ties_even() + 100.0).clamp(0.0, 255.0) as i32;
        let found = requantize_affine(code, Multiplier::new(slope), Multiplier::new(offset), range);
        assert_eq!(found, expected, "{code} · {slope} + {offset}");
    }
}

#[test]
fn the_square_root_is_within_one_unit_in_the_last_place() {
    let mut random = Random(6);
    let wide = (0..200_000).map(|_| f64::from_bits(random.bits() >> 1));
    let plain = (1..2000).map(f64::from).flat_map(|x| [x, x * x, 1.0 / x, x * 0.5]);
    let edges = [f64::MIN_POSITIVE, f64::MAX, 1.0, 2.0, 4.0, 0.25, 1.0 - f64::EPSILON / 2.0];
    for x in wide.chain(plain).chain(edges).filter(|x| x.is_normal()) {
        let (found, expected) = (square_root(x), x.sqrt());
        let apart = found.to_bits().abs_diff(expected.to_bits());
        assert!(apart <= 1, "√{x:e}: {found:e}, not {expected:e}");
    }
    assert_eq!([square_root(0.0), square_root(-1.0), square_root(f64::NAN)], [0.0; 3]);
}

#[test]
fn affine_of_moments_normalises_like_two_passes_in_f64() {
    let mut random = Random(7);
    for case in 0..300 {
        let count = random.between(1, 500);
        let (low, high) = (random.between(0, 255), 255);
        let codes: Vec<u64> = (0..count).map(|_| random.between(low, high) as u64).collect();
        let moments = Moments {
            count: count as u64,
            sum: codes.iter().sum(),
            squares: codes.iter().map(|c| c * c).sum(),
        };
        let (epsilon, steps) = (0.37f32, 12.5f32);
        let (gamma, beta) = ((random.unit() * 3.0) as f32, random.unit() as f32);
        let constants =
            Normalization { epsilon: Multiplier::new(epsilon), output_steps: Multiplier::new(steps) };
        let (slope, offset) = moments.affine(constants, Multiplier::new(gamma), Multiplier::new(beta));
        let mean = codes.iter().sum::<u64>() as f64 / count as f64;
        let variance = codes.iter().map(|&c| (c as f64 - mean).powi(2)).sum::<f64>() / count as f64;
        for &code in &codes {
            let real = (code as f64 - mean) / (variance + f64::from(epsilon)).sqrt();
            let expected = (real * f64::from(gamma) + f64::from(beta)) * f64::from(steps);
            let found = f64::from(slope.get()) * code as f64 + f64::from(offset.get());
            let tolerance = 1e-7 * (255.0 * f64::from(slope.get().abs()) + expected.abs() + 1.0);
            assert!((found - expected).abs() <= 4.0 * tolerance, "case {case}: {found} {expected}");
        }
    }
}

#[test]
fn moments_are_exact_and_a_constant_group_normalises_to_beta() {
    // 2^31 values of 65535: f64 sums of squares would lose the variance.
    let count = (1u64 << 31) - 1;
    let ones = Moments { count, sum: 65_535 * count, squares: 65_535 * 65_535 * count };
    assert_eq!(ones.scaled_variance(), 0);
    let one_off = Moments { sum: ones.sum - 1, squares: ones.squares - 2 * 65_535 + 1, ..ones };
    assert_eq!(one_off.scaled_variance(), u128::from(count) - 1);
    let constants = Normalization { epsilon: Multiplier::new(1e-12), output_steps: Multiplier::new(10.0) };
    let flat = Moments { count: 4, sum: 4 * 77, squares: 4 * 77 * 77 };
    let (slope, offset) = flat.affine(constants, Multiplier::new(2.0), Multiplier::new(3.0));
    let range = Range { zero_point: 5, low: 0, high: 255 };
    assert_eq!(requantize_affine(77, slope, offset, range), 35);
    let none = Normalization { epsilon: Multiplier::new(0.0), ..constants };
    assert_eq!(flat.affine(none, Multiplier::new(2.0), Multiplier::new(3.0)).0.get(), 0.0);
}

#[test]
fn quantize_saturates_rounds_half_to_even_and_refuses_nan() {
    let mut random = Random(8);
    for _ in 0..200_000 {
        let scale = [0.007_812_5, 0.1, 3.7e-5, 1e-30, 1e30][random.between(0, 4)];
        let zero_point = random.bits() as u8;
        let x = match random.between(0, 2) {
            0 => f32::from_bits(random.bits() as u32),
            1 => (random.between(0, 1200) as f32 - 600.0) * 0.5 * scale,
            _ => (random.unit() * 300.0) as f32 * scale,
        };
        let found = Scale::new(scale).quantize(x, zero_point);
        let steps = f64::from(x / scale).round_ties_even() + f64::from(zero_point);
        let expected = (!x.is_nan()).then(|| steps.clamp(0.0, 255.0) as u8);
        assert_eq!(found, expected, "{x:e} / {scale:e} + {zero_point}");
    }
    let scale = Scale::new(0.5);
    assert_eq!(scale.quantize(f32::NAN, 3), None);
    assert_eq!([f32::INFINITY, f32::NEG_INFINITY].map(|x| scale.quantize(x, 3)), [Some(255), Some(0)]);
    assert_eq!(
        [0.25, 0.75, -0.25, -0.75].map(|x| scale.quantize(x, 3)),
        [Some(3), Some(5), Some(3), Some(1)]
    );
    for code in 0..=255u8 {
        let real = scale.dequantize(i32::from(code) - 9);
        assert_eq!(scale.quantize(real, 9), Some(code));
    }
}

#[test]
fn only_usable_constants_are_valid() {
    assert!([0.0, -0.0, 1.0, -1.0, f32::MAX].iter().all(|&m| Multiplier::new(m).is_valid()));
    assert!([f32::NAN, f32::INFINITY].iter().all(|&m| !Multiplier::new(m).is_valid()));
    assert!([f32::MIN_POSITIVE, 1.0].iter().all(|&s| Scale::new(s).is_valid()));
    assert!([0.0, -1.0, f32::NAN, f32::INFINITY].iter().all(|&s| !Scale::new(s).is_valid()));
    let order = Multiplier::from_scales(0.1, 0.3, 0.7).get();
    assert_eq!(order.to_bits(), ((0.1f32 * 0.3f32) / 0.7f32).to_bits());
}
