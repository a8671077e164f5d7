//! Three more families of synthetic images, cells, vessels and speckle, each with its posterior known.

#[cfg(test)]
mod tests;

use super::geometry::{Canvas, Vector, capsule, ellipse, turned};
use super::random::{Random, fractal_noise};
use super::{PhantomError, Range, check_range, check_sides};
use crate::frame::{Frame, Samples, Source};
use crate::labels::Labels;

/// Width in pixels of the rim that a reader may or may not count to an object.
pub const RIM: f64 = 1.5;

/// Most objects in one image.
pub const MAX_OBJECTS: u32 = 64;

/// What the images look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bright ellipses on dark, unevenly lit ground, as in fluorescence microscopy.
    Cells,
    /// Bright branching lines on mottled ground, as in angiography.
    Vessels,
    /// Dark ellipses in layered tissue under fully developed speckle that grows fainter with depth, as in
    /// ultrasound.
    Speckle,
}

/// Everything that can vary; each factor is drawn on its own from its range.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilyConfig {
    /// Which family.
    pub kind: Kind,
    /// Columns, 16 to [`super::MAX_SIDE`].
    pub width: usize,
    /// Rows likewise.
    pub height: usize,
    /// Fewest and most objects, at most [`MAX_OBJECTS`].
    pub objects: (u32, u32),
    /// Half axis of an ellipse, or twice the radius of a vessel, in pixels, within 1..=100.
    pub size: Range,
    /// Object against ground, in units of full scale, within 0..=1.
    pub contrast: Range,
    /// Standard deviation of the noise in units of full scale; for speckle the share of it in the
    /// amplitude, within 0..=1.
    pub noise: Range,
    /// Probability that the reader counts the rim of an object to it, within 0..=1.
    pub ambiguity: Range,
}

impl FamilyConfig {
    /// Images of `width` by `height` with a few objects, rims counted half of the time.
    #[must_use]
    pub const fn new(kind: Kind, width: usize, height: usize) -> Self {
        let (objects, size, contrast, noise) = match kind {
            Kind::Cells => ((3, 9), Range::new(3.0, 7.0), Range::new(0.15, 0.5), Range::new(0.03, 0.1)),
            Kind::Vessels => ((2, 4), Range::new(2.0, 4.0), Range::new(0.15, 0.4), Range::new(0.03, 0.1)),
            Kind::Speckle => ((1, 3), Range::new(5.0, 11.0), Range::new(0.3, 0.9), Range::new(0.6, 1.0)),
        };
        Self { kind, width, height, objects, size, contrast, noise, ambiguity: Range::only(0.5) }
    }
}

/// An image, what the reader marked, and how probable each mark was.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Gray, 8 bits.
    pub frame: Frame,
    /// 0 background, 1 object, as one reader drew it.
    pub labels: Labels,
    /// Probability of label 1 given everything but the reader, `[height · width]`: 0, 1, or within a rim the
    /// ambiguity.
    pub posterior: Vec<f32>,
}

/// An endless source of images, each fixed by configuration, seed and index; bytes repeat on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilyPhantom {
    config: FamilyConfig,
    seed: u64,
}

/// What the random streams are for; each purpose draws from its own.
#[derive(Clone, Copy)]
enum Purpose {
    Image,
    Object,
    Noise,
    Reader,
}

/// One object by its signed distance.
enum Shape {
    Ellipse {
        centre: Vector,
        axes: Vector,
    },
    /// Points along a line and its radius.
    Line {
        points: Vec<Vector>,
        radius: f64,
    },
}

impl Shape {
    fn distance(&self, point: Vector) -> f64 {
        match self {
            Self::Ellipse { centre, axes } => ellipse(point, *centre, *axes),
            Self::Line { points, radius } => points
                .windows(2)
                .map(|pair| capsule(point, pair[0], pair[1], (*radius, *radius)))
                .fold(f64::INFINITY, f64::min),
        }
    }
}

impl FamilyPhantom {
    /// A source of images.
    ///
    /// # Errors
    /// A [`PhantomError`] listing every extent or range that is out of bounds or reversed.
    pub fn new(config: FamilyConfig, seed: u64) -> Result<Self, PhantomError> {
        let mut problems = Vec::new();
        check_sides(config.width, config.height, &mut problems);
        let (low, high) = config.objects;
        if low > high || high > MAX_OBJECTS {
            problems
                .push(format!("objects is {low}..={high}: ascending counts up to {MAX_OBJECTS} are needed"));
        }
        let ranges = [
            (("size", 1.0, 100.0), config.size),
            (("contrast", 0.0, 1.0), config.contrast),
            (("noise", 0.0, 1.0), config.noise),
            (("ambiguity", 0.0, 1.0), config.ambiguity),
        ];
        for (bound, range) in ranges {
            check_range(bound, range, &mut problems);
        }
        if problems.is_empty() { Ok(Self { config, seed }) } else { Err(PhantomError(problems)) }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &FamilyConfig {
        &self.config
    }

    /// Image `index`.
    #[must_use]
    pub fn scene(&self, index: u64) -> Scene {
        let config = &self.config;
        let mut image = self.random(index, Purpose::Image);
        let draw = |random: &mut Random, range: Range| random.between(range.low, range.high);
        let (least, most) = config.objects;
        let count = least + image.below(u64::from(most - least) + 1) as u32;
        let contrast = draw(&mut image, config.contrast);
        let noise = draw(&mut image, config.noise);
        let ambiguity = draw(&mut image, config.ambiguity);
        let ground = image.next();
        let light = image.direction();
        let mut objects = self.random(index, Purpose::Object);
        let shapes: Vec<Shape> = (0..count).map(|_| self.shape(&mut objects)).collect();

        let mut canvas = Canvas::new(config.width, config.height, 1.0, (0.0, 0.0), 0.0);
        let mut reader = self.random(index, Purpose::Reader);
        let counts_rim: Vec<bool> = shapes.iter().map(|_| reader.unit() < ambiguity).collect();
        let pixels = config.width * config.height;
        let (mut labels, mut posterior) = (vec![0u8; pixels], vec![0f32; pixels]);
        for at in 0..pixels {
            let point = canvas.point(at / config.width, at % config.width);
            let mut cover = 0.0f64;
            // Rims of several objects: the pixel is background only if no reader's rim takes it.
            let mut spared = 1.0f64;
            for (shape, &rim) in shapes.iter().zip(&counts_rim) {
                let distance = shape.distance(point);
                cover = cover.max(canvas.coverage(distance)).max(0.6 * canvas.coverage(distance - RIM));
                if distance < 0.0 {
                    (labels[at], spared) = (1, 0.0);
                } else if distance < RIM {
                    labels[at] = labels[at].max(u8::from(rim));
                    spared *= 1.0 - ambiguity;
                }
            }
            posterior[at] = (1.0 - spared) as f32;
            canvas.values[at] = self.value(ground, light, point, cover * contrast);
        }
        self.degrade(&mut canvas, noise, &mut self.random(index, Purpose::Noise));
        let samples = canvas.values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
        let name = format!("{:?}-{:016x}-{index}", config.kind, self.seed).to_lowercase();
        let frame =
            Frame::from_valid(config.width, config.height, Samples::U8(samples), Source::new(name, 8));
        Scene { frame, labels: Labels::from_valid(config.width, config.height, labels), posterior }
    }

    fn random(&self, index: u64, purpose: Purpose) -> Random {
        Random::new(self.seed, &[self.config.kind as u64, index, purpose as u64])
    }

    fn shape(&self, random: &mut Random) -> Shape {
        let config = &self.config;
        let (half_width, half_height) = (config.width as f64 * 0.5, config.height as f64 * 0.5);
        let place = (random.between(-half_width, half_width), random.between(-half_height, half_height));
        let size = random.between(config.size.low, config.size.high);
        if config.kind != Kind::Vessels {
            return Shape::Ellipse { centre: place, axes: (size, size * random.between(0.6, 1.0)) };
        }
        let mut heading = random.direction();
        let stride = (config.width + config.height) as f64 / 24.0;
        let mut points = vec![(place.0 - heading.0 * stride * 6.0, place.1 - heading.1 * stride * 6.0)];
        let mut end = points[0];
        for _ in 0..12 {
            heading = turned(heading, random.between(-0.2, 0.2));
            end = (end.0 + heading.0 * stride, end.1 + heading.1 * stride);
            points.push(end);
        }
        Shape::Line { points, radius: size * 0.5 }
    }

    /// Brightness at `point` before noise; `mark` is how much of an object's contrast applies.
    fn value(&self, ground: u64, light: Vector, point: Vector, mark: f64) -> f64 {
        let (width, height) = (self.config.width as f64, self.config.height as f64);
        let (x, y) = (point.0 / width, point.1 / height);
        match self.config.kind {
            Kind::Cells => 0.15 + 0.1 * (x * light.0 + y * light.1) + mark,
            Kind::Vessels => 0.3 + 0.12 * fractal_noise(ground, point.0, point.1, 16.0) + mark,
            Kind::Speckle => {
                let layers = 0.35 * fractal_noise(ground, point.0 * 0.2, point.1, 12.0);
                (0.45 + layers) * (1.0 - mark) * (1.0 - 0.4 * (y + 0.5))
            }
        }
    }

    /// Additive noise; for speckle, amplitude times a Rayleigh variable whose grain is three columns wide.
    fn degrade(&self, canvas: &mut Canvas, noise: f64, random: &mut Random) {
        let width = canvas.width;
        if self.config.kind != Kind::Speckle {
            canvas.values.iter_mut().for_each(|value| *value += noise * random.normal());
            return;
        }
        for row in canvas.values.chunks_mut(width) {
            let parts: Vec<Vector> = (0..width + 2).map(|_| (random.normal(), random.normal())).collect();
            for (value, window) in row.iter_mut().zip(parts.windows(3)) {
                let sum = window.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
                // Mean square 6; its root is Rayleigh with mean √(6π/4) = 2.1708.
                let amplitude = (sum.0 * sum.0 + sum.1 * sum.1).sqrt() / 2.1708;
                *value *= 1.0 - noise + noise * amplitude;
            }
        }
    }
}
