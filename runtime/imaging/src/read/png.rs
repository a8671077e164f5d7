//! PNG into frames and masks: every colour type and bit depth of the standard, first image only.

#[cfg(test)]
mod tests;

use std::io::{BufRead, Seek};

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError};

use super::error::{ReadError, ReadErrorKind};
use super::{labels_of_gray, pixel_place};
use crate::frame::{Frame, Limits, Note, Samples, Source};
use crate::labels::Labels;

/// Most bytes the decoder may take beside the picture itself (a row and ancillary chunks).
const DECODER_BYTES: usize = 16 << 20;

/// The picture as stored: samples not yet scaled, palette not yet looked up.
struct Stored {
    width: usize,
    height: usize,
    color: ColorType,
    bits: u8,
    /// One value per sample, HWC with the channels of `color`.
    samples: Samples,
    /// RGB triples of the palette.
    palette: Vec<u8>,
    /// The `tRNS` chunk: alpha per palette entry, or the transparent gray or RGB value in big-endian
    /// samples.
    transparency: Vec<u8>,
    animated: bool,
}

/// Reads a frame: gray of 1, 2, 4 bits stretched to 0..=255, gray and RGB of 8 and 16 bits as stored,
/// palettes as RGB (as gray when every entry is gray). Alpha, also from a `tRNS` chunk, is dropped where it
/// is opaque everywhere; otherwise the picture is composited on black and noted. Gamma and colour profiles
/// are not applied.
///
/// Source of the format: W3C, Portable Network Graphics (PNG) Specification, Third Edition.
///
/// # Errors
/// A [`ReadError`] under `name`.
pub fn frame(reader: &mut (impl BufRead + Seek), name: &str, limits: Limits) -> Result<Frame, ReadError> {
    let stored = decode(reader, name, limits)?;
    let mut source = Source::new(name, stored.bits);
    if stored.animated {
        source.notes.push(Note::FirstImageOnly);
    }
    let (width, height) = (stored.width, stored.height);
    let (samples, channels, opaque) = match (stored.color, stored.samples) {
        (ColorType::Indexed, Samples::U8(indices)) => {
            source.bit_depth = 8;
            let (colours, channels, opaque) =
                look_up(&indices, &stored.palette, &stored.transparency, width, name)?;
            (Samples::U8(colours), channels, opaque)
        }
        (color, Samples::U8(values)) => {
            let (mut values, channels, opaque) = without_alpha(values, color, &stored.transparency, 255);
            let scale = 255 / (u8::MAX >> (8 - stored.bits));
            values.iter_mut().for_each(|value| *value *= scale);
            (Samples::U8(values), channels, opaque)
        }
        (color, Samples::U16(values)) => {
            let (values, channels, opaque) = without_alpha(values, color, &stored.transparency, 65_535);
            (Samples::U16(values), channels, opaque)
        }
        (_, other) => (other, 1, true),
    };
    if !opaque {
        source.notes.push(Note::CompositedOnBlack);
    }
    Frame::with_limits(width, height, channels, samples, source, limits)
        .map_err(|error| ReadError::frame(name, "image", &error))
}

/// Reads a mask: palette indices, or gray values of 1 to 8 bits, as they are stored; a colour picture whose
/// channels are equal everywhere gives their common value.
///
/// # Errors
/// A [`ReadError`] under `name`.
pub fn labels(reader: &mut (impl BufRead + Seek), name: &str, limits: Limits) -> Result<Labels, ReadError> {
    let stored = decode(reader, name, limits)?;
    let (width, height) = (stored.width, stored.height);
    match (stored.color, stored.samples) {
        (ColorType::Indexed | ColorType::Grayscale, Samples::U8(values)) => {
            Labels::new(width, height, values).map_err(|error| ReadError::frame(name, "image", &error))
        }
        (color, Samples::U8(values)) => {
            let (values, channels, _) = without_alpha(values, color, &[], 255);
            gray_frame(width, height, channels, Samples::U8(values), Source::new(name, 8))
        }
        (color, Samples::U16(values)) => {
            let (values, channels, _) = without_alpha(values, color, &[], 65_535);
            gray_frame(width, height, channels, Samples::U16(values), Source::new(name, 16))
        }
        (_, samples) => gray_frame(width, height, 1, samples, Source::new(name, 32)),
    }
}

fn gray_frame(
    width: usize,
    height: usize,
    channels: usize,
    samples: Samples,
    source: Source,
) -> Result<Labels, ReadError> {
    let name = source.name.clone();
    let frame = Frame::new(width, height, channels, samples, source);
    labels_of_gray(frame.map_err(|error| ReadError::frame(&name, "image", &error))?)
}

fn decode(reader: &mut (impl BufRead + Seek), name: &str, limits: Limits) -> Result<Stored, ReadError> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    // A tRNS chunk dropped for a bad checksum would change pixels silently.
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(reader, options);
    decoder.set_limits(png::Limits { bytes: DECODER_BYTES });
    let header = decoder.read_header_info().map_err(|error| failed(name, "header", &error))?;
    let (width, height) = (header.width as usize, header.height as usize);
    let channels = header.color_type.samples();
    let count =
        limits.check(width, height, channels).map_err(|error| ReadError::frame(name, "header", &error))?;

    let mut reader = decoder.read_info().map_err(|error| failed(name, "chunks before the image", &error))?;
    let bytes =
        reader.output_buffer_size().ok_or_else(|| failed(name, "header", &DecodingError::LimitsExceeded))?;
    let mut packed = vec![0; bytes];
    let output = reader.next_frame(&mut packed).map_err(|error| failed(name, "image data", &error))?;
    if (output.width as usize, output.height as usize) != (width, height) {
        return Err(damaged(name, "animation", "the first image does not fill the canvas"));
    }
    let info = reader.info();
    let samples = match info.bit_depth {
        BitDepth::Sixteen => {
            Samples::U16(packed.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        BitDepth::Eight => Samples::U8(packed),
        depth => Samples::U8(unpack(&packed, output.line_size, width, depth as u8, count)),
    };
    Ok(Stored {
        width,
        height,
        color: info.color_type,
        bits: info.bit_depth as u8,
        samples,
        palette: info.palette.as_deref().unwrap_or_default().to_vec(),
        transparency: info.trns.as_deref().unwrap_or_default().to_vec(),
        animated: info.animation_control.is_some_and(|control| control.num_frames > 1),
    })
}

/// One byte per sample from rows of samples packed most significant bits first.
fn unpack(packed: &[u8], line_size: usize, width: usize, bits: u8, count: usize) -> Vec<u8> {
    let per_byte = usize::from(8 / bits);
    let mut values = Vec::with_capacity(count);
    for row in packed.chunks_exact(line_size) {
        values.extend((0..width).map(|column| {
            let shift = 8 - usize::from(bits) * (column % per_byte + 1);
            (row[column / per_byte] >> shift) & (u8::MAX >> (8 - bits))
        }));
    }
    values
}

/// Palette colours of `indices`: samples, channels (1 when every palette entry is gray), and whether the
/// picture is opaque.
fn look_up(
    indices: &[u8],
    palette: &[u8],
    alphas: &[u8],
    width: usize,
    name: &str,
) -> Result<(Vec<u8>, usize, bool), ReadError> {
    let entries: Vec<&[u8]> = palette.chunks_exact(3).collect();
    if let Some(index) = indices.iter().position(|&value| usize::from(value) >= entries.len()) {
        let problem = format!("palette index {} of a palette of {}", indices[index], entries.len());
        return Err(damaged(name, &pixel_place(index, width), problem));
    }
    let channels = if entries.iter().all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]) { 1 } else { 3 };
    let alpha = |index: usize| alphas.get(index).copied().unwrap_or(255);
    let flattened: Vec<Vec<u8>> = (entries.iter().enumerate())
        .map(|(index, rgb)| {
            rgb[..channels].iter().map(|&value| over_black(value, alpha(index), 255)).collect()
        })
        .collect();
    let opaque = indices.iter().all(|&index| alpha(usize::from(index)) == 255);
    let colours = indices.iter().flat_map(|&index| flattened[usize::from(index)].iter().copied()).collect();
    Ok((colours, channels, opaque))
}

/// Samples without their alpha channel or transparent key colour, the channels left, and whether it was
/// opaque.
fn without_alpha<T>(values: Vec<T>, color: ColorType, key: &[u8], max: u32) -> (Vec<T>, usize, bool)
where
    T: Copy + PartialEq + Default + TryFrom<u32> + Into<u32>,
{
    let channels = match color {
        ColorType::GrayscaleAlpha => 1,
        ColorType::Rgba => 3,
        opaque => return without_key(values, opaque.samples(), key),
    };
    let mut opaque = true;
    let mut flattened = Vec::with_capacity(values.len() / (channels + 1) * channels);
    for pixel in values.chunks_exact(channels + 1) {
        let alpha = pixel[channels];
        opaque &= alpha.into() == max;
        flattened.extend(pixel[..channels].iter().map(|&value| over_black(value, alpha, max)));
    }
    (flattened, channels, opaque)
}

/// A `tRNS` key makes every pixel of that exact value transparent (PNG 11.3.1.1): black here.
fn without_key<T>(mut values: Vec<T>, channels: usize, key: &[u8]) -> (Vec<T>, usize, bool)
where
    T: Copy + PartialEq + Default + Into<u32>,
{
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
    let key: Vec<u32> = key.chunks_exact(size_of::<T>()).map(number).collect();
    let mut opaque = true;
    if key.len() == channels {
        for pixel in values.chunks_exact_mut(channels) {
            if pixel.iter().zip(&key).all(|(&value, &wanted)| value.into() == wanted) {
                pixel.fill(T::default());
                opaque = false;
            }
        }
    }
    (values, channels, opaque)
}

/// `round(value · alpha / max)`: the value composited on black, as stored (no gamma).
fn over_black<T>(value: T, alpha: T, max: u32) -> T
where
    T: Copy + Default + TryFrom<u32> + Into<u32>,
{
    // 65535² + 32767 still fits u32; the quotient is at most `value`, so the conversion cannot fail.
    T::try_from((value.into() * alpha.into() + max / 2) / max).unwrap_or_default()
}

fn damaged(name: &str, place: &str, problem: impl Into<String>) -> ReadError {
    ReadError::new(ReadErrorKind::Damaged, name, place, problem, "export the image again")
}

fn failed(name: &str, place: &str, error: &DecodingError) -> ReadError {
    match error {
        DecodingError::IoError(error) => ReadError::io(name, place, error),
        DecodingError::LimitsExceeded => ReadError::new(
            ReadErrorKind::TooLarge,
            name,
            place,
            format!("needs more than {DECODER_BYTES} bytes beside the picture"),
            "export the image without metadata",
        ),
        other => damaged(name, place, other.to_string()),
    }
}
