//! Folders of frames and masks: pairing by name, the fixed split rule, class labels.

use candor::{FrameView, Samples};
use candor_imaging::frame::{Frame, Samples as FrameSamples};
use candor_imaging::read;
use std::path::{Path, PathBuf};

/// Which half of a folder to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Every frame
    All,
    /// Frames whose name hashes to an even number: for packing
    Fit,
    /// Frames whose name hashes to an odd number: for evaluation
    Test,
}

impl Split {
    /// Whether the frame called `stem` belongs to this side: the parity of its 64-bit FNV-1a hash (Fowler,
    /// Noll & Vo).
    pub fn takes(self, stem: &str) -> bool {
        match self {
            Self::All => true,
            Self::Fit => hash(stem).is_multiple_of(2),
            Self::Test => !hash(stem).is_multiple_of(2),
        }
    }
}

/// The 64-bit FNV-1a hash of a name (Fowler, Noll & Vo).
#[must_use]
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One frame file and its mask file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// File name without extension.
    pub name: String,
    /// Frame.
    pub image: PathBuf,
    /// Mask, when a mask folder was given.
    pub mask: Option<PathBuf>,
}

/// Lists the frames of `images` on one side of the split, with their masks; sorted by name.
///
/// # Errors
/// One line per unreadable entry or missing mask.
pub fn list(
    images: &Path,
    masks: Option<&Path>,
    split: Split,
    only: Option<&Path>,
) -> Result<Vec<Entry>, Vec<String>> {
    let mut problems = Vec::new();
    let wanted = match only.map(std::fs::read_to_string).transpose() {
        Ok(text) => text,
        Err(error) => return Err(vec![format!("{}: {error}", only.unwrap_or(images).display())]),
    };
    let names: Option<Vec<&str>> = wanted.as_ref().map(|text| text.lines().map(str::trim).collect());
    let mut entries = Vec::new();
    for path in read::list(&[images.to_path_buf()]) {
        let path = match path {
            Ok(path) => path,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !split.takes(&name) || names.as_ref().is_some_and(|names| !names.contains(&name.as_str())) {
            continue;
        }
        let mask = masks.map(|folder| folder.join(format!("{name}.png")));
        if let Some(mask) = mask.as_ref().filter(|mask| !mask.is_file()) {
            problems.push(format!("{}: no such mask for {}", mask.display(), path.display()));
        }
        entries.push(Entry { name, image: path, mask });
    }
    if entries.is_empty() && problems.is_empty() {
        let what = "--split and --only leave no frame; name a folder or a list that has some";
        problems.push(format!("{}: {what}", images.display()));
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

impl Entry {
    /// Reads the frame.
    ///
    /// # Errors
    /// The reader's line.
    pub fn frame(&self) -> Result<Frame, String> {
        read::open(&self.image).map_err(|error| error.to_string())
    }

    /// Reads the mask as class labels of `classes` classes: values below `classes` are classes; a
    /// two-valued mask of 0 and 255 is background and foreground.
    ///
    /// # Errors
    /// A line naming the file: unreadable, another size than the frame, or a value that is no class.
    pub fn labels(&self, frame: &Frame, classes: usize) -> Result<Vec<u8>, String> {
        let Some(path) = &self.mask else { return Err(format!("{}: no mask", self.image.display())) };
        let labels = read::mask(path).map_err(|error| error.to_string())?;
        if (labels.width(), labels.height()) != (frame.width(), frame.height()) {
            return Err(format!(
                "{}: mask of {}x{} for a frame of {}x{}; give a mask of the frame's size",
                path.display(),
                labels.width(),
                labels.height(),
                frame.width(),
                frame.height()
            ));
        }
        let binary = labels.distinct().iter().all(|&value| value == 0 || value == 255);
        let labels = if binary { labels.mapped(|value| u8::from(value > 0)) } else { labels };
        if let Some(value) = labels.distinct().into_iter().find(|&value| usize::from(value) >= classes) {
            let fix =
                format!("give values up to {}, or 0 and 255 for two classes", classes.saturating_sub(1));
            return Err(format!("{}: value {value} is no class; {fix}", path.display()));
        }
        Ok(labels.into_values())
    }
}

/// A frame as the engine takes it; `None` for float arrays.
pub fn view(frame: &Frame) -> Option<FrameView<'_>> {
    let samples = match frame.samples() {
        FrameSamples::U8(samples) => Samples::U8(samples),
        FrameSamples::U16(samples) => Samples::U16(samples),
        FrameSamples::F32(_) => return None,
    };
    Some(FrameView {
        width: frame.width(),
        height: frame.height(),
        channels: frame.channels(),
        full_scale: frame.max_value().unwrap_or(255),
        samples,
    })
}
