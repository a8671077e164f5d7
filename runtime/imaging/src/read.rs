//! Reading: files become frames and masks, chosen by content and bounded before anything is allocated.

pub mod error;
pub mod npy;
pub mod png;
pub mod raw;
pub mod tiff;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use error::{ReadError, ReadErrorKind};

use crate::frame::{Frame, Limits, Samples};
use crate::labels::Labels;

/// File name endings that [`list`] takes from a folder, lower case.
pub const EXTENSIONS: [&str; 4] = ["png", "tif", "tiff", "npy"];

/// Most entries [`list`] reads from one folder.
pub const MAX_ENTRIES: usize = 1 << 20;

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG (W3C PNG Third Edition, 5.2).
    Png,
    /// TIFF 6.0 or BigTIFF, either byte order.
    Tiff,
    /// NumPy array file (NEP 1).
    Npy,
}

/// Reads one frame, under the default limits.
///
/// # Errors
/// See [`open_with`].
pub fn open(path: &Path) -> Result<Frame, ReadError> {
    open_with(path, Limits::DEFAULT)
}

/// Reads one frame from a PNG, TIFF or `.npy` file; the content decides, not the name's ending.
///
/// # Errors
/// A [`ReadError`] naming the file, the place in it, what is wrong and what would fix it.
pub fn open_with(path: &Path, limits: Limits) -> Result<Frame, ReadError> {
    let name = path.display().to_string();
    let mut file = open_bounded(path, &name, limits)?;
    match sniff(&mut file, &name)? {
        Format::Png => png::frame(&mut file, &name, limits),
        Format::Tiff => tiff::frame(&mut file, &name, limits),
        Format::Npy => npy::frame(&mut file, &name, limits),
    }
}

/// Reads a mask as raw values: palette indices, gray values of at most 8 bits unscaled, or the common value
/// of a colour picture whose channels are equal. What the values mean (0/1/2, 0/255) is the caller's to
/// map.
///
/// # Errors
/// A [`ReadError`], also for a coloured picture and for values above 255.
pub fn mask(path: &Path) -> Result<Labels, ReadError> {
    let name = path.display().to_string();
    let limits = Limits::DEFAULT;
    let mut file = open_bounded(path, &name, limits)?;
    match sniff(&mut file, &name)? {
        Format::Png => png::labels(&mut file, &name, limits),
        Format::Tiff => labels_of_gray(tiff::frame(&mut file, &name, limits)?),
        Format::Npy => npy::labels(&mut file, &name, limits),
    }
}

/// Expands folders: a file stays as it is, a folder becomes its files with one of [`EXTENSIONS`], sorted by
/// name (bytewise), not looking into folders inside it and leaving out names that begin with a dot.
///
/// Every path that cannot be used gets its own error at its place, so that all problems show at once.
#[must_use]
pub fn list(paths: &[PathBuf]) -> Vec<Result<PathBuf, ReadError>> {
    let mut found = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => match list_folder(path) {
                Ok(files) => found.extend(files.into_iter().map(Ok)),
                Err(error) => found.push(Err(error)),
            },
            Ok(_) => found.push(Ok(path.clone())),
            Err(error) => found.push(Err(ReadError::io(&path.display().to_string(), "path", &error))),
        }
    }
    found
}

fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let name = folder.display().to_string();
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|error| ReadError::io(&name, "folder", &error))?;
    for (count, entry) in entries.enumerate() {
        if count == MAX_ENTRIES {
            return Err(ReadError::new(
                ReadErrorKind::TooLarge,
                &name,
                "folder",
                format!("more than {MAX_ENTRIES} entries"),
                "split the folder",
            ));
        }
        let path = entry.map_err(|error| ReadError::io(&name, "folder", &error))?.path();
        if is_listed(&path) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(ReadError::new(
            ReadErrorKind::Empty,
            &name,
            "folder",
            format!("no file ending in {}", EXTENSIONS.join(", ")),
            "name a folder that holds images itself; folders inside it are not searched",
        ));
    }
    files.sort_by(|left, right| left.file_name().cmp(&right.file_name()));
    Ok(files)
}

fn is_listed(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path
        .extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| EXTENSIONS.iter().any(|extension| ending.eq_ignore_ascii_case(extension)));
    known && !hidden
}

/// Opens a regular file no longer than any accepted image could be.
fn open_bounded(path: &Path, name: &str, limits: Limits) -> Result<BufReader<File>, ReadError> {
    // Asked before opening, because opening a pipe would block.
    let metadata = std::fs::metadata(path).map_err(|error| ReadError::io(name, "path", &error))?;
    if !metadata.is_file() {
        return Err(ReadError::new(
            ReadErrorKind::NotAFile,
            name,
            "path",
            "not a regular file",
            "name a file, or list the folder first",
        ));
    }
    let most = (limits.samples as u64).saturating_mul(8).saturating_add(1 << 20);
    if metadata.len() > most {
        return Err(ReadError::new(
            ReadErrorKind::TooLarge,
            name,
            "file length",
            format!("{} bytes exceed the limit of {most}", metadata.len()),
            "crop or downsample the image",
        ));
    }
    let file = File::open(path).map_err(|error| ReadError::io(name, "path", &error))?;
    Ok(BufReader::new(file))
}

/// Tells the format by content and leaves the reader at the start.
fn sniff(reader: &mut (impl Read + Seek), name: &str) -> Result<Format, ReadError> {
    let mut start = Vec::with_capacity(132);
    reader
        .by_ref()
        .take(132)
        .read_to_end(&mut start)
        .map_err(|error| ReadError::io(name, "start", &error))?;
    reader.seek(SeekFrom::Start(0)).map_err(|error| ReadError::io(name, "start", &error))?;
    // DICOM first: its 128-byte preamble may imitate a TIFF (PS3.10, 7.1).
    let (what, fix) = if start.get(128..132) == Some(b"DICM") {
        ("a DICOM file", "export the frame as 16-bit PNG or TIFF")
    } else if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    } else if [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| start.starts_with(magic)) {
        return Ok(Format::Tiff);
    } else if start.starts_with(b"\x93NUMPY") {
        return Ok(Format::Npy);
    } else if start.is_empty() {
        return Err(ReadError::new(
            ReadErrorKind::Empty,
            name,
            "start",
            "the file is empty",
            "copy it again",
        ));
    } else if start.starts_with(b"\xff\xd8\xff") {
        ("a JPEG file, whose losses change what a model sees", "export the original frame as PNG or TIFF")
    } else if start.starts_with(b"PK\x03\x04") {
        ("a ZIP archive (.npz?)", "save one array with numpy.save instead of numpy.savez")
    } else {
        ("none of PNG, TIFF and .npy by its first bytes", "convert it to PNG or TIFF")
    };
    Err(ReadError::new(ReadErrorKind::UnknownFormat, name, "start", what, fix))
}

/// A gray or gray-valued integer frame as labels.
fn labels_of_gray(frame: Frame) -> Result<Labels, ReadError> {
    let name = frame.source().name.clone();
    let (width, height, channels) = (frame.width(), frame.height(), frame.channels());
    let values = match frame.into_samples() {
        Samples::U8(values) => one_channel(values, channels, width, &name)?,
        Samples::U16(values) => narrow(&one_channel(values, channels, width, &name)?, width, &name)?,
        Samples::F32(_) => {
            return Err(ReadError::new(
                ReadErrorKind::Unsupported,
                &name,
                "sample type",
                "floats are not class indices",
                "save the mask with 8-bit integers",
            ));
        }
    };
    Labels::new(width, height, values).map_err(|error| ReadError::frame(&name, "image", &error))
}

/// The common value of equal channels.
fn one_channel<T: Copy + PartialEq>(
    values: Vec<T>,
    channels: usize,
    width: usize,
    name: &str,
) -> Result<Vec<T>, ReadError> {
    if channels == 1 {
        return Ok(values);
    }
    let coloured =
        values.chunks_exact(channels).position(|pixel| pixel.iter().any(|&value| value != pixel[0]));
    match coloured {
        Some(index) => Err(ReadError::new(
            ReadErrorKind::Unsupported,
            name,
            &pixel_place(index, width),
            "a colour, where a mask holds one class index per pixel",
            "save the mask as a palette or gray PNG",
        )),
        None => Ok(values.chunks_exact(channels).map(|pixel| pixel[0]).collect()),
    }
}

fn narrow(values: &[u16], width: usize, name: &str) -> Result<Vec<u8>, ReadError> {
    let mut narrowed = Vec::with_capacity(values.len());
    for (index, &value) in values.iter().enumerate() {
        narrowed.push(u8::try_from(value).map_err(|_| {
            ReadError::new(
                ReadErrorKind::Unsupported,
                name,
                &pixel_place(index, width),
                format!("value {value}, where a class index is at most 255"),
                "save the mask with 8-bit class indices",
            )
        })?);
    }
    Ok(narrowed)
}

/// Where a pixel is, for messages: `row R, column C`.
fn pixel_place(index: usize, width: usize) -> String {
    format!("row {}, column {}", index / width, index % width)
}
