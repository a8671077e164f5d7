//! Learning from corrected masks: online Platt scaling with calibeating, in bounded steps that can be undone.
//!
//! For every class that a mask can hold there is one map from the package's confidence to the probability
//! that the label is right (top-label calibration, Gupta & Ramdas, 2022): Platt scaling
//! `σ(a·logit(confidence) + b)`, then calibeating (Foster & Hart, 2023; with Platt scaling: Gupta & Ramdas,
//! 2023), which shifts the forecasts of each of twenty bins by the mean error they had. A lesson is one
//! labelled frame. Lessons are kept as counts per confidence level, older ones discounted; every lesson
//! takes one Newton step of bounded length towards the parameters that are likeliest under those counts:
//! follow-the-leader, whose regret is logarithmic for losses such as this one (Hazan, Agarwal & Kale, 2007).
//!
//! # Guarantee
//! None without labels. With them, bin by bin, the mean of what was stated follows the mean of what was
//! right over the discounted past, whatever the sequence.

mod class;
mod exponential;
mod lesson;

pub use class::Platt;
pub use exponential::exponential;
pub use lesson::Lesson;

use crate::error::{Error, ErrorKind};
use crate::statistics::{CLASSES_MAX, Reliability, UNLABELLED};
use candor_core::calibration::{self, KNOTS};
use candor_core::state::{DIGEST_BYTES, HEADER_BYTES, Reader, StateError, Writer};
use class::{ClassMap, Counts, LEVELS};

/// Lessons that can be undone.
pub const UNDO_DEPTH: usize = 4;
/// Lessons whose stated confidence is remembered for [`Recalibrator::recent_error`].
pub const RECENT_LESSONS: usize = 8;

const KIND: [u8; 4] = *b"CREC";
const VERSION: u16 = 1;

/// The maps in force, ready to be applied to findings; integers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfidenceMaps(Vec<[u16; KNOTS]>);

impl ConfidenceMaps {
    /// Maps that change nothing for `classes` classes but state at most `cap` (in 1/65535).
    pub fn capped(classes: usize, cap: u16) -> Self {
        Self(vec![calibration::capped_identity(cap); classes.clamp(1, CLASSES_MAX)])
    }

    /// Lowers every map to at most `cap`.
    pub fn cap(&mut self, cap: u16) {
        self.0.iter_mut().flatten().for_each(|knot| *knot = (*knot).min(cap));
    }

    /// The maps by class.
    pub fn maps(&self) -> &[[u16; KNOTS]] {
        &self.0
    }

    /// Replaces the confidence of a finding, both `[H·W]`; allocates nothing.
    pub fn apply(&self, mask: &[u8], confidence: &mut [u16]) {
        calibration::remap(&self.0, mask, confidence);
    }
}

/// One undoable state: the maps of all classes.
#[derive(Debug, Clone, PartialEq)]
struct Knowledge {
    classes: Vec<ClassMap>,
    lessons: u64,
}

/// The online calibrator of one stream. All its memory is taken when it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalibrator {
    now: Knowledge,
    /// Earlier states, the newest at `undoable − 1` counted from `oldest`.
    before: Vec<Knowledge>,
    oldest: usize,
    undoable: usize,
    /// Counts of the lesson at hand, by class.
    lesson: Vec<Counts>,
    maps: ConfidenceMaps,
    /// What the package alone, and what the maps then in force, stated on every labelled frame.
    package: Reliability,
    stated: Reliability,
    recent: [Reliability; RECENT_LESSONS],
}

impl Recalibrator {
    /// One that changes nothing yet, for `classes` classes, of which at most [`CLASSES_MAX`] are told
    /// apart.
    pub fn new(classes: usize) -> Self {
        let classes = classes.clamp(1, CLASSES_MAX);
        let knowledge = Knowledge { classes: vec![ClassMap::default(); classes], lessons: 0 };
        Self {
            before: vec![knowledge.clone(); UNDO_DEPTH],
            now: knowledge,
            oldest: 0,
            undoable: 0,
            lesson: vec![Counts::default(); classes],
            maps: ConfidenceMaps::capped(classes, u16::MAX),
            package: Reliability::default(),
            stated: Reliability::default(),
            recent: [Reliability::default(); RECENT_LESSONS],
        }
    }

    /// Learns from one frame: its mask, the *package's* confidence (before any map) and the true labels,
    /// each `[H·W]`; pixels labelled 255 are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the lengths differ, no pixel is labelled, or a label is of no class;
    /// nothing is learned then.
    pub fn learn(&mut self, mask: &[u8], confidence: &[u16], truth: &[u8]) -> Result<Lesson, Error> {
        self.check(mask, confidence, truth)?;
        self.count(mask, confidence, truth);
        let before = self.judge(mask, confidence, truth);
        self.package.add(mask, confidence, truth);
        self.stated.merge(&before);
        self.remember();
        self.recent[(self.now.lessons % RECENT_LESSONS as u64) as usize] = before;
        self.now.lessons += 1;
        let mut bounded = false;
        for (class, counts) in self.now.classes.iter_mut().zip(&self.lesson) {
            bounded |= class.learn(counts);
        }
        self.draw();
        let after = self.judge(mask, confidence, truth);
        Ok(Lesson { number: self.now.lessons, before, after, bounded })
    }

    /// Takes the last lesson back, as far as [`UNDO_DEPTH`] allows; the reliability on record stays. Returns
    /// whether there was one.
    pub fn undo(&mut self) -> bool {
        let Some(last) = self.undoable.checked_sub(1) else { return false };
        let place = (self.oldest + last) % UNDO_DEPTH;
        std::mem::swap(&mut self.now, &mut self.before[place]);
        self.undoable = last;
        self.draw();
        true
    }

    /// Lessons learned and not undone.
    pub const fn lessons(&self) -> u64 {
        self.now.lessons
    }

    /// The maps in force.
    pub const fn maps(&self) -> &ConfidenceMaps {
        &self.maps
    }

    /// Platt parameters in force, by class.
    pub fn parameters(&self) -> impl Iterator<Item = Platt> {
        self.now.classes.iter().map(ClassMap::parameters)
    }

    /// Reliability of the package's own confidence on all labelled frames.
    pub const fn package(&self) -> &Reliability {
        &self.package
    }

    /// Reliability of what was stated on all labelled frames, each before it was learned from.
    pub const fn stated(&self) -> &Reliability {
        &self.stated
    }

    /// Expected calibration error of what was stated on the last [`RECENT_LESSONS`] labelled frames, each
    /// before it was learned from; `None` with fewer. A small one is evidence that confidence can be
    /// relied on again: see [`Trust::restore`](candor_core::alert::Trust::restore).
    pub fn recent_error(&self) -> Option<f64> {
        if self.now.lessons < RECENT_LESSONS as u64 {
            return None;
        }
        let mut all = Reliability::default();
        self.recent.iter().for_each(|lesson| all.merge(lesson));
        all.error()
    }

    fn check(&self, mask: &[u8], confidence: &[u16], truth: &[u8]) -> Result<(), Error> {
        let fault = |what: String| Err(Error::new(ErrorKind::Input, format!("labels: {what}")));
        let pixels = mask.len();
        if confidence.len() != pixels || truth.len() != pixels {
            return fault(format!("{} for a frame of {pixels} pixels; give one per pixel", truth.len()));
        }
        if truth.iter().all(|&label| label == UNLABELLED) {
            return fault("no pixel is labelled; label some, or leave the file out".into());
        }
        let classes = self.now.classes.len();
        let known = |label: u8| label == UNLABELLED || classes == CLASSES_MAX || usize::from(label) < classes;
        match truth.iter().find(|&&label| !known(label)) {
            None => Ok(()),
            Some(label) => fault(format!("label {label} of {classes} classes; 255 marks pixels without one")),
        }
    }

    fn count(&mut self, mask: &[u8], confidence: &[u16], truth: &[u8]) {
        self.lesson.iter_mut().for_each(|counts| *counts = Counts::default());
        let last = self.lesson.len() - 1;
        for ((&label, &value), &truth) in mask.iter().zip(confidence).zip(truth) {
            if truth != UNLABELLED {
                self.lesson[usize::from(label).min(last)].add(value, label == truth);
            }
        }
    }

    /// Reliability of the maps in force on one frame.
    fn judge(&self, mask: &[u8], confidence: &[u16], truth: &[u8]) -> Reliability {
        let mut reliability = Reliability::default();
        let last = self.maps.0.len() - 1;
        for ((&label, &value), &truth) in mask.iter().zip(confidence).zip(truth) {
            let stated = calibration::mapped(&self.maps.0[usize::from(label).min(last)], value);
            reliability.add(&[label], &[stated], &[truth]);
        }
        reliability
    }

    fn remember(&mut self) {
        let place = (self.oldest + self.undoable) % UNDO_DEPTH;
        self.before[place].clone_from(&self.now);
        if self.undoable == UNDO_DEPTH {
            self.oldest = (self.oldest + 1) % UNDO_DEPTH;
        } else {
            self.undoable += 1;
        }
    }

    fn draw(&mut self) {
        let learned = self.now.lessons > 0;
        for (class, map) in self.now.classes.iter().zip(&mut self.maps.0) {
            *map = if learned { class.map() } else { calibration::capped_identity(u16::MAX) };
        }
    }

    /// Bytes of the state for `classes` classes.
    pub const fn bytes(classes: usize) -> usize {
        let knowledge = 8 + classes * ClassMap::BYTES;
        let records = (2 + RECENT_LESSONS) * Reliability::BYTES;
        HEADER_BYTES + 12 + (1 + UNDO_DEPTH) * knowledge + records + DIGEST_BYTES
    }

    /// The state as bytes, undoable lessons included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::bytes(self.now.classes.len())];
        let mut writer = Writer::new(&mut bytes, KIND, VERSION);
        writer.u32(self.now.classes.len() as u32);
        writer.u32(self.oldest as u32);
        writer.u32(self.undoable as u32);
        for knowledge in std::iter::once(&self.now).chain(&self.before) {
            writer.u64(knowledge.lessons);
            knowledge.classes.iter().for_each(|class| class.write(&mut writer));
        }
        let records = [&self.package, &self.stated].into_iter().chain(&self.recent);
        records.for_each(|reliability| reliability.write(&mut writer));
        // The length is right by construction.
        let _ = writer.finish();
        bytes
    }

    /// Goes on from a state that was kept for `classes` classes.
    ///
    /// # Errors
    /// [`StateError::Settings`] when it was kept for another number; else when the bytes are not such a
    /// state.
    pub fn from_bytes(bytes: &[u8], classes: usize) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let mut own = Self::new(classes);
        if reader.u32()? as usize != own.now.classes.len() {
            return Err(StateError::Settings);
        }
        own.oldest = reader.u32()? as usize;
        own.undoable = reader.u32()? as usize;
        if own.oldest >= UNDO_DEPTH || own.undoable > UNDO_DEPTH {
            return Err(reader.fault(8));
        }
        for knowledge in std::iter::once(&mut own.now).chain(&mut own.before) {
            knowledge.lessons = reader.u64()?;
            for class in &mut knowledge.classes {
                *class = ClassMap::read(&mut reader)?;
            }
        }
        let records = [&mut own.package, &mut own.stated].into_iter().chain(&mut own.recent);
        for reliability in records {
            *reliability = Reliability::read(&mut reader)?;
        }
        reader.finish()?;
        own.draw();
        Ok(own)
    }
}

/// Levels of confidence at which lessons are counted.
pub const LESSON_LEVELS: usize = LEVELS;

#[cfg(test)]
mod tests;
