//! Drift of score series over a stream, with a stated share of false alarms and a fixed number of bytes.
//!
//! Frames of a stream resemble their neighbours, which makes any test that takes them for independent
//! raise alarms at random. So the autocorrelation is measured first, on a warm-up, and one bet is made per
//! decorrelated block, at a time drawn by lot, on the mean of its last third. Its rank among the warm-up
//! and the whole past is uniform for as long as the blocks are exchangeable ([`Ranks`]); two kinds of bets
//! against that ([`Evidence`]) grow when they are not.
//!
//! # Guarantee
//! With `n` blocks watched, the probability of any alarm is at most `share·(1 + n/horizon)/2` while block
//! values are exchangeable: at most `share` within the first `horizon` blocks, and half a share per
//! `horizon` blocks from then on. Half of the share is the restarted Simple Jumper's, by Ville's
//! inequality, for ever; half is the Shiryaev–Roberts mixture's, whose expectation is the number of blocks,
//! by Doob's. Both use the same ranks of one series, so their mean is one non-negative submartingale;
//! several series divide the share among them (union bound, however they depend on each other). After an
//! alarm and recovery the count begins anew. What remains unproven is that blocks of the measured length
//! are independent: the tests simulate that.

mod alarm;
mod bets;
mod ladder;
mod neighbours;
mod ranks;
mod settings;
mod state;

pub use alarm::{Alarm, Direction, Method};
pub use bets::{Bet, Evidence};
pub use ladder::{BLOCK_MAX, Ladder};
use neighbours::Neighbours;
pub use ranks::Ranks;
pub use settings::{DriftSettings, WARMUP_MIN};

use crate::error::Error;

/// The warm-up goes on until so many blocks can be ranked against ...
const REFERENCE_BLOCKS: u64 = 8;
/// ... or it is so many times as long as it was to be.
const WARMUP_STRETCH: u64 = 16;
/// Of so many parts of a block, the mean of the last is ranked.
const WINDOWS: u32 = 3;
/// Blocks that must look as before, together, before an alarm is over.
pub const RECOVERY_BLOCKS: usize = 64;
/// A block is clean when no rank lies in the outer part of so much, over all series and both sides.
const TAIL: f64 = 0.02;

/// What the detector is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Learning what is normal.
    WarmUp,
    /// Betting against it once per block.
    Watching,
    /// It raised an alarm and waits for the stream to look as before.
    Alarmed,
}

/// What one frame led to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Step {
    /// When the frame ended a block after the warm-up: whether nothing in it was out of the ordinary.
    pub block: Option<bool>,
    /// The alarm, when it completed one.
    pub alarm: Option<Alarm>,
    /// Whether it ended one.
    pub recovered: bool,
}

/// One watched series.
#[derive(Debug, Clone, PartialEq)]
struct Series {
    ladder: Ladder,
    ranks: Ranks,
    /// Sum and number of the scores of the block so far that count.
    sum: f64,
    count: u32,
    evidence: Evidence,
    neighbours: Neighbours,
    /// Ranks of the last blocks since an alarm.
    recent: [f64; RECOVERY_BLOCKS],
}

impl Series {
    /// The mean of the block that ended; not a number when none of its scores was one.
    fn take_mean(&mut self) -> f64 {
        let mean = self.sum / f64::from(self.count);
        (self.sum, self.count) = (0.0, 0);
        mean
    }
}

/// The drift detector. Nothing is allocated after it was made.
///
/// ```
/// use candor::drift::{Drift, DriftSettings};
/// let mut drift = Drift::new(&DriftSettings::new(1))?;
/// let mix = |z: u64| (z ^ (z >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40;
/// let noise = |frame: u64| mix((frame + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9)) as f64;
/// for frame in 0..3000 {
///     assert_eq!(drift.push(&[noise(frame)]).alarm, None);
/// }
/// let alarm = (3000..4000).find_map(|frame| drift.push(&[noise(frame) + 2e7]).alarm);
/// assert_eq!(alarm.map(|alarm| alarm.series), Some(0));
/// # Ok::<(), candor::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    settings: DriftSettings,
    phase: Phase,
    series: Vec<Series>,
    /// Frames so far.
    frames: u64,
    /// Frames of the warm-up, and since the last block ended.
    warmed: u64,
    since: u64,
    /// Blocks of the warm-up that are ranked against.
    reference: u64,
    block: u32,
    /// Frames at the end of a block whose mean is ranked.
    window: u32,
    autocorrelation: f64,
    /// Blocks of this watch, of all, and since an alarm.
    watched: u64,
    blocks: u64,
    recent: usize,
    /// Times the block was doubled after the warm-up.
    lengthened: u32,
    evidence_max: f64,
}

impl Drift {
    /// A detector at the beginning of its warm-up.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) names the setting out of range.
    pub fn new(settings: &DriftSettings) -> Result<Self, Error> {
        settings.check()?;
        let series = Series {
            ladder: Ladder::default(),
            ranks: Ranks::default(),
            sum: 0.0,
            count: 0,
            evidence: Evidence::default(),
            neighbours: Neighbours::default(),
            recent: [0.0; RECOVERY_BLOCKS],
        };
        Ok(Self {
            settings: *settings,
            phase: Phase::WarmUp,
            series: vec![series; settings.series],
            frames: 0,
            warmed: 0,
            since: 0,
            reference: 0,
            block: 0,
            window: 0,
            autocorrelation: 0.0,
            watched: 0,
            blocks: 0,
            recent: 0,
            lengthened: 0,
            evidence_max: 0.0,
        })
    }

    /// Takes the scores of one frame, one per series; missing ones, and those that are not numbers, are
    /// left out.
    pub fn push(&mut self, scores: &[f64]) -> Step {
        let frame = self.frames;
        self.frames += 1;
        match self.phase {
            Phase::WarmUp => {
                self.warm(scores);
                Step::default()
            }
            Phase::Watching | Phase::Alarmed => {
                if self.ends_block(scores) {
                    self.watch(frame)
                } else {
                    Step::default()
                }
            }
        }
    }

    /// What the detector is doing.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Frames per block at least, and twice as many at most; 0 during the warm-up.
    pub const fn block(&self) -> u32 {
        self.block
    }

    /// Lag-one autocorrelation of the series that is most correlated, over the warm-up.
    pub const fn autocorrelation(&self) -> f64 {
        self.autocorrelation
    }

    /// Blocks watched, alarms and all.
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How often the block was doubled because neighbouring blocks were correlated after all.
    pub const fn lengthened(&self) -> u32 {
        self.lengthened
    }

    /// Evidence of the series that moved most, scaled so that 1/share raises an alarm.
    pub fn evidence(&self) -> f64 {
        let values = self.series.iter().map(|series| series.evidence.value(self.settings.horizon));
        values.fold(0.0, f64::max) / self.settings.series as f64
    }

    /// Evidence of one series, on the same scale.
    pub fn series_evidence(&self, series: usize) -> Option<f64> {
        let value = self.series.get(series)?.evidence.value(self.settings.horizon);
        Some(value / self.settings.series as f64)
    }

    /// The greatest [`Drift::evidence`] so far.
    pub const fn evidence_max(&self) -> f64 {
        self.evidence_max
    }

    /// The settings.
    pub const fn settings(&self) -> &DriftSettings {
        &self.settings
    }

    /// The guarantee in words.
    pub fn guarantee(&self) -> String {
        let DriftSettings { share, horizon, series, .. } = self.settings;
        format!(
            "at most {:.2} % false alarms within {horizon} decorrelated blocks, half as many per {horizon} \
             blocks from then on, over {series} series, while block values are exchangeable",
            100.0 * share
        )
    }

    /// Takes what comes from now on as normal: forgets everything but the settings.
    pub fn restart(&mut self) {
        for series in &mut self.series {
            series.ladder = Ladder::default();
            series.ranks.clear();
            series.evidence = Evidence::default();
            series.neighbours = Neighbours::default();
            (series.sum, series.count) = (0.0, 0);
        }
        (self.phase, self.warmed, self.since) = (Phase::WarmUp, 0, 0);
        (self.block, self.reference, self.watched, self.recent) = (0, 0, 0, 0);
    }

    fn score(scores: &[f64], series: usize) -> f64 {
        scores.get(series).copied().unwrap_or(f64::NAN)
    }

    /// One frame of the warm-up. Its first half, the pilot, fixes the scale on which ranks are counted and
    /// the length of a block; blocks of the second are ranked against.
    fn warm(&mut self, scores: &[f64]) {
        let pilot = u64::from(self.settings.warmup / 2);
        if self.warmed == pilot {
            for series in &mut self.series {
                let (mean, deviation) = series.ladder.moments();
                series.ranks.set_scale(mean, deviation);
            }
            self.measure();
        }
        for (index, series) in self.series.iter_mut().enumerate() {
            series.ladder.push(Self::score(scores, index));
        }
        self.warmed += 1;
        if self.warmed > pilot && self.ends_block(scores) {
            self.reference += 1;
            for series in &mut self.series {
                let mean = series.take_mean();
                series.ranks.insert(mean);
            }
        }
        let nominal = u64::from(self.settings.warmup);
        let enough = self.reference >= REFERENCE_BLOCKS || self.warmed >= nominal * WARMUP_STRETCH;
        if self.warmed >= nominal && enough {
            self.end_warmup();
        }
    }

    /// Ends the warm-up, unless all of it asks for longer blocks than its pilot did: then those are
    /// gathered first.
    fn end_warmup(&mut self) {
        let before = self.block;
        self.measure();
        let longer = u64::from(self.block) * 4 > u64::from(before) * 5;
        if longer && self.warmed < u64::from(self.settings.warmup) * WARMUP_STRETCH {
            self.series.iter_mut().for_each(|series| series.ranks.clear());
            self.reference = 0;
        } else {
            (self.block, self.window) = (before, before.div_ceil(WINDOWS));
            (self.phase, self.watched) = (Phase::Watching, 0);
        }
        self.since = 0;
        for series in &mut self.series {
            (series.sum, series.count) = (0.0, 0);
        }
    }

    /// Sets block, window and autocorrelation by what the ladders have seen.
    fn measure(&mut self) {
        let lengths = self.series.iter().map(|series| series.ladder.block());
        self.block = lengths.max().unwrap_or(1);
        self.window = self.block.div_ceil(WINDOWS);
        let lag_one = self.series.iter().map(|series| series.ladder.correlation(0));
        self.autocorrelation = lag_one.fold(-1.0, f64::max);
    }

    /// Adds a frame to the block; whether it is the last. What is ranked of a block is the mean of its last
    /// third: it shows a shift more clearly than a single frame, and the rest keeps it apart from the block
    /// before.
    fn ends_block(&mut self, scores: &[f64]) -> bool {
        self.since += 1;
        let gap = self.gap();
        if self.since + u64::from(self.window) > gap {
            for (index, series) in self.series.iter_mut().enumerate() {
                let score = Self::score(scores, index);
                if !score.is_nan() {
                    (series.sum, series.count) = (series.sum + score, series.count + 1);
                }
            }
        }
        let ends = self.since >= gap;
        if ends {
            self.since = 0;
        }
        ends
    }

    /// Doubles the block when the ranks of neighbouring blocks are correlated by more than chance: then the
    /// stream is more correlated than it was, or in a way that the warm-up did not show.
    fn review(&mut self) {
        if self.block < BLOCK_MAX && self.series.iter().any(|series| series.neighbours.correlated()) {
            self.block = (2 * self.block).min(BLOCK_MAX);
            self.lengthened += 1;
            self.series.iter_mut().for_each(|series| series.neighbours = Neighbours::default());
        }
    }

    fn watch(&mut self, frame: u64) -> Step {
        self.watched += 1;
        self.blocks += 1;
        let clean = self.bet();
        let mut step = Step { block: Some(clean), ..Step::default() };
        if self.phase == Phase::Alarmed {
            step.recovered = self.recovered();
        } else {
            step.alarm = self.alarm(frame);
        }
        if self.phase == Phase::Watching {
            self.review();
        }
        step
    }

    fn lot(&self, number: u64, lot: Lot) -> f64 {
        uniform(self.settings.seed, number, lot.number())
    }

    /// Frames from the end of the last block to that of the next: a block, and a part of one by chance, so
    /// that a series with a period, such as a heart beat's, is met in all its phases and not in a slow beat
    /// with the blocks.
    fn gap(&self) -> u64 {
        let part = match self.phase {
            Phase::WarmUp => self.lot(self.reference, Lot::Reference),
            Phase::Watching | Phase::Alarmed => self.lot(self.blocks, Lot::Time),
        };
        let part = part * f64::from(self.block);
        u64::from(self.block) + part as u64
    }

    /// Ranks a block's means and bets on them; `false` when one of them lies far out.
    fn bet(&mut self) -> bool {
        let tail = TAIL / (2 * self.settings.series) as f64;
        let alarmed = self.phase == Phase::Alarmed;
        let mut clean = true;
        for (index, series) in self.series.iter_mut().enumerate() {
            let score = series.take_mean();
            if score.is_nan() {
                continue;
            }
            let chance = uniform(self.settings.seed, self.blocks, Lot::Tie(index).number());
            let rank = series.ranks.rank(score, chance);
            clean &= rank > tail && rank < 1.0 - tail;
            if alarmed {
                series.recent[self.recent % RECOVERY_BLOCKS] = rank;
            } else {
                series.ranks.insert(score);
                series.evidence.bet(rank);
                series.neighbours.push(rank);
            }
        }
        self.recent += usize::from(alarmed);
        clean
    }

    fn alarm(&mut self, frame: u64) -> Option<Alarm> {
        let evidence = self.evidence();
        self.evidence_max = self.evidence_max.max(evidence);
        if evidence * self.settings.share < 1.0 {
            return None;
        }
        let horizon = self.settings.horizon;
        let values = self.series.iter().map(|series| series.evidence.value(horizon));
        let (series, _) = values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let Bet { method, direction } = self.series[series].evidence.leading(horizon);
        let alarm = Alarm { frame, blocks: self.watched, series, direction, method, evidence };
        (self.phase, self.recent) = (Phase::Alarmed, 0);
        Some(alarm)
    }

    /// Whether the last [`RECOVERY_BLOCKS`] blocks look as those before the alarm did: the means of their
    /// ranks, and of the ranks' distances from the middle, lie within two standard errors of what is
    /// expected of uniform ones. The reference was left as it was at the alarm; no block is looked at
    /// twice.
    fn recovered(&mut self) -> bool {
        if self.recent == 0 || !self.recent.is_multiple_of(RECOVERY_BLOCKS) {
            return false;
        }
        let count = RECOVERY_BLOCKS as f64;
        // Standard deviations 1/√12 and 1/√48.
        let (mean_off, spread_off) = (2.0 / (12.0 * count).sqrt(), 2.0 / (48.0 * count).sqrt());
        let usual = |series: &Series| {
            let mean = series.recent.iter().sum::<f64>() / count;
            let spread = series.recent.iter().map(|rank| (rank - 0.5).abs()).sum::<f64>() / count;
            (mean - 0.5).abs() <= mean_off && (spread - 0.25).abs() <= spread_off
        };
        let recovered = self.series.iter().all(usual);
        if recovered {
            for series in &mut self.series {
                series.evidence = Evidence::default();
                series.neighbours = Neighbours::default();
            }
            (self.phase, self.watched) = (Phase::Watching, 0);
        }
        recovered
    }
}

/// What is drawn by lot.
#[derive(Clone, Copy)]
enum Lot {
    /// How the ties of a series are broken at a block.
    Tie(usize),
    /// When the block after so many is met.
    Time,
    /// When the block of the warm-up after so many is met.
    Reference,
}

impl Lot {
    const fn number(self) -> u64 {
        match self {
            Self::Tie(series) => series as u64,
            Self::Time => 1 << 16,
            Self::Reference => 1 << 17,
        }
    }
}

/// A number in (0, 1) by seed, number and purpose alone: SplitMix64 (Steele, Lea & Flood, 2014) as a counter
/// generator, so that a replay makes the same choices.
fn uniform(seed: u64, number: u64, purpose: u64) -> f64 {
    let mut z = seed;
    for word in [number, purpose] {
        z = z.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    ((z >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

#[cfg(test)]
mod tests;
