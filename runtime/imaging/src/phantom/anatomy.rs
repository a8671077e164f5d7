//! The chest around the nodules: body wall, bones, mediastinum and lungs, from a level and a few
//! variations.

use super::geometry::{Canvas, Harmonics, Vector, capsule, ellipse, length, smooth_max, smooth_min, turned};
use super::random::{Random, fractal_noise};

/// Width of the slice in millimetres.
pub(super) const FIELD_MM: f64 = 360.0;

// Typical values in Hounsfield units.
pub(super) const AIR_HU: f64 = -1000.0;
const FAT_HU: f64 = -100.0;
const MUSCLE_HU: f64 = 50.0;
const BLOOD_HU: f64 = 45.0;
const CORTICAL_BONE_HU: f64 = 700.0;
const MARROW_HU: f64 = 230.0;
const LUNG_HU: f64 = -865.0;

/// Directions of the ribs of one side from the middle of the chest (x outwards, y backwards), as unit
/// vectors.
const RIBS: [Vector; 6] =
    [(0.6, -0.8), (0.923, -0.385), (0.995, 0.1), (0.882, 0.471), (0.64, 0.768), (0.352, 0.936)];

/// The shapes of one slice, in millimetres from the middle of the body.
pub(super) struct Anatomy {
    level: f64,
    /// How much of the heart the slice cuts: 0..=1.
    heart: f64,
    /// Radius of the liver's dome, zero above it.
    liver: f64,
    body: Vector,
    body_outline: Harmonics,
    fat: f64,
    cavity: Vector,
    cavity_outline: Harmonics,
    /// HU that a contrast agent adds to blood.
    enhancement: f64,
    rib_shift: f64,
    rib_half_length: [f64; 12],
    /// Where vessels and airways enter the left and the right lung of the picture.
    hila: [Vector; 2],
}

impl Anatomy {
    pub fn new(level: f64, girth: f64, random: &mut Random) -> Self {
        let grown = smooth_step(level * 1.7);
        let mut outline = |flat_back: f64, square: f64, variation: f64| {
            let typical = [(0.0, 0.0), (0.0, flat_back), (-square, 0.0), (0.0, 0.0)];
            let varied = typical.map(|(x, y)| {
                let (across, along) = random.direction();
                let size = variation * random.unit();
                (x + across * size, y + along * size)
            });
            Harmonics::new(2, varied.to_vec())
        };
        let (body_outline, cavity_outline) = (outline(0.02, 0.035, 0.011), outline(0.035, 0.03, 0.014));
        let size = 0.8 + 0.2 * grown;
        let mut anatomy = Self {
            level,
            heart: smooth_step((level - 0.3) / 0.5),
            // The dome appears at once, so that it is never mistaken for a nodule.
            liver: if level < 0.8 { 0.0 } else { 26.0 + (level - 0.8) * 110.0 },
            body: (150.0 + 17.0 * girth, 124.0 - 12.0 * girth),
            body_outline,
            fat: random.between(7.0, 15.0),
            cavity: ((119.0 + 8.0 * girth) * size, (90.0 - 8.0 * girth) * size),
            cavity_outline,
            enhancement: random.between(0.0, 150.0),
            rib_shift: random.between(-0.07, 0.07),
            rib_half_length: [0; 12].map(|_| random.between(0.03, 0.11)),
            hila: [(0.0, 0.0); 2],
        };
        anatomy.hila = [-1.0, 1.0].map(|side| anatomy.find_hilum(side));
        anatomy
    }

    /// The first point inside the lung from beside the windpipe outwards and backwards.
    fn find_hilum(&self, side: f64) -> Vector {
        let mut point = (2.0 + side * 28.0, 6.0);
        for _ in 0..16 {
            if self.lung_distance(side, point) < -1.0 {
                break;
            }
            point = (point.0 + side * 3.0, point.1 + 0.8);
        }
        point
    }

    /// Depth of tissue around a point: 1 in the middle of the body to 0 at its outline and outside.
    pub fn tissue_depth(&self, (x, y): Vector) -> f64 {
        let (u, v) = (x / self.body.0, y / self.body.1);
        (1.0 - u * u - v * v).max(0.0)
    }

    /// Where vessels and airways enter the lung of `side`: −1 left in the picture, 1 right.
    pub fn hilum(&self, side: f64) -> Vector {
        self.hila[usize::from(side > 0.0)]
    }

    /// HU of blood in this slice.
    pub fn blood(&self) -> f64 {
        BLOOD_HU + self.enhancement
    }

    /// Signed distance to the lung of `side`, negative inside.
    pub fn lung_distance(&self, side: f64, point: Vector) -> f64 {
        let open = smooth_max(self.cavity_distance(point), -self.mediastinum_distance(point), 7.0);
        open.max(-side * (point.0 - 2.0))
    }

    fn body_distance(&self, point: Vector) -> f64 {
        ellipse(point, (0.0, 0.0), self.body) - self.body.1 * self.body_outline.at(point)
    }

    fn cavity_distance(&self, point: Vector) -> f64 {
        ellipse(point, (0.0, -3.0), self.cavity) - self.cavity.1 * self.cavity_outline.at(point)
    }

    /// Centre and half axes of the heart.
    fn heart_shape(&self) -> (Vector, Vector) {
        let grown = self.heart;
        ((8.0 + 14.0 * grown, -22.0 - 3.0 * grown), (22.0 + 34.0 * grown, 22.0 + 24.0 * grown))
    }

    fn vertebra(&self) -> Vector {
        (0.0, self.cavity.1 - 24.0)
    }

    fn aorta(&self) -> Vector {
        (25.0, self.cavity.1 - 38.0)
    }

    fn mediastinum_distance(&self, point: Vector) -> f64 {
        let (heart, heart_axes) = self.heart_shape();
        let (_, spine) = self.vertebra();
        // The heart lies oblique: its axes are turned by about 25 degrees.
        let turned_point = turned((point.0 - heart.0, point.1 - heart.1), -0.22);
        let parts = [
            ellipse(point, (2.0, -20.0), (23.0 + 8.0 * self.level, 54.0)),
            ellipse(turned_point, (0.0, 0.0), heart_axes),
            ellipse(point, (0.0, spine + 4.0), (27.0, 25.0)),
            length((point.0 - self.aorta().0, point.1 - self.aorta().1)) - 14.0,
            (point.0 - 2.0).abs() - 5.0,
        ];
        let joined = parts.into_iter().reduce(|joined, part| smooth_min(joined, part, 12.0)).unwrap_or(0.0);
        if self.liver > 0.0 {
            joined.min(ellipse(point, (-58.0, 2.0), (self.liver, self.liver * 0.85)))
        } else {
            joined
        }
    }

    /// Paints everything but vessels and nodules; returns how much of each pixel is lung, 0..=1.
    pub fn paint(&self, canvas: &mut Canvas, texture: u64) -> Vec<f64> {
        self.paint_table(canvas);
        self.paint_wall(canvas, texture);
        self.paint_mediastinum(canvas, texture);
        self.paint_spine(canvas, texture);
        self.paint_ribs(canvas);
        self.paint_lungs(canvas, texture)
    }

    /// The table under the patient: two thin curved sheets with foam between.
    fn paint_table(&self, canvas: &mut Canvas) {
        let top = self.body.1 + 9.0;
        let sheet = |(x, y): Vector, drop: f64| {
            let depth = y - (top + drop - x * x / 1100.0);
            (depth, x.abs() - 185.0)
        };
        let (low, high) = ((-186.0, top - 32.0), (186.0, top + 22.0));
        for (drop, half_thickness, value) in [(10.0, 10.0, -930.0), (0.0, 1.0, -420.0), (20.0, 1.0, -420.0)] {
            let distance = |point| {
                let (depth, beyond) = sheet(point, drop);
                (depth.abs() - half_thickness).max(beyond)
            };
            canvas.paint_within(low, high, distance, |_| value);
        }
    }

    /// Skin, fat and muscle.
    fn paint_wall(&self, canvas: &mut Canvas, texture: u64) {
        let reach = (self.body.0 * 1.1, self.body.1 * 1.1);
        let corner = (-reach.0, -reach.1);
        canvas.paint_within(
            corner,
            reach,
            |point| self.body_distance(point),
            |point| {
                let skin = self.body_distance(point) > -1.8;
                if skin { 10.0 } else { FAT_HU + 24.0 * fractal_noise(texture ^ 10, point.0, point.1, 12.0) }
            },
        );
        canvas.paint_within(
            corner,
            reach,
            |point| {
                // More fat on the sides and over the breastbone than along the back.
                let side = (point.0 / self.body.0) * (point.0 / self.body.0);
                self.body_distance(point) + self.fat * (0.7 + 0.5 * side)
            },
            |(x, y)| {
                let strand = fractal_noise(texture ^ 11, x * 0.6, y, 17.0);
                MUSCLE_HU + (FAT_HU - MUSCLE_HU) * smooth_step((strand - 0.12) * 7.0)
            },
        );
        // Intercostal muscle lines the cavity evenly.
        canvas.paint_within(corner, reach, |point| self.cavity_distance(point) - 11.0, |_| MUSCLE_HU);
    }

    fn paint_mediastinum(&self, canvas: &mut Canvas, texture: u64) {
        canvas.paint_within(
            (-self.cavity.0, -self.cavity.1 - 6.0),
            (self.cavity.0, self.cavity.1 + 6.0),
            |point| self.mediastinum_distance(point).max(self.cavity_distance(point)),
            |(x, y)| FAT_HU + 50.0 * (0.5 + fractal_noise(texture ^ 12, x, y, 20.0)),
        );
        let ((x, y), (across, along)) = self.heart_shape();
        let oblique = |point: Vector, shrink: f64| {
            ellipse(turned((point.0 - x, point.1 - y), -0.22), (0.0, 0.0), (across - shrink, along - shrink))
        };
        let (low, high) = ((x - across, y - across), (x + across, y + across));
        canvas.paint_within(low, high, |point| oblique(point, 3.0), |_| MUSCLE_HU);
        let blood = self.blood();
        if self.heart > 0.4 {
            // Left and right chambers within the muscle.
            let (left, right) =
                ((x + across * 0.32, y + along * 0.12), (x - across * 0.38, y - along * 0.12));
            canvas.paint_ellipse(left, (across * 0.36, along * 0.42), blood);
            canvas.paint_ellipse(right, (across * 0.38, along * 0.5), blood + 10.0);
        } else {
            // The great vessels above the heart.
            canvas.paint_ellipse((-12.0, -32.0), (12.0, 11.0), blood + 20.0);
            canvas.paint_ellipse((14.0, -28.0), (13.0, 12.0), blood);
        }
        let aorta = self.aorta();
        canvas.paint_ellipse(aorta, (12.0, 12.0), blood);
        canvas.paint_ellipse((aorta.0 - 17.0, aorta.1 - 7.0), (6.5, 5.0), 35.0);
        if self.level < 0.4 {
            canvas.paint_ellipse((2.0, 2.0), (10.5, 9.5), MUSCLE_HU);
            canvas.paint_ellipse((2.0, 2.0), (8.5, 7.5), AIR_HU + 5.0);
        } else {
            for side in [-1.0, 1.0] {
                let (centre, radius) = ((2.0 + side * 17.0, 6.0), 6.5 - 3.0 * self.heart);
                canvas.paint_ellipse(centre, (radius + 2.0, radius + 1.2), MUSCLE_HU);
                canvas.paint_ellipse(centre, (radius, radius - 0.8), AIR_HU + 5.0);
            }
        }
        if self.liver > 0.0 {
            canvas.paint_ellipse(
                (-58.0, 2.0),
                (self.liver, self.liver * 0.85),
                60.0 + self.enhancement * 0.3,
            );
        }
    }

    fn paint_spine(&self, canvas: &mut Canvas, texture: u64) {
        let (x, y) = self.vertebra();
        let (low, high) = ((x - 24.0, y - 20.0), (x + 24.0, y + 20.0));
        canvas.paint_within(low, high, |p| ellipse(p, (x, y), (20.0, 16.0)), |_| CORTICAL_BONE_HU * 0.8);
        canvas.paint_within(
            low,
            high,
            |p| ellipse(p, (x, y), (18.2, 14.2)),
            |p| MARROW_HU + 90.0 * fractal_noise(texture ^ 13, p.0, p.1, 5.0),
        );
        let canal = y + 22.0;
        for side in [-1.0, 1.0] {
            let arch = [(side * 11.0, y + 13.0), (side * 12.5, canal + 4.0), (side * 1.0, canal + 13.0)];
            canvas.paint_capsule(arch[0], arch[1], (4.0, 3.4), CORTICAL_BONE_HU * 0.75);
            canvas.paint_capsule(arch[1], arch[2], (3.4, 3.2), CORTICAL_BONE_HU * 0.75);
            let tip = (side * 36.0, canal + 1.0);
            canvas.paint_capsule(arch[1], tip, (4.2, 4.8), CORTICAL_BONE_HU * 0.7);
            canvas.paint_capsule(arch[1], tip, (2.0, 2.8), MARROW_HU);
        }
        canvas.paint_capsule((0.0, canal + 12.0), (0.5, canal + 25.0), (3.4, 2.6), CORTICAL_BONE_HU * 0.75);
        canvas.paint_ellipse((0.0, canal), (9.0, 8.0), 25.0);
        canvas.paint_ellipse((0.0, canal), (4.5, 4.0), 45.0);
    }

    /// Ribs, shoulder blades in upper slices, and the breastbone.
    fn paint_ribs(&self, canvas: &mut Canvas) {
        let around = |direction: Vector, side: f64, gap: f64| {
            (direction.0 * side * (self.cavity.0 + gap), direction.1 * (self.cavity.1 + gap) - 3.0)
        };
        for (number, &half_length) in self.rib_half_length.iter().enumerate() {
            let side = if number % 2 == 0 { -1.0 } else { 1.0 };
            let direction = turned(RIBS[number / 2], self.rib_shift);
            let points =
                [-1.0, -0.35, 0.35, 1.0].map(|step| around(turned(direction, half_length * step), side, 7.5));
            for (radius, value) in [(4.3, CORTICAL_BONE_HU), (2.7, MARROW_HU)] {
                for pair in points.windows(2) {
                    canvas.paint_capsule(pair[0], pair[1], (radius, radius), value);
                }
            }
        }
        if self.level < 0.6 {
            for side in [-1.0, 1.0] {
                let blade = [(0.96, 0.28), (0.87, 0.493), (0.731, 0.682)].map(|at| around(at, side, 21.0));
                canvas.paint_capsule(blade[0], blade[1], (4.0, 2.2), CORTICAL_BONE_HU * 0.8);
                canvas.paint_capsule(blade[1], blade[2], (2.2, 3.0), CORTICAL_BONE_HU * 0.8);
            }
        }
        let front = -(self.cavity.1 + 10.0);
        canvas.paint_ellipse((0.0, front), (17.0, 6.5), CORTICAL_BONE_HU * 0.6);
        canvas.paint_ellipse((0.0, front), (15.0, 4.6), MARROW_HU * 0.7);
    }

    fn paint_lungs(&self, canvas: &mut Canvas, texture: u64) -> Vec<f64> {
        let mut lung = vec![0.0; canvas.values.len()];
        let mut values = std::mem::take(&mut canvas.values);
        let reach = (self.cavity.0 * 1.1, self.cavity.1 * 1.1 + 3.0);
        canvas.visit((-reach.0, -reach.1), reach, |index, point| {
            let side = if point.0 < 2.0 { -1.0 } else { 1.0 };
            let coverage = canvas.coverage(self.lung_distance(side, point));
            if coverage > 0.0 {
                // Denser towards the back, where the blood settles in a lying patient.
                let gravity = 45.0 * point.1 / self.cavity.1;
                let fine = 46.0 * fractal_noise(texture, point.0, point.1, 8.0);
                let broad = 40.0 * fractal_noise(texture ^ 14, point.0, point.1, 60.0);
                values[index] += (LUNG_HU + gravity + fine + broad - values[index]) * coverage;
                lung[index] = coverage;
            }
        });
        canvas.values = values;
        self.paint_fissures(canvas, &lung);
        lung
    }

    /// The oblique fissures, a faint thin line across each lung.
    fn paint_fissures(&self, canvas: &mut Canvas, lung: &[f64]) {
        let mut values = std::mem::take(&mut canvas.values);
        for side in [-1.0, 1.0] {
            let (start, end) = (self.hilum(side), (side * self.cavity.0, 34.0 - 50.0 * self.level));
            let middle = ((start.0 + end.0) * 0.5, (start.1 + end.1) * 0.5 - 7.0);
            canvas.visit((-self.cavity.0, -60.0), (self.cavity.0, 60.0), |index, point| {
                let line = |from, to| capsule(point, from, to, (0.25, 0.25));
                let coverage = canvas.coverage(line(start, middle).min(line(middle, end)));
                values[index] += 90.0 * coverage * lung[index];
            });
        }
        canvas.values = values;
    }
}

/// 0 below 0, 1 above 1, 3x² − 2x³ between.
fn smooth_step(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}
