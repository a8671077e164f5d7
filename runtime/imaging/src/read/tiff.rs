//! TIFF into frames: gray and RGB of 8 and 16 bits and gray of 32-bit floats, first page only.

#[cfg(test)]
mod tests;

use std::io::{Read, Seek};

use tiff::decoder::{Decoder, DecodingResult, Limits as DecoderLimits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::error::{ReadError, ReadErrorKind};
use crate::frame::{Frame, Limits, Note, Samples, Source};

/// Most bytes one tag may hold (strip offsets of the tallest image need 128 KiB).
const TAG_BYTES: usize = 1 << 20;

/// Reads the first page: strips or tiles, either byte order, uncompressed, LZW, Deflate or PackBits, with
/// or without a predictor. White-is-zero gray is inverted by the decoder, so that larger is always
/// brighter.
///
/// Sources of the format: Adobe, TIFF Revision 6.0; the BigTIFF extension of libtiff.
///
/// # Errors
/// A [`ReadError`] under `name` that names what is not read (CMYK, palette, alpha, signed or 12-bit
/// samples, separate planes, a rotated orientation).
pub fn frame(reader: &mut (impl Read + Seek), name: &str, limits: Limits) -> Result<Frame, ReadError> {
    let bytes = limits.samples.saturating_mul(4);
    let mut bounds = DecoderLimits::default();
    bounds.decoding_buffer_size = bytes;
    bounds.intermediate_buffer_size = bytes;
    bounds.ifd_value_size = TAG_BYTES;
    let mut decoder =
        Decoder::new(reader).map_err(|error| failed(name, "first page", &error))?.with_limits(bounds);

    let (width, height) = decoder.dimensions().map_err(|error| failed(name, "first page", &error))?;
    let (width, height) = (width as usize, height as usize);
    let color = decoder.colortype().map_err(|error| failed(name, "colour type", &error))?;
    let channels = channels_of(color, name)?;
    let count = limits
        .check(width, height, channels)
        .map_err(|error| ReadError::frame(name, "first page", &error))?;
    let tag = |decoder: &mut Decoder<_>, tag| {
        decoder.find_tag_unsigned::<u16>(tag).map_err(|error| failed(name, "tags", &error))
    };
    // LZW, Deflate by its two numbers: the only ones for which every reader applies a predictor.
    let compression = tag(&mut decoder, Tag::Compression)?.unwrap_or(1);
    if tag(&mut decoder, Tag::Predictor)?.unwrap_or(1) != 1 && ![5, 8, 32_946].contains(&compression) {
        let problem = format!("a predictor under compression {compression}, which readers take differently,");
        return Err(unsupported(
            name,
            "Predictor",
            &problem,
            "save it with LZW or Deflate, or without a predictor",
        ));
    }
    if channels > 1 && tag(&mut decoder, Tag::PlanarConfiguration)?.unwrap_or(1) != 1 {
        let fix = "save it with interleaved samples (PlanarConfiguration 1)";
        return Err(unsupported(name, "PlanarConfiguration", "separate colour planes", fix));
    }
    let orientation = tag(&mut decoder, Tag::Orientation)?.unwrap_or(1);
    if orientation != 1 {
        let problem = format!("value {orientation}: the pixels are stored rotated or mirrored");
        return Err(unsupported(name, "Orientation", &problem, "save it upright, with orientation 1"));
    }

    let mut source = Source::new(name, 8);
    let samples = match decoder.read_image().map_err(|error| failed(name, "image data", &error))? {
        DecodingResult::U8(values) => Samples::U8(values),
        DecodingResult::U16(values) => {
            source.bit_depth = 16;
            Samples::U16(values)
        }
        DecodingResult::F32(values) if channels == 1 => {
            source.bit_depth = 32;
            Samples::F32(values)
        }
        other => {
            let problem = format!("{} samples", type_name(&other));
            return Err(unsupported(name, "SampleFormat", &problem, CONVERT));
        }
    };
    if samples.len() != count {
        let problem = format!("{} samples where {count} are needed", samples.len());
        return Err(ReadError::new(ReadErrorKind::Damaged, name, "image data", problem, "export it again"));
    }
    if decoder.more_images() {
        source.notes.push(Note::FirstImageOnly);
    }
    Frame::with_limits(width, height, channels, samples, source, limits)
        .map_err(|error| ReadError::frame(name, "first page", &error))
}

const CONVERT: &str = "convert it to gray or RGB of 8 or 16 bits, or gray of 32-bit floats";

fn channels_of(color: ColorType, name: &str) -> Result<usize, ReadError> {
    let problem = match color {
        ColorType::Gray(8 | 16 | 32) => return Ok(1),
        ColorType::RGB(8 | 16) => return Ok(3),
        ColorType::Gray(bits) => format!("gray of {bits} bits"),
        ColorType::RGB(bits) => format!("RGB of {bits} bits"),
        ColorType::Palette(_) => "a colour palette".into(),
        ColorType::GrayA(_) | ColorType::RGBA(_) => "an alpha channel".into(),
        ColorType::CMYK(_) | ColorType::CMYKA(_) => "CMYK, the colours of print".into(),
        ColorType::YCbCr(_) => "YCbCr".into(),
        ColorType::Lab(_) => "CIE L*a*b*".into(),
        ColorType::Multiband { bit_depth, num_samples } => format!("{num_samples} bands of {bit_depth} bits"),
        other => format!("{other:?}"),
    };
    Err(unsupported(name, "colour type", &problem, CONVERT))
}

fn type_name(samples: &DecodingResult) -> &'static str {
    match samples {
        DecodingResult::U8(_) => "unsigned 8-bit",
        DecodingResult::U16(_) => "unsigned 16-bit",
        DecodingResult::U32(_) => "unsigned 32-bit",
        DecodingResult::U64(_) => "unsigned 64-bit",
        DecodingResult::I8(_) => "signed 8-bit",
        DecodingResult::I16(_) => "signed 16-bit",
        DecodingResult::I32(_) => "signed 32-bit",
        DecodingResult::I64(_) => "signed 64-bit",
        DecodingResult::F16(_) => "16-bit float",
        DecodingResult::F32(_) => "32-bit float",
        DecodingResult::F64(_) => "64-bit float",
    }
}

fn unsupported(name: &str, place: &str, problem: &str, fix: &str) -> ReadError {
    ReadError::new(ReadErrorKind::Unsupported, name, place, format!("{problem} is not read"), fix)
}

fn failed(name: &str, place: &str, error: &TiffError) -> ReadError {
    match error {
        TiffError::IoError(error) => ReadError::io(name, place, error),
        TiffError::UnsupportedError(error) => {
            ReadError::new(ReadErrorKind::Unsupported, name, place, error.to_string(), CONVERT)
        }
        TiffError::LimitsExceeded | TiffError::IntSizeError => {
            let fix = "crop or downsample the image, or save it in smaller strips";
            ReadError::new(ReadErrorKind::TooLarge, name, place, error.to_string(), fix)
        }
        other => ReadError::new(ReadErrorKind::Damaged, name, place, other.to_string(), "export it again"),
    }
}
