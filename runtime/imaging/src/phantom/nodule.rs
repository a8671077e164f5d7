//! Nodules: where they lie, and an outline that runs from smooth to spiculated.

use super::NoduleFactors;
use super::anatomy::Anatomy;
use super::geometry::{Canvas, Harmonics, Vector, capsule, length};
use super::random::{Random, value_noise};

/// HU of lung that a nodule's contrast is counted from.
const LUNG_HU: f64 = -850.0;

/// Places tried for one nodule.
const CANDIDATES: usize = 64;

/// A thin ray from the nodule's edge into the lung.
struct Spicule {
    start: Vector,
    end: Vector,
    radii: Vector,
}

pub(super) struct Nodule {
    pub centre: Vector,
    factors: NoduleFactors,
    lobes: Harmonics,
    teeth: Harmonics,
    spicules: Vec<Spicule>,
}

/// A place inside a lung, `margin` or more from the pleura and clear of other nodules, whose relative
/// distance from hilum to pleura is nearest to `position`; where no candidate fits, the deepest one.
pub(super) fn place(
    anatomy: &Anatomy,
    position: f64,
    others: &[Nodule],
    largest_radius: f64,
    random: &mut Random,
) -> Vector {
    let margin = largest_radius + 2.0;
    let (mut best, mut best_miss) = (None, f64::MAX);
    let (mut deepest, mut deepest_depth) = (anatomy.hilum(1.0), f64::MIN);
    for _ in 0..CANDIDATES {
        let side = if random.unit() < 0.5 { -1.0 } else { 1.0 };
        let point = (side * random.between(10.0, 125.0), random.between(-85.0, 85.0));
        let depth = -anatomy.lung_distance(side, point);
        let clear = others
            .iter()
            .all(|other| length((point.0 - other.centre.0, point.1 - other.centre.1)) > 2.0 * margin);
        if !clear {
            continue;
        }
        if depth > deepest_depth {
            (deepest, deepest_depth) = (point, depth);
        }
        let hilum = anatomy.hilum(side);
        let inward = length((point.0 - hilum.0, point.1 - hilum.1));
        let miss = (inward / (inward + (depth - margin).max(0.0)) - position).abs();
        if depth > margin && miss < best_miss {
            (best, best_miss) = (Some(point), miss);
        }
    }
    best.unwrap_or(deepest)
}

impl Nodule {
    pub fn new(factors: NoduleFactors, centre: Vector, random: &mut Random) -> Self {
        let mut terms = |count: usize, amplitude: f64| -> Vec<Vector> {
            let term = |_| {
                let (x, y) = random.direction();
                let size = amplitude * random.between(0.3, 1.0);
                (x * size, y * size)
            };
            (0..count).map(term).collect()
        };
        let lobes = Harmonics::new(2, terms(2, 0.07));
        let teeth = Harmonics::new(5, terms(5, 0.075 * factors.spiculation));
        let radius = factors.radius_mm;
        // All rays are drawn whatever the spiculation, so that it alone changes their length and width.
        let spicules = (0..12 + random.below(6)).map(|_| {
            let (x, y) = random.direction();
            let reach = radius * (0.85 + (0.35 + 0.9 * random.unit()) * factors.spiculation);
            let width = random.between(0.10, 0.17) * radius.min(9.0) * factors.spiculation;
            Spicule {
                start: (centre.0 + x * radius * 0.7, centre.1 + y * radius * 0.7),
                end: (centre.0 + x * reach, centre.1 + y * reach),
                radii: (width * 1.3, width * 0.25),
            }
        });
        let spicules = spicules.collect();
        Self { centre, factors, lobes, teeth, spicules }
    }

    fn distance(&self, point: Vector) -> f64 {
        let offset = (point.0 - self.centre.0, point.1 - self.centre.1);
        let outline = 1.0 + self.lobes.at(offset) + self.teeth.at(offset);
        length(offset) - self.factors.radius_mm * outline
    }

    /// Blends the nodule into the canvas and raises `coverage` to how much of each pixel it fills.
    pub fn paint(&self, canvas: &mut Canvas, texture: u64, coverage: &mut [f64]) {
        let reach = self.factors.radius_mm * 2.4;
        let low = (self.centre.0 - reach, self.centre.1 - reach);
        let high = (self.centre.0 + reach, self.centre.1 + reach);
        let mut values = std::mem::take(&mut canvas.values);
        canvas.visit(low, high, |index, point| {
            let mut covered = canvas.coverage(self.distance(point));
            for ray in &self.spicules {
                let share = (2.5 * ray.radii.0 / canvas.pixel).min(1.0);
                let ray = canvas.coverage(capsule(point, ray.start, ray.end, ray.radii)) * share;
                covered = covered.max(ray);
            }
            if covered > 0.0 {
                let patch = value_noise(texture ^ 20, point.0 / 3.5, point.1 / 3.5);
                let solid = LUNG_HU + self.factors.contrast_hu * (1.0 - 0.75 * self.factors.texture * patch);
                // Solid tissue displaces vessels denser than itself, ground glass lets them through.
                let hides =
                    if values[index] > solid { (self.factors.contrast_hu / 700.0).min(1.0) } else { 1.0 };
                values[index] += (solid - values[index]) * covered * hides * hides;
                coverage[index] = coverage[index].max(covered);
            }
        });
        canvas.values = values;
    }
}
