//! Pictures of a report, embedded as base64 PNG.

use std::io;

use super::escape;
use crate::frame::{Frame, Samples, Source};
use crate::write::frame_png_bytes;

/// Longest side of an embedded picture in pixels; larger ones are reduced.
const MAX_SIDE: usize = 512;

/// A picture with a caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    html: String,
}

impl Thumbnail {
    /// Embeds a frame as [`Frame::to_display`] shows it, reduced by a whole factor (block means) until no
    /// side exceeds 512 pixels. The caption also stands in for the picture where it cannot be seen.
    ///
    /// # Errors
    /// The PNG encoder's error; none is known for a valid frame.
    pub fn new(caption: &str, frame: &Frame) -> io::Result<Self> {
        let reduced = reduce(frame)?;
        let (width, height) = (reduced.width(), reduced.height());
        let data = base64(&frame_png_bytes(&reduced)?);
        let caption = escape(caption);
        let html = format!(
            "<figure><img alt=\"{caption}\" width=\"{width}\" height=\"{height}\" \
             src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>\n"
        );
        Ok(Self { html })
    }

    pub(super) fn html(&self) -> &str {
        &self.html
    }
}

fn reduce(frame: &Frame) -> io::Result<Frame> {
    let (values, channels) = frame.to_display();
    let factor = frame.width().max(frame.height()).div_ceil(MAX_SIDE);
    // Blocks at the right and bottom edge may be cut off; a side shorter than the factor keeps one block.
    let (width, height) = ((frame.width() / factor).max(1), (frame.height() / factor).max(1));
    let mut reduced = Vec::with_capacity(width * height * channels);
    for row in 0..height {
        for column in 0..width {
            for channel in 0..channels {
                let (mut sum, mut count) = (0u64, 0u64);
                for y in row * factor..((row + 1) * factor).min(frame.height()) {
                    for x in column * factor..((column + 1) * factor).min(frame.width()) {
                        sum += u64::from(values[(y * frame.width() + x) * channels + channel]);
                        count += 1;
                    }
                }
                reduced.push(((sum + count / 2) / count.max(1)) as u8);
            }
        }
    }
    let source = Source::new(frame.source().name.clone(), 8);
    Frame::new(width, height, channels, Samples::U8(reduced), source).map_err(io::Error::other)
}

/// Base 64 with padding (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let index = (group >> (18 - 6 * position)) & 63;
            text.push(if position > chunk.len() { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
    text
}
