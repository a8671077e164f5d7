//! NumPy `.npy` files: little-endian arrays in C order, as tensors, label maps or plain series.

#[cfg(test)]
mod tests;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{ReadError, ReadErrorKind};
use super::{narrow, pixel_place};
use crate::frame::{Frame, Limits, Note, Samples, Source};
use crate::labels::Labels;

/// Most bytes of header text; NumPy itself writes less than 128 for the arrays read here.
const HEADER_BYTES: usize = 4096;

/// Most dimensions read.
const MAX_RANK: usize = 4;

/// The values of an [`Array`], in the type they are stored in.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// `<f4`
    F32(Vec<f32>),
    /// `<f8`
    F64(Vec<f64>),
    /// `|u1`
    U8(Vec<u8>),
    /// `<u2`
    U16(Vec<u16>),
    /// `<i2`
    I16(Vec<i16>),
    /// `<i4`
    I32(Vec<i32>),
    /// `<i8`
    I64(Vec<i64>),
}

/// An array as stored: C order, 1 to 4 dimensions, none of them zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    /// The product of `shape` of them; finite where they are floats.
    pub values: Values,
}

/// Reads an array file of any supported type, such as a recorded series of scores (f64 `[n]`).
///
/// Source of the format: NumPy Enhancement Proposal 1, versions 1.0 and 2.0.
///
/// # Errors
/// A [`ReadError`]; the limits are those of frames ([`Limits::DEFAULT`] samples).
pub fn array(path: &Path) -> Result<Array, ReadError> {
    let name = path.display().to_string();
    let mut file = super::open_bounded(path, &name, Limits::DEFAULT)?;
    decode(&mut file, &name, Limits::DEFAULT)
}

/// Reads `[H,W]` or `[C,H,W]` as an `F32` frame that is fed to the model as it is.
///
/// Every stored type becomes f32: integers exactly (one that f32 cannot hold is an error), f64 rounded and
/// noted.
///
/// # Errors
/// A [`ReadError`] under `name`.
pub fn frame(reader: &mut (impl Read + Seek), name: &str, limits: Limits) -> Result<Frame, ReadError> {
    let array = decode(reader, name, limits)?;
    let (channels, height, width) = match *array.shape {
        [height, width] => (1, height, width),
        [channels, height, width] => (channels, height, width),
        _ => {
            let problem = format!("shape {} where [H,W] or [C,H,W] is needed", shape_text(&array.shape));
            return Err(unsupported(name, "shape", &problem, "save one image, for instance array[0]"));
        }
    };
    limits.check(width, height, channels).map_err(|error| ReadError::frame(name, "shape", &error))?;
    let mut source = Source::new(name, 32);
    let values = match array.values {
        Values::F32(values) => values,
        Values::F64(values) => {
            source.bit_depth = 64;
            source.notes.push(Note::RoundedToF32);
            values.into_iter().map(|value| value as f32).collect()
        }
        Values::U8(values) => exact(values.into_iter().map(i64::from), &mut source, 8, name)?,
        Values::U16(values) => exact(values.into_iter().map(i64::from), &mut source, 16, name)?,
        Values::I16(values) => exact(values.into_iter().map(i64::from), &mut source, 16, name)?,
        Values::I32(values) => exact(values.into_iter().map(i64::from), &mut source, 32, name)?,
        Values::I64(values) => exact(values.into_iter(), &mut source, 64, name)?,
    };
    Frame::with_limits(width, height, channels, Samples::F32(values), source, limits)
        .map_err(|error| ReadError::frame(name, "data", &error))
}

/// Reads an integer array `[H,W]` with values 0..=255 as labels.
///
/// # Errors
/// A [`ReadError`] under `name`.
pub fn labels(reader: &mut (impl Read + Seek), name: &str, limits: Limits) -> Result<Labels, ReadError> {
    let array = decode(reader, name, limits)?;
    let [height, width] = *array.shape else {
        let problem = format!("shape {} where [H,W] is needed", shape_text(&array.shape));
        return Err(unsupported(name, "shape", &problem, "save one two-dimensional mask"));
    };
    // Checked before any place is told by row and column, so that the width is not zero.
    limits.check(width, height, 1).map_err(|error| ReadError::frame(name, "shape", &error))?;
    let values = match array.values {
        Values::U8(values) => values,
        Values::U16(values) => narrow(&values, width, name)?,
        Values::I16(values) => small(values.into_iter().map(i64::from), width, name)?,
        Values::I32(values) => small(values.into_iter().map(i64::from), width, name)?,
        Values::I64(values) => small(values.into_iter(), width, name)?,
        Values::F32(_) | Values::F64(_) => {
            let fix = "save the mask with .astype('u1')";
            return Err(unsupported(name, "descr", "floats are not class indices", fix));
        }
    };
    Labels::new(width, height, values).map_err(|error| ReadError::frame(name, "shape", &error))
}

fn small(values: impl Iterator<Item = i64>, width: usize, name: &str) -> Result<Vec<u8>, ReadError> {
    let narrow = |(index, value)| {
        u8::try_from(value).map_err(|_| {
            let problem = format!("value {value}, where a class index is 0..=255");
            unsupported(name, &pixel_place(index, width), &problem, "save the mask with .astype('u1')")
        })
    };
    values.enumerate().map(narrow).collect()
}

/// Integers as f32, refusing those it cannot hold.
fn exact(
    values: impl Iterator<Item = i64>,
    source: &mut Source,
    bits: u8,
    name: &str,
) -> Result<Vec<f32>, ReadError> {
    source.bit_depth = bits;
    let convert = |(index, value): (usize, i64)| {
        let float = value as f32;
        // Compared in i128: i64::MAX rounds up to 2^63 and would saturate back to itself.
        if float as i128 == i128::from(value) {
            return Ok(float);
        }
        let place = format!("data, element {index}");
        Err(unsupported(
            name,
            &place,
            &format!("{value} is not exact in f32"),
            "scale the values before saving",
        ))
    };
    values.enumerate().map(convert).collect()
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

fn decode(reader: &mut (impl Read + Seek), name: &str, limits: Limits) -> Result<Array, ReadError> {
    let length = reader.seek(SeekFrom::End(0)).map_err(|error| ReadError::io(name, "file", &error))?;
    reader.seek(SeekFrom::Start(0)).map_err(|error| ReadError::io(name, "file", &error))?;
    let (header, header_bytes) = read_header(reader, name)?;
    if header.fortran_order {
        let fix = "save it with numpy.ascontiguousarray(array)";
        return Err(unsupported(name, "fortran_order", "column-major order", fix));
    }
    let bytes_per_value = match header.descr.as_str() {
        "|u1" => 1,
        "<u2" | "<i2" => 2,
        "<f4" | "<i4" => 4,
        "<f8" | "<i8" => 8,
        other => {
            let fix = "save it with .astype('<f4')";
            return Err(unsupported(name, "descr", &format!("values of type '{other}'"), fix));
        }
    };
    let count = (header.shape.iter())
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))
        .filter(|&count| count <= limits.samples);
    let Some(count) = count else {
        let problem =
            format!("{} exceeds the limit of {} samples", shape_text(&header.shape), limits.samples);
        return Err(ReadError::new(
            ReadErrorKind::TooLarge,
            name,
            "shape",
            problem,
            "crop or tile the array",
        ));
    };
    if count == 0 {
        let problem = format!("{} holds no values", shape_text(&header.shape));
        return Err(ReadError::new(
            ReadErrorKind::Empty,
            name,
            "shape",
            problem,
            "save an array with values",
        ));
    }
    let expected = count.saturating_mul(bytes_per_value) as u64 + header_bytes;
    if length != expected {
        let problem = format!("{length} bytes where header and shape need {expected}");
        return Err(ReadError::new(
            ReadErrorKind::Length,
            name,
            "file length",
            problem,
            "save the array again",
        ));
    }
    let mut bytes = vec![0; count * bytes_per_value];
    reader.read_exact(&mut bytes).map_err(|error| ReadError::io(name, "data", &error))?;
    let values = convert(&header.descr, bytes);
    if let Some(index) = first_non_finite(&values) {
        let fix = "replace such values before saving, for instance by numpy.nan_to_num";
        let place = format!("data, element {index} (at {})", position(index, &header.shape));
        return Err(ReadError::new(ReadErrorKind::NonFinite, name, &place, "NaN or infinity", fix));
    }
    Ok(Array { shape: header.shape, values })
}

/// The header and its length in bytes, padding included.
fn read_header(reader: &mut impl Read, name: &str) -> Result<(Header, u64), ReadError> {
    let io = |error: std::io::Error| ReadError::io(name, "header", &error);
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(io)?;
    let (length, prefix) = match (&start[..6], start[6], start[7]) {
        (b"\x93NUMPY", 1, 0) => {
            let mut size = [0; 2];
            reader.read_exact(&mut size).map_err(io)?;
            (usize::from(u16::from_le_bytes(size)), 10)
        }
        (b"\x93NUMPY", 2, 0) => {
            let mut size = [0; 4];
            reader.read_exact(&mut size).map_err(io)?;
            (u32::from_le_bytes(size) as usize, 12)
        }
        (b"\x93NUMPY", major, minor) => {
            let problem = format!("format version {major}.{minor}");
            return Err(unsupported(name, "version", &problem, "save a plain array, without named fields"));
        }
        _ => return Err(damaged(name, "start", "not a .npy file")),
    };
    if length > HEADER_BYTES {
        let problem = format!("{length} bytes of header exceed the limit of {HEADER_BYTES}");
        return Err(ReadError::new(ReadErrorKind::TooLarge, name, "header", problem, "save a plain array"));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).map_err(io)?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged(name, "header", "not text"))?;
    Ok((parse_header(text, name)?, prefix + length as u64))
}

/// Parses the header's Python literal: a dictionary of exactly `descr`, `fortran_order` and `shape`.
fn parse_header(text: &str, name: &str) -> Result<Header, ReadError> {
    let bad = |problem: String| damaged(name, "header", problem);
    let body = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = body.ok_or_else(|| bad("not a dictionary".into()))?.trim();
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest).ok_or_else(|| bad(format!("a key is expected at '{rest}'")))?;
        let after = after.trim_start().strip_prefix(':').map(str::trim_start);
        let after = after.ok_or_else(|| bad(format!("':' is expected after '{key}'")))?;
        let after = match key {
            "descr" if descr.is_none() => {
                let (value, after) = quoted(after).ok_or_else(|| {
                    unsupported(
                        name,
                        "descr",
                        "a structured type",
                        "save a plain array, without named fields",
                    )
                })?;
                descr = Some(value.to_string());
                after
            }
            "fortran_order" if fortran_order.is_none() => {
                fortran_order = Some(after.starts_with("True"));
                let value = after.strip_prefix("True").or_else(|| after.strip_prefix("False"));
                value.ok_or_else(|| bad("'fortran_order' is neither True nor False".into()))?
            }
            "shape" if shape.is_none() => {
                let inner = after.strip_prefix('(').and_then(|rest| rest.split_once(')'));
                let (extents, after) = inner.ok_or_else(|| bad("'shape' is not a tuple".into()))?;
                shape = Some(parse_shape(extents).ok_or_else(|| bad(format!("'shape' is ({extents})")))?);
                after
            }
            other => return Err(bad(format!("the key '{other}' is unknown or repeated"))),
        };
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => {}
            None => return Err(bad(format!("',' is expected at '{rest}'"))),
        }
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
        _ => Err(bad("'descr', 'fortran_order' and 'shape' are not all there".into())),
    }
}

/// A string in single quotes without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('\'')?.split_once('\'')
}

/// Extents of a Python tuple's inside: `3`+`,`, `3, 4` and so on, at most [`MAX_RANK`].
fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    let parts: Vec<&str> = text.strip_suffix(',').unwrap_or(text).split(',').collect();
    if parts.len() > MAX_RANK || !text.contains(',') {
        return None;
    }
    // u32 keeps any product of two extents within u64; larger ones are beyond every limit anyway.
    parts.iter().map(|part| part.trim().parse::<u32>().ok().map(|extent| extent as usize)).collect()
}

fn convert(descr: &str, bytes: Vec<u8>) -> Values {
    fn each<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
    }
    match descr {
        "<f4" => Values::F32(each(&bytes, f32::from_le_bytes)),
        "<f8" => Values::F64(each(&bytes, f64::from_le_bytes)),
        "<u2" => Values::U16(each(&bytes, u16::from_le_bytes)),
        "<i2" => Values::I16(each(&bytes, i16::from_le_bytes)),
        "<i4" => Values::I32(each(&bytes, i32::from_le_bytes)),
        "<i8" => Values::I64(each(&bytes, i64::from_le_bytes)),
        _ => Values::U8(bytes),
    }
}

fn first_non_finite(values: &Values) -> Option<usize> {
    match values {
        Values::F32(values) => values.iter().position(|value| !value.is_finite()),
        Values::F64(values) => values.iter().position(|value| !value.is_finite()),
        _ => None,
    }
}

/// The multi-index of a flat index, such as `[0, 3, 17]`.
fn position(index: usize, shape: &[usize]) -> String {
    let mut rest = index;
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let at = rest % extent.max(1);
            rest /= extent.max(1);
            at
        })
        .collect();
    place.reverse();
    shape_text(&place)
}

fn shape_text(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn unsupported(name: &str, place: &str, problem: &str, fix: &str) -> ReadError {
    ReadError::new(ReadErrorKind::Unsupported, name, place, problem, fix)
}

fn damaged(name: &str, place: &str, problem: impl Into<String>) -> ReadError {
    ReadError::new(ReadErrorKind::Damaged, name, place, problem, "save the array again with numpy.save")
}
