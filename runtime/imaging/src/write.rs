//! Writing: findings become PNG and `.npy` files, each whole or not there at all.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use png::{BitDepth, ColorType, Encoder, EncodingError};

use crate::frame::{Frame, Samples};
use crate::labels::Labels;
use crate::palette::{Rgb, heat_scale};

/// The class of a [`WriteError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteErrorKind {
    /// No space left, or over quota.
    DiskFull,
    /// No permission, or a read-only file system.
    NotAllowed,
    /// The folder does not exist.
    NoFolder,
    /// What was given does not fit together; nothing was written.
    Mismatch,
    /// Anything else the operating system reports.
    Io,
}

/// A file that was not written; one that was there before is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    kind: WriteErrorKind,
    path: PathBuf,
    problem: String,
}

impl WriteError {
    fn io(path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero => {
                WriteErrorKind::DiskFull
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => WriteErrorKind::NotAllowed,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => WriteErrorKind::NoFolder,
            _ => WriteErrorKind::Io,
        };
        Self { kind, path: path.into(), problem: error.to_string() }
    }

    fn mismatch(path: &Path, problem: String) -> Self {
        Self { kind: WriteErrorKind::Mismatch, path: path.into(), problem }
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> WriteErrorKind {
        self.kind
    }

    /// The file that was to be written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fix = match self.kind {
            WriteErrorKind::DiskFull => "; fix: free space, or write to another disk",
            WriteErrorKind::NotAllowed => "; fix: allow this user to write there",
            WriteErrorKind::NoFolder => "; fix: create the folder first",
            WriteErrorKind::Mismatch | WriteErrorKind::Io => "",
        };
        write!(out, "{}: {}{fix}", self.path.display(), self.problem)
    }
}

impl std::error::Error for WriteError {}

/// Writes a file as a whole: into a new file beside it, flushed to the disk, then renamed over `path`.
///
/// # Errors
/// A [`WriteError`]; the new file is removed again.
pub fn file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(path, |out| out.write_all(bytes))
}

/// A frame as PNG: gray or RGB, 8 bits as stored, 9 to 16 bits stretched to 16 by repeating the leading
/// bits (PNG 13.12), floats through [`Frame::to_display`] at 8 bits.
///
/// # Errors
/// See [`file()`].
pub fn frame_png(path: &Path, frame: &Frame) -> Result<(), WriteError> {
    replace(path, |out| encode_frame(out, frame))
}

/// A frame as PNG in memory, as [`frame_png`] writes it.
///
/// # Errors
/// The encoder's error; none is known for a valid frame.
pub fn frame_png_bytes(frame: &Frame) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, frame)?;
    Ok(bytes)
}

/// A label map as palette PNG: indices are classes, `colours[class]` their colours (1 to 256 of them).
///
/// # Errors
/// See [`file()`]; [`WriteErrorKind::Mismatch`] when a class has no colour.
pub fn mask_png(path: &Path, labels: &Labels, colours: &[Rgb]) -> Result<(), WriteError> {
    let classes = labels.distinct().last().map_or(0, |&class| usize::from(class) + 1);
    if colours.len() < classes || colours.len() > 256 {
        let problem =
            format!("{} colours for {classes} classes: one per class and at most 256", colours.len());
        return Err(WriteError::mismatch(path, problem));
    }
    let size = (labels.width(), labels.height());
    replace(path, |out| encode(out, size, ColorType::Indexed, BitDepth::Eight, colours, labels.values()))
}

/// A confidence map as 16-bit gray PNG; `confidence` is row-major, 65,535 being certainty.
///
/// # Errors
/// See [`file()`]; [`WriteErrorKind::Mismatch`] when the length is not width × height.
pub fn confidence_png(
    path: &Path,
    width: usize,
    height: usize,
    confidence: &[u16],
) -> Result<(), WriteError> {
    check_length(path, &[width, height], confidence.len())?;
    let bytes: Vec<u8> = confidence.iter().flat_map(|value| value.to_be_bytes()).collect();
    replace(path, |out| encode(out, (width, height), ColorType::Grayscale, BitDepth::Sixteen, &[], &bytes))
}

/// A confidence map to look at: palette PNG of 256 levels from dark (0) to light (65,535), `index = value /
/// 256`.
///
/// # Errors
/// See [`confidence_png`].
pub fn heat_png(path: &Path, width: usize, height: usize, confidence: &[u16]) -> Result<(), WriteError> {
    check_length(path, &[width, height], confidence.len())?;
    let levels: Vec<u8> = confidence.iter().map(|value| (value >> 8) as u8).collect();
    replace(path, |out| {
        encode(out, (width, height), ColorType::Indexed, BitDepth::Eight, &heat_scale(), &levels)
    })
}

/// A `.npy` file, version 1.0, `<f4`, C order, of any shape.
///
/// # Errors
/// See [`file()`]; [`WriteErrorKind::Mismatch`] when the product of `shape` is not the number of values.
pub fn npy_f32(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), WriteError> {
    check_length(path, shape, values.len())?;
    replace(path, |out| {
        out.write_all(&npy_header("<f4", shape))?;
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
}

/// A `.npy` file, version 1.0, `|u1`, C order, of any shape.
///
/// # Errors
/// See [`npy_f32`].
pub fn npy_u8(path: &Path, shape: &[usize], values: &[u8]) -> Result<(), WriteError> {
    check_length(path, shape, values.len())?;
    replace(path, |out| {
        out.write_all(&npy_header("|u1", shape))?;
        out.write_all(values)
    })
}

fn check_length(path: &Path, shape: &[usize], found: usize) -> Result<(), WriteError> {
    let expected = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    if expected == Some(found) {
        return Ok(());
    }
    Err(WriteError::mismatch(path, format!("{found} values do not fill the shape {shape:?}")))
}

/// Magic, version, length and a header text padded so that the data begins at a multiple of 64 (NEP 1).
fn npy_header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let mut extents = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 {
        extents.push(',');
    }
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    let padded = (10 + text.len() + 1).next_multiple_of(64);
    text.push_str(&" ".repeat(padded - 10 - text.len() - 1));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

fn encode_frame(out: &mut dyn Write, frame: &Frame) -> io::Result<()> {
    let size = (frame.width(), frame.height());
    let color = |channels| if channels == 3 { ColorType::Rgb } else { ColorType::Grayscale };
    match frame.samples() {
        Samples::U8(values) => encode(out, size, color(frame.channels()), BitDepth::Eight, &[], values),
        Samples::U16(values) => {
            let bits = u32::from(frame.source().bit_depth);
            // 9..=16 bits, so one repetition fills 16; no sample exceeds `bits`.
            let stretch = |value: u16| (value << (16 - bits)) | (u32::from(value) >> (2 * bits - 16)) as u16;
            let bytes: Vec<u8> = values.iter().flat_map(|&value| stretch(value).to_be_bytes()).collect();
            encode(out, size, color(frame.channels()), BitDepth::Sixteen, &[], &bytes)
        }
        Samples::F32(_) => {
            let (values, channels) = frame.to_display();
            encode(out, size, color(channels), BitDepth::Eight, &[], &values)
        }
    }
}

fn encode(
    out: &mut dyn Write,
    (width, height): (usize, usize),
    color: ColorType,
    depth: BitDepth,
    colours: &[Rgb],
    bytes: &[u8],
) -> io::Result<()> {
    let side = |extent: usize| u32::try_from(extent).map_err(io::Error::other);
    let mut encoder = Encoder::new(out, side(width)?, side(height)?);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(colours.concat());
    }
    let mut writer = encoder.write_header().map_err(io_error)?;
    writer.write_image_data(bytes).map_err(io_error)?;
    writer.finish().map_err(io_error)
}

/// The encoder's own conversion would lose the kind of the error, and with it a full disk.
fn io_error(error: EncodingError) -> io::Error {
    match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Tells apart new files of one process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    let Some(name) = path.file_name() else {
        return Err(WriteError::mismatch(path, "names no file".into()));
    };
    let mut new_name = std::ffi::OsString::from(".");
    new_name.push(name);
    new_name.push(format!(".{}.{}.part", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let new_path = path.with_file_name(new_name);
    let written = write_new(&new_path, write).and_then(|()| std::fs::rename(&new_path, path));
    if let Err(error) = written {
        // The first error is the one to report; a left-over file is named .part and harmless.
        let _ = std::fs::remove_file(&new_path);
        return Err(WriteError::io(path, &error));
    }
    sync_folder(path);
    Ok(())
}

fn write_new(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    write(&mut out)?;
    // A rename may reach the disk before the data unless the data is forced there first.
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Makes the rename itself durable where folders can be opened; elsewhere the file system decides.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}
