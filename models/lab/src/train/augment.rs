//! Augmentation: every change drawn from the seed of its sample, so that a resumed run sees the same.

use super::source::Sample;
use crate::metrics::SplitMix64;
use serde::Deserialize;

/// Cells of the elastic field along each side.
const CELLS: usize = 4;

/// How far each change may go; 0 or false leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Whether columns may be mirrored.
    pub flip_columns: bool,
    /// Whether rows may be mirrored.
    pub flip_rows: bool,
    /// Largest rotation in degrees.
    pub rotate: f64,
    /// Largest relative change of size, below 1.
    pub scale: f64,
    /// Largest displacement of a smooth random field, as a share of the shorter side (Simard et al. 2003).
    pub elastic: f64,
    /// Largest relative change of gain, and of offset in units of full scale.
    pub intensity: f64,
    /// Largest standard deviation of added noise in units of full scale.
    pub noise: f64,
}

impl Augmentation {
    /// Settings out of range, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let limits = [
            ("rotate", self.rotate, 180.0),
            ("scale", self.scale, 0.9),
            ("elastic", self.elastic, 0.5),
            ("intensity", self.intensity, 1.0),
            ("noise", self.noise, 1.0),
        ];
        let wrong = limits.iter().filter(|(_, value, most)| !(0.0..=*most).contains(value));
        wrong
            .map(|(key, value, most)| format!("augmentation.{key} is {value}: it must lie within 0..={most}"))
            .collect()
    }

    /// `sample` of `shape` (channels, rows, columns; values 0..1) changed as `seed` draws it.
    #[must_use]
    pub fn apply(&self, sample: Sample, shape: [usize; 3], seed: u64) -> Sample {
        if *self == Self::default() {
            return sample;
        }
        let mut random = Draw(SplitMix64::new(seed));
        let warp = Warp::draw(self, shape, &mut random);
        let mut changed = if warp.moves() { warp.apply(&sample, shape) } else { sample };
        let gain = 1.0 + self.intensity * random.signed();
        let offset = self.intensity * random.signed();
        let deviation = self.noise * random.0.unit();
        if self.intensity > 0.0 || self.noise > 0.0 {
            for value in &mut changed.image {
                let noise = if deviation > 0.0 { deviation * random.normal() } else { 0.0 };
                *value = (f64::from(*value) * gain + offset + noise).clamp(0.0, 1.0) as f32;
            }
        }
        changed
    }
}

/// Random numbers of one sample.
struct Draw(SplitMix64);

impl Draw {
    /// −1..1
    fn signed(&mut self) -> f64 {
        2.0 * self.0.unit() - 1.0
    }

    /// Mean 0, deviation 1 (Box & Muller 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.0.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.0.unit()).cos()
    }
}

/// Where each pixel of the result is taken from.
struct Warp {
    /// Columns and rows mirrored.
    flips: [bool; 2],
    /// Rows (y, x) of the inverse map about the middle.
    matrix: [[f64; 2]; 2],
    /// Displacements at the corners of the cells, in pixels.
    field: Vec<[f64; 2]>,
}

impl Warp {
    fn draw(limits: &Augmentation, shape: [usize; 3], random: &mut Draw) -> Self {
        let flips = [limits.flip_columns, limits.flip_rows].map(|may| random.0.unit() < 0.5 && may);
        let (sin, cos) = (limits.rotate * random.signed()).to_radians().sin_cos();
        let zoom = 1.0 / (1.0 + limits.scale * random.signed());
        let reach = limits.elastic * shape[1].min(shape[2]) as f64;
        let corners = (CELLS + 1) * (CELLS + 1);
        let field = (0..corners).map(|_| [reach * random.signed(), reach * random.signed()]).collect();
        Self { flips, matrix: [[cos * zoom, -sin * zoom], [sin * zoom, cos * zoom]], field }
    }

    fn moves(&self) -> bool {
        let still = self.matrix == [[1.0, 0.0], [0.0, 1.0]] || self.matrix == [[1.0, -0.0], [0.0, 1.0]];
        self.flips != [false; 2] || !still || self.field.iter().any(|own| *own != [0.0; 2])
    }

    /// Position (y, x) in the sample of the result's pixel.
    fn source(&self, [y, x]: [usize; 2], [height, width]: [usize; 2]) -> [f64; 2] {
        let mirrored = |at: usize, extent: usize, flip: bool| if flip { extent - 1 - at } else { at };
        let (y, x) = (mirrored(y, height, self.flips[1]), mirrored(x, width, self.flips[0]));
        let middle = [(height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0];
        let own = [y as f64 - middle[0], x as f64 - middle[1]];
        let shift = self.displacement([y as f64 / height as f64, x as f64 / width as f64]);
        let of = |axis: usize| {
            middle[axis] + self.matrix[axis][0] * own[0] + self.matrix[axis][1] * own[1] + shift[axis]
        };
        [of(0), of(1)]
    }

    /// The field at a place within 0..1, linear within each cell.
    fn displacement(&self, place: [f64; 2]) -> [f64; 2] {
        let at = place.map(|p| p * CELLS as f64);
        let cell = at.map(|p| (p as usize).min(CELLS - 1));
        let share = [at[0] - cell[0] as f64, at[1] - cell[1] as f64];
        let corner = |dy: usize, dx: usize| self.field[(cell[0] + dy) * (CELLS + 1) + cell[1] + dx];
        [0, 1].map(|axis| {
            let row = |dy: usize| corner(dy, 0)[axis] * (1.0 - share[1]) + corner(dy, 1)[axis] * share[1];
            row(0) * (1.0 - share[0]) + row(1) * share[0]
        })
    }

    /// Images linearly, labels from the nearest pixel, edges repeated.
    fn apply(&self, sample: &Sample, [channels, height, width]: [usize; 3]) -> Sample {
        let pixels = height * width;
        let mut changed = Sample { image: vec![0.0; channels * pixels], labels: vec![0; pixels] };
        for y in 0..height {
            for x in 0..width {
                let place = self.source([y, x], [height, width]);
                let place =
                    [place[0].clamp(0.0, (height - 1) as f64), place[1].clamp(0.0, (width - 1) as f64)];
                let at = y * width + x;
                let nearest = place.map(|p| (p + 0.5) as usize);
                changed.labels[at] =
                    sample.labels[nearest[0].min(height - 1) * width + nearest[1].min(width - 1)];
                let first = place.map(|p| p as usize);
                let second = [(first[0] + 1).min(height - 1), (first[1] + 1).min(width - 1)];
                let share = [place[0] - first[0] as f64, place[1] - first[1] as f64];
                for channel in 0..channels {
                    let value =
                        |y: usize, x: usize| f64::from(sample.image[channel * pixels + y * width + x]);
                    let row =
                        |y: usize| value(y, first[1]) * (1.0 - share[1]) + value(y, second[1]) * share[1];
                    let value = row(first[0]) * (1.0 - share[0]) + row(second[0]) * share[0];
                    changed.image[channel * pixels + at] = value as f32;
                }
            }
        }
        changed
    }
}
