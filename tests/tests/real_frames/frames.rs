//! Real frames, what can happen to them, and what the engine says of them.

use std::path::Path;

use candor::drift::Drift;
use candor::statistics::{self, FrameCounts, SERIES};
use candor::{FrameView, Package, Samples, Session, SessionOptions};
use candor_imaging::frame::Samples as Stored;
use candor_imaging::read;
use candor_lab::dataset::Split;
use candor_tests::data;

pub type Scores = [f64; SERIES.len()];

/// An 8-bit frame with its true labels, where there are any.
#[derive(Clone)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub samples: Vec<u8>,
    pub truth: Vec<u8>,
}

impl Picture {
    fn read(path: &Path, mask: Option<&Path>) -> Self {
        let frame = read::open(path).expect("the frame is readable");
        let samples = match frame.samples() {
            Stored::U8(samples) => samples.clone(),
            _ => panic!("{} does not hold 8-bit samples", path.display()),
        };
        let truth =
            mask.map(|path| read::mask(path).expect("the mask is readable").mapped(|value| value.min(1)));
        let truth = truth.map_or_else(Vec::new, |labels| labels.into_values());
        let (width, height, channels) = (frame.width(), frame.height(), frame.channels());
        Self { width, height, channels, samples, truth }
    }

    /// The same with every sample changed by its value, row and column.
    pub fn changed(&self, change: impl Fn(f64, usize, usize) -> f64) -> Self {
        let row = self.width * self.channels;
        let change = |(at, &sample): (usize, &u8)| {
            change(f64::from(sample), at / row, at % row / self.channels).round().clamp(0.0, 255.0) as u8
        };
        Self { samples: self.samples.iter().enumerate().map(change).collect(), ..self.clone() }
    }

    /// The same from right to left, or upside down, or both.
    pub fn turned(&self, right_to_left: bool, upside_down: bool) -> Self {
        let mut turned = self.clone();
        for y in 0..self.height {
            for x in 0..self.width {
                let from_y = if upside_down { self.height - 1 - y } else { y };
                let from_x = if right_to_left { self.width - 1 - x } else { x };
                let (to, from) = (y * self.width + x, from_y * self.width + from_x);
                for channel in 0..self.channels {
                    turned.samples[to * self.channels + channel] =
                        self.samples[from * self.channels + channel];
                }
                if !self.truth.is_empty() {
                    turned.truth[to] = self.truth[from];
                }
            }
        }
        turned
    }

    pub fn view(&self) -> FrameView<'_> {
        FrameView {
            width: self.width,
            height: self.height,
            channels: self.channels,
            full_scale: 255,
            samples: Samples::U8(&self.samples),
        }
    }
}

/// The fluorescence frames of one side of the split, sorted by name.
pub fn nuclei(split: Split) -> Option<Vec<Picture>> {
    let folder = data("nuclei")?;
    let index = std::fs::read_to_string(folder.join("index.json")).expect("the index is readable");
    let index: serde_json::Value = serde_json::from_str(&index).expect("the index is JSON");
    let mut names: Vec<&str> = Vec::new();
    for entry in index.as_array().expect("the index is a list") {
        let name = entry["id"].as_str().expect("frames have names");
        if entry["kind"].as_str().is_some_and(|kind| kind.starts_with("fluo")) && split.takes(name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    let read = |name: &&str| {
        let file = format!("{name}.png");
        Picture::read(&folder.join("images").join(&file), Some(&folder.join("masks").join(&file)))
    };
    Some(names.iter().map(read).collect())
}

/// Every third of the frames of another kind, at most 24.
pub fn foreign(folder: &str) -> Option<Vec<Picture>> {
    let folder = data(folder)?.join("images");
    let files = std::fs::read_dir(folder).expect("the folder is readable");
    let mut files: Vec<_> = files.map(|file| file.expect("the entry is readable").path()).collect();
    files.sort();
    Some(files.iter().step_by(3).take(24).map(|path| Picture::read(path, None)).collect())
}

pub fn session(package: &Package) -> Session<'_> {
    let options = SessionOptions { threads: 2, ..SessionOptions::default() };
    Session::new(package, &options).expect("the package runs")
}

/// What the stream would feed the drift detector.
pub fn scores(session: &mut Session<'_>, pictures: &[Picture]) -> Vec<Scores> {
    let score = |picture: &Picture| {
        let finding = session.run(&picture.view()).expect("the frame runs");
        let counts = FrameCounts::of(finding.mask, finding.confidence);
        statistics::scores(finding.ood.as_ref(), &counts)
    };
    pictures.iter().map(score).collect()
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// A probe that rests: every frame is the last one again with probability `phi`, else a new one at random,
/// so that the correlation at lag k is φ^k.
pub struct Probe<'s> {
    pub scores: &'s [Scores],
    pub phi: f64,
    pub random: Random,
    pub at: usize,
}

impl Probe<'_> {
    pub fn next(&mut self) -> Scores {
        if self.random.below(1 << 20) as f64 >= self.phi * f64::from(1 << 20) {
            self.at = self.random.below(self.scores.len());
        }
        self.scores[self.at]
    }
}

/// Feeds frames until an alarm, the end of `blocks` more blocks, or of `frames` frames; the alarm's series.
pub fn watch(drift: &mut Drift, probe: &mut Probe<'_>, frames: u64, blocks: u64) -> Option<usize> {
    let end = drift.blocks() + blocks;
    for _ in 0..frames {
        if let Some(alarm) = drift.push(&probe.next()).alarm {
            return Some(alarm.series);
        }
        if drift.blocks() >= end {
            return None;
        }
    }
    None
}
