//! Overlays: a frame with its class contours drawn and its uncertain pixels hatched.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::frame::{Frame, Limits, Samples, Source};
use crate::labels::Labels;
use crate::palette::Rgb;

/// How an overlay looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// How much of the class colour fills a region: 0 (contour only) to 255 (opaque).
    pub tint: u8,
    /// Pixels whose confidence is below this are hatched; 65,535 is certainty.
    pub uncertain_below: u16,
    /// Colour of the hatching.
    pub hatch: Rgb,
}

impl Default for Style {
    /// A light tint, and hatching in magenta below a confidence of 0.75.
    fn default() -> Self {
        Self { tint: 48, uncertain_below: 49_151, hatch: [255, 64, 255] }
    }
}

/// Why an overlay cannot be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverlayError {
    /// Frame and label map, or frame and confidence, differ in extent.
    Extent {
        /// Width and height of the frame.
        frame: (usize, usize),
        /// Pixels of what was laid over it.
        pixels: usize,
    },
    /// A class without a colour.
    NoColour {
        /// The class.
        class: u8,
        /// How many colours were given.
        colours: usize,
    },
    /// The RGB picture would exceed three times the default sample limit.
    TooLarge,
}

impl fmt::Display for OverlayError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extent { frame: (width, height), pixels } => {
                write!(out, "a frame of {width}x{height} pixels and a map of {pixels} pixels do not match")
            }
            Self::NoColour { class, colours } => {
                write!(out, "class {class} has no colour: {colours} were given, one per class is needed")
            }
            Self::TooLarge => out.write_str("the frame is too large for an RGB overlay: crop or tile it"),
        }
    }
}

impl std::error::Error for OverlayError {}

/// The frame as 8-bit RGB with each class other than 0 tinted and outlined in `colours[class]`, and pixels
/// of low confidence hatched.
///
/// `confidence` has one value per pixel, row-major, 65,535 being certainty. The outline lies inside the
/// region, one pixel wide per 512 pixels of the shorter side (at least one); hatching scales likewise.
///
/// # Errors
/// An [`OverlayError`] when extents differ or a class has no colour.
pub fn compose(
    frame: &Frame,
    labels: &Labels,
    colours: &[Rgb],
    confidence: Option<&[u16]>,
    style: Style,
) -> Result<Frame, OverlayError> {
    let (width, height) = (frame.width(), frame.height());
    let extent = |pixels| OverlayError::Extent { frame: (width, height), pixels };
    if (labels.width(), labels.height()) != (width, height) {
        return Err(extent(labels.values().len()));
    }
    if let Some(confidence) = confidence.filter(|values| values.len() != width * height) {
        return Err(extent(confidence.len()));
    }
    let missing = labels.values().iter().copied().max().filter(|&class| usize::from(class) >= colours.len());
    if let Some(class) = missing {
        return Err(OverlayError::NoColour { class, colours: colours.len() });
    }

    let (picture, channels) = frame.to_display();
    let stroke = 1 + width.min(height) / 512;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for (index, base) in picture.chunks_exact(channels).enumerate() {
        let (row, column) = (index / width, index % width);
        let class = labels.values()[index];
        let mut colour = if channels == 3 { [base[0], base[1], base[2]] } else { [base[0]; 3] };
        if class != 0 {
            let alpha = if is_edge(labels, row, column, stroke) { 255 } else { style.tint };
            colour = mix(colour, colours[usize::from(class)], alpha);
        }
        let uncertain = confidence.is_some_and(|values| values[index] < style.uncertain_below);
        if uncertain && (row + column) % (6 * stroke) < 2 * stroke {
            colour = mix(colour, style.hatch, 200);
        }
        pixels.extend_from_slice(&colour);
    }
    let source = Source::new(frame.source().name.clone(), 8);
    let limits = Limits { samples: 3 * Limits::DEFAULT.samples, ..Limits::DEFAULT };
    Frame::with_limits(width, height, 3, Samples::U8(pixels), source, limits)
        .map_err(|_| OverlayError::TooLarge)
}

/// Whether another class lies within `reach` pixels straight up, down, left or right.
fn is_edge(labels: &Labels, row: usize, column: usize, reach: usize) -> bool {
    let (width, height, values) = (labels.width(), labels.height(), labels.values());
    let index = row * width + column;
    let differs = |inside: bool, other: usize| inside && values[other] != values[index];
    (1..=reach).any(|step| {
        differs(row >= step, index.wrapping_sub(step * width))
            || differs(row + step < height, index + step * width)
            || differs(column >= step, index.wrapping_sub(step))
            || differs(column + step < width, index + step)
    })
}

fn mix(under: Rgb, over: Rgb, alpha: u8) -> Rgb {
    let alpha = u32::from(alpha);
    let mut mixed = under;
    for (value, over) in mixed.iter_mut().zip(over) {
        *value = ((u32::from(*value) * (255 - alpha) + u32::from(over) * alpha + 127) / 255) as u8;
    }
    mixed
}
