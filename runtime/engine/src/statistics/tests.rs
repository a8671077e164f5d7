//! Merged statistics are those of the union, in any order, and what is read off them is right.

use super::*;
use candor_core::state::StateError;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn score(&mut self) -> f64 {
        let value = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        match self.next() % 20 {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => 0.0,
            3..8 => -300.0 * value,
            _ => value * 40.0,
        }
    }
}

fn add_frame(statistics: &mut Statistics, random: &mut Random) {
    let pixels = 50 + (random.next() % 200) as usize;
    let mask: Vec<u8> = (0..pixels).map(|_| (random.next() % 20) as u8).collect();
    let confidence: Vec<u16> = (0..pixels).map(|_| random.next() as u16).collect();
    let truth: Vec<u8> = (0..pixels).map(|_| [0, 1, 255][(random.next() % 3) as usize]).collect();
    statistics.add_frame(&mask, &confidence);
    statistics.add_scores(&[random.score(), random.score(), random.score()]);
    if random.next().is_multiple_of(3) {
        statistics.add_labels(&mask, &confidence, &truth);
    }
}

#[test]
fn the_merge_is_the_union_in_any_order() {
    let mut parts: Vec<Statistics> = (0..4).map(|_| Statistics::new(3)).collect();
    let mut whole = Statistics::new(3);
    let mut random = Random(1);
    for _ in 0..300 {
        let seed = random.next();
        let part = (random.next() % 4) as usize;
        add_frame(&mut parts[part], &mut Random(seed));
        add_frame(&mut whole, &mut Random(seed));
    }
    for order in [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]] {
        let mut merged = Statistics::new(3);
        for part in order {
            merged.merge(&parts[part]).expect("the settings agree");
        }
        assert_eq!(merged, whole);
        assert_eq!(merged.to_bytes(), whole.to_bytes());
    }
}

#[test]
fn a_state_comes_back_and_a_damaged_one_does_not() {
    let mut statistics = Statistics::new(3);
    let mut random = Random(2);
    (0..20).for_each(|_| add_frame(&mut statistics, &mut random));
    let mut bytes = statistics.to_bytes();
    assert_eq!(bytes.len(), Statistics::bytes(3));
    assert_eq!(Statistics::from_bytes(&bytes), Ok(statistics.clone()));
    bytes[100] ^= 1;
    assert_eq!(Statistics::from_bytes(&bytes), Err(StateError::Digest));
    assert_eq!(statistics.merge(&Statistics::new(2)), Err(StateError::Settings));
}

#[test]
fn quantiles_keep_their_stated_error() {
    let mut random = Random(3);
    let mut sketch = Sketch::default();
    let mut values: Vec<f64> = (0..5000).map(|_| random.score()).filter(|value| value.is_finite()).collect();
    values.iter().for_each(|&value| sketch.add(value));
    values.sort_by(f64::total_cmp);
    for part in 0..=100 {
        let share = f64::from(part) / 100.0;
        let exact = values[(share * (values.len() - 1) as f64) as usize];
        let found = sketch.quantile(share).expect("there are values");
        if exact.abs() < 128.0 {
            let allowed = (exact.abs() / 33.0).max(1.0 / 256.0);
            assert!((found - exact).abs() <= allowed, "{share}: {found} for {exact}");
        }
    }
    assert_eq!(sketch.extremes(), Some((values[0], values[values.len() - 1])));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((sketch.mean().expect("there are values") - mean).abs() < 1e-6);
}

#[test]
fn counts_of_a_frame_equal_naive_ones() {
    let mut random = Random(4);
    let mask: Vec<u8> = (0..1001).map(|_| (random.next() % 18) as u8).collect();
    let confidence: Vec<u16> = (0..1001).map(|_| random.next() as u16).collect();
    let counts = FrameCounts::of(&mask, &confidence);
    for class in 0..CLASSES_MAX {
        let own = |&(label, _): &(&u8, &u16)| usize::from(*label).min(15) == class;
        let pixels: Vec<u16> = mask.iter().zip(&confidence).filter(own).map(|(_, &value)| value).collect();
        assert_eq!(counts.pixels[class] as usize, pixels.len());
        assert_eq!(counts.mass[class], pixels.iter().map(|&value| u64::from(value)).sum::<u64>());
        for bin in 0..CONFIDENCE_BINS {
            let inside = pixels.iter().filter(|&&value| usize::from(value) / 2048 == bin).count();
            assert_eq!(counts.confidence[class][bin] as usize, inside);
        }
    }
}

#[test]
fn reliability_of_known_pixels() {
    let mut statistics = Statistics::new(0);
    let confidence = [52_428, 52_428, 52_428, 52_428, 52_428, 9];
    statistics.add_labels(&[1, 1, 1, 1, 1, 0], &confidence, &[1, 1, 1, 0, 1, 255]);
    let error = statistics.reliability().error().expect("there are labels");
    assert!(error.abs() < 1e-12, "four of five are right at a confidence of 0.8, and the last has no label");
    let foreground = statistics.reliability().foreground_error().expect("there are labels");
    assert!((foreground - 0.2).abs() < 1e-12);
}
