//! What one labelled frame taught.

use crate::statistics::Reliability;

/// One lesson: how reliable stated confidence was on the frame before and after it was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// Its number, from 1.
    pub number: u64,
    /// Reliability of what the maps stated before the lesson: a fair test, they had not seen the frame.
    pub before: Reliability,
    /// Reliability of what they state of the same frame now.
    pub after: Reliability,
    /// Whether a step was as long as is allowed, so that more lessons of the kind would lead further.
    pub bounded: bool,
}
