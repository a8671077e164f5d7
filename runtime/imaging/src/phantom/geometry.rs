//! Shapes by signed distance in millimetres, and the canvas of Hounsfield units they are painted on.

#[cfg(test)]
mod tests;

/// A point or direction: x to the right, y down; millimetres where it is a point.
pub(crate) type Vector = (f64, f64);

pub(crate) fn length((x, y): Vector) -> f64 {
    (x * x + y * y).sqrt()
}

/// A vector turned by the angle whose half has tangent `half`: exact in rational numbers, no sine needed.
pub(crate) fn turned((x, y): Vector, half: f64) -> Vector {
    let scale = 1.0 / (1.0 + half * half);
    let (cosine, sine) = ((1.0 - half * half) * scale, 2.0 * half * scale);
    (x * cosine - y * sine, x * sine + y * cosine)
}

/// Signed distance to an ellipse with half axes `axes`, to first order near its edge (Taubin 1991).
pub(crate) fn ellipse((x, y): Vector, centre: Vector, axes: Vector) -> f64 {
    let (x, y) = (x - centre.0, y - centre.1);
    let (u, v) = (x / axes.0, y / axes.1);
    let level = length((u, v));
    let slope = length((u / axes.0, v / axes.1));
    if slope < 1e-9 { -axes.0.min(axes.1) } else { level * (level - 1.0) / slope }
}

/// Signed distance to a line from `start` to `end` whose radius runs from `radii.0` to `radii.1`.
pub(crate) fn capsule((x, y): Vector, start: Vector, end: Vector, radii: Vector) -> f64 {
    let (along, across) = (end.0 - start.0, end.1 - start.1);
    let square = along * along + across * across;
    let dot = (x - start.0) * along + (y - start.1) * across;
    let t = if square > 0.0 { (dot / square).clamp(0.0, 1.0) } else { 0.0 };
    length((x - start.0 - along * t, y - start.1 - across * t)) - (radii.0 + (radii.1 - radii.0) * t)
}

/// The larger of two distances (an intersection) with its edge rounded over `width`.
pub(crate) fn smooth_max(a: f64, b: f64, width: f64) -> f64 {
    let overlap = (width - (a - b).abs()).max(0.0) / width;
    a.max(b) + overlap * overlap * width * 0.25
}

/// The smaller of two distances (a union) with its edge rounded over `width`.
pub(crate) fn smooth_min(a: f64, b: f64, width: f64) -> f64 {
    -smooth_max(-a, -b, width)
}

/// A slowly varying function of direction: Σ amplitude · cos(k·angle − phase), k counting from `first`.
pub(crate) struct Harmonics {
    first: usize,
    /// Amplitude times the unit vector of the phase.
    terms: Vec<Vector>,
}

impl Harmonics {
    pub fn new(first: usize, terms: Vec<Vector>) -> Self {
        Self { first, terms }
    }

    /// The value in direction `(x, y)`, of any length above zero, by powers of the complex unit x + iy.
    pub fn at(&self, (x, y): Vector) -> f64 {
        let norm = length((x, y));
        if norm < 1e-9 {
            return 0.0;
        }
        let (x, y) = (x / norm, y / norm);
        let multiply = |(a, b): Vector| (a * x - b * y, a * y + b * x);
        let mut power = (0..self.first).fold((1.0, 0.0), |power, _| multiply(power));
        let mut sum = 0.0;
        for &(cosine, sine) in &self.terms {
            sum += power.0 * cosine + power.1 * sine;
            power = multiply(power);
        }
        sum
    }
}

/// A raster of Hounsfield units (HU), row-major, with the place of its pixels in the body.
pub(crate) struct Canvas {
    pub width: usize,
    pub height: usize,
    /// Side of a pixel in millimetres.
    pub pixel: f64,
    /// Body coordinates of the raster's centre.
    pub centre: Vector,
    pub values: Vec<f64>,
}

impl Canvas {
    pub fn new(width: usize, height: usize, pixel: f64, centre: Vector, value: f64) -> Self {
        Self { width, height, pixel, centre, values: vec![value; width * height] }
    }

    /// Body coordinates of the middle of a pixel.
    pub fn point(&self, row: usize, column: usize) -> Vector {
        let offset = |index: usize, extent: usize| (index as f64 + 0.5 - extent as f64 * 0.5) * self.pixel;
        (self.centre.0 + offset(column, self.width), self.centre.1 + offset(row, self.height))
    }

    /// How much of a pixel at signed distance `distance` a shape covers: 0..=1, a ramp one pixel wide.
    pub fn coverage(&self, distance: f64) -> f64 {
        (0.5 - distance / self.pixel).clamp(0.0, 1.0)
    }

    /// Visits the pixels of a box of body coordinates, grown by a pixel: index and middle.
    pub fn visit(&self, low: Vector, high: Vector, mut each: impl FnMut(usize, Vector)) {
        let range = |low: f64, high: f64, centre: f64, extent: usize| {
            let place = |value: f64| (value - centre) / self.pixel + extent as f64 * 0.5;
            let clamp = |value: f64| value.clamp(0.0, extent as f64) as usize;
            clamp(place(low) - 1.5)..clamp(place(high) + 2.5)
        };
        let columns = range(low.0, high.0, self.centre.0, self.width);
        for row in range(low.1, high.1, self.centre.1, self.height) {
            for column in columns.clone() {
                each(row * self.width + column, self.point(row, column));
            }
        }
    }

    /// Paints `value` within a box, as far as `distance` covers each pixel.
    pub fn paint_within(
        &mut self,
        low: Vector,
        high: Vector,
        distance: impl Fn(Vector) -> f64,
        value: impl Fn(Vector) -> f64,
    ) {
        let mut values = std::mem::take(&mut self.values);
        self.visit(low, high, |index, point| {
            let coverage = self.coverage(distance(point));
            if coverage > 0.0 {
                values[index] += (value(point) - values[index]) * coverage;
            }
        });
        self.values = values;
    }

    /// Paints an ellipse of one value.
    pub fn paint_ellipse(&mut self, centre: Vector, axes: Vector, value: f64) {
        let low = (centre.0 - axes.0, centre.1 - axes.1);
        let high = (centre.0 + axes.0, centre.1 + axes.1);
        self.paint_within(low, high, |point| ellipse(point, centre, axes), |_| value);
    }

    /// Paints a tapered line of one value.
    pub fn paint_capsule(&mut self, start: Vector, end: Vector, radii: Vector, value: f64) {
        let reach = radii.0.max(radii.1);
        let low = (start.0.min(end.0) - reach, start.1.min(end.1) - reach);
        let high = (start.0.max(end.0) + reach, start.1.max(end.1) + reach);
        self.paint_within(low, high, |point| capsule(point, start, end, radii), |_| value);
    }
}
