//! Blood vessels and airways of the lungs: branching curves from the hilum, and cross-sections as dots.

use super::anatomy::Anatomy;
use super::geometry::{Canvas, Vector, capsule, length, turned};
use super::random::Random;

/// Most branches of one lung, which bounds the work.
const MAX_BRANCHES: usize = 320;

struct Branch {
    start: Vector,
    direction: Vector,
    /// Radius in millimetres where it begins.
    radius: f64,
    /// Whether an airway runs beside it.
    airway: bool,
}

/// A piece of an airway: its ends and its outer radius.
type Airway = (Vector, Vector, f64);

/// What the vessels of one slice are drawn into.
struct Tree<'a> {
    canvas: &'a Canvas,
    anatomy: &'a Anatomy,
    random: &'a mut Random,
    density: f64,
    /// How much of each pixel is vessel.
    coverage: Vec<f64>,
    airways: Vec<Airway>,
}

/// Paints the vessels of both lungs and returns how much of each pixel is vessel, 0..=1.
pub(super) fn paint(
    canvas: &mut Canvas,
    anatomy: &Anatomy,
    lung: &[f64],
    density: f64,
    random: &mut Random,
) -> Vec<f64> {
    let coverage = vec![0.0; canvas.values.len()];
    let mut tree = Tree { canvas, anatomy, random, density, coverage, airways: Vec::new() };
    for side in [-1.0, 1.0] {
        tree.grow(side);
        tree.scatter(side);
    }
    let Tree { mut coverage, airways, .. } = tree;
    let blood = anatomy.blood() * 0.6;
    for ((value, covered), lung) in canvas.values.iter_mut().zip(&mut coverage).zip(lung) {
        *covered *= lung;
        *value += (blood - *value) * *covered;
    }
    // All walls before all lumens, so that the pieces of one airway join.
    for (share, value) in [(1.0, -450.0), (0.64, -985.0)] {
        for &(start, end, radius) in &airways {
            canvas.paint_capsule(start, end, (radius * share, radius * share), value);
        }
    }
    coverage
}

impl Tree<'_> {
    /// Branches that bend, taper and fork until they are thin or near the pleura.
    fn grow(&mut self, side: f64) {
        let mut open = self.roots(side);
        let thinnest = 0.65 - 0.35 * self.density;
        let mut grown = 0;
        while let Some(branch) = open.pop() {
            grown += 1;
            let (start, direction, radius) = self.extend(&branch, side);
            if radius < thinnest || grown + open.len() >= MAX_BRANCHES {
                continue;
            }
            let spread = self.random.between(0.12, 0.34);
            let shares = [self.random.between(0.74, 0.92), self.random.between(0.5, 0.78)];
            for (turn, share) in [spread, spread * -0.8].into_iter().zip(shares) {
                let child = radius * share;
                let kept = self.random.unit() < 0.7 + 0.3 * self.density;
                if kept && child > thinnest {
                    let airway = branch.airway && child > 1.3;
                    open.push(Branch { start, direction: turned(direction, turn), radius: child, airway });
                }
            }
        }
    }

    /// The first branches, fanned out from the hilum over about 190 degrees.
    fn roots(&mut self, side: f64) -> Vec<Branch> {
        let hilum = self.anatomy.hilum(side);
        let count = (self.density * 9.0 + 0.9) as usize;
        let branch = |number: usize| {
            let fan = (number as f64 + 0.5) / count as f64 * 2.2 - 1.1;
            let random = &mut *self.random;
            let start =
                (hilum.0 + random.between(-3.0, 6.0), hilum.1 + fan * 14.0 + random.between(-4.0, 4.0));
            let direction = turned((side, 0.0), side * fan + random.between(-0.12, 0.12));
            let size = random.unit();
            Branch { start, direction, radius: 1.0 + 2.2 * size * size, airway: random.unit() < 0.45 }
        };
        (0..count).map(branch).collect()
    }

    /// Draws one branch; where it ends, its direction there and its radius, zero if nothing follows.
    fn extend(&mut self, branch: &Branch, side: f64) -> (Vector, Vector, f64) {
        let Branch { mut start, mut direction, mut radius, airway } = *branch;
        // Some branches leave the slice early, some are cut obliquely and look fainter.
        let leaves = self.random.unit() < 0.22;
        let segments = if leaves { 1 } else { 2 + self.random.below(3) };
        let strength = self.random.between(0.6, 1.0);
        for _ in 0..segments {
            direction = turned(direction, self.random.between(-0.11, 0.11));
            let step = self.random.between(4.0, 7.0) * (0.7 + radius * 0.2);
            let end = (start.0 + direction.0 * step, start.1 + direction.1 * step);
            let at_pleura = self.anatomy.lung_distance(side, end) > -3.0 && radius < 1.5;
            let tapered = if at_pleura { 0.0 } else { radius * 0.93 };
            self.cover(start, end, (radius, tapered.max(radius * 0.4)), strength);
            if airway && radius > 1.2 {
                let offset = radius * 1.8;
                let beside = |(x, y): Vector| (x - direction.1 * offset, y + direction.0 * offset);
                let (from, to) = (beside(start), beside(end));
                let inside = |point| self.anatomy.lung_distance(side, point) < -radius;
                if inside(from) && inside(to) {
                    self.airways.push((from, to, radius));
                }
            }
            (start, radius) = (end, tapered);
            if at_pleura {
                break;
            }
        }
        (start, direction, if leaves { 0.0 } else { radius })
    }

    /// Vessels that run through or obliquely to the slice: dots and short strokes away from the hilum,
    /// thinner towards the pleura.
    fn scatter(&mut self, side: f64) {
        let hilum = self.anatomy.hilum(side);
        for _ in 0..(self.density * 300.0) as usize {
            let point = (side * self.random.between(5.0, 125.0), self.random.between(-90.0, 90.0));
            let (size, tilt, bend) =
                (self.random.unit(), self.random.unit(), self.random.between(-0.35, 0.35));
            let depth = -self.anatomy.lung_distance(side, point);
            if depth < 2.5 {
                continue;
            }
            let outwards = (point.0 - hilum.0, point.1 - hilum.1);
            let distance = length(outwards).max(1.0);
            let central = depth / (depth + distance);
            let radius = 0.25 + (0.5 + 1.6 * central) * size * size;
            let stroke = (tilt * tilt * tilt * 12.0).min(depth - 2.0);
            let along = turned((outwards.0 / distance, outwards.1 / distance), bend);
            let end = (point.0 + along.0 * stroke, point.1 + along.1 * stroke);
            self.cover(point, end, (radius, radius * 0.5), 0.45 + 0.4 * size);
        }
    }

    /// Raises the coverage along a tapered line; lines thinner than a pixel cover only their share of it.
    fn cover(&mut self, start: Vector, end: Vector, radii: Vector, strength: f64) {
        let reach = radii.0.max(radii.1);
        let low = (start.0.min(end.0) - reach, start.1.min(end.1) - reach);
        let high = (start.0.max(end.0) + reach, start.1.max(end.1) + reach);
        let share = strength * (2.0 * reach / self.canvas.pixel).min(1.0);
        let coverage = &mut self.coverage;
        self.canvas.visit(low, high, |index, point| {
            let covered = self.canvas.coverage(capsule(point, start, end, radii)) * share;
            coverage[index] = coverage[index].max(covered);
        });
    }
}
