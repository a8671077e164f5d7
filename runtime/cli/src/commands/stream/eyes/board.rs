//! What is shown: a copy of the stream's counts, and of a frame while somebody looks.

use candor::Finding;
use candor::drift::Phase;
use candor::stream::ledger::{Disposition, Ledger};
use candor::stream::meters::Meters;
use candor::stream::{Report, Ring, Sink, Slot, Stream};
use candor_core::alert::{Reason, Standing};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Points of the timelines.
pub const POINTS: usize = 600;
/// A viewer who asked within so many milliseconds is still there.
const LOOKING_MS: u64 = 3000;
/// Time between two copies of the counts.
const COUNTS_MS: u64 = 100;

/// What does not change while a stream runs.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Name of the model.
    pub name: String,
    /// SHA-256 of the package, hexadecimal.
    pub digest: String,
    /// Kernel tier.
    pub tier: &'static str,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Out-of-distribution threshold.
    pub threshold: Option<f64>,
    /// Deadline.
    pub deadline_us: Option<u64>,
    /// Memory budget in bytes.
    pub memory_budget: Option<usize>,
}

/// One point of the timelines.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Frame number.
    pub sequence: u64,
    /// What became of it.
    pub disposition: Disposition,
    /// Its age at output in microseconds.
    pub age_us: u64,
    /// Joint out-of-distribution score.
    pub ood: f64,
    /// Whether it was foreign.
    pub alert: bool,
    /// Mean confidence, capped.
    pub confidence: f64,
}

/// The counts.
#[derive(Debug, Clone)]
pub struct Counts {
    /// The ledger.
    pub ledger: Ledger,
    /// The meters.
    pub meters: Meters,
    /// Every alert's standing, how often it was raised, and whether it is stale.
    pub alerts: [(Standing, u64, bool); Reason::COUNT],
    /// Greatest confidence that may be stated, in 1/65535.
    pub cap: u16,
    /// What calibration is worth.
    pub validity: &'static str,
    /// The drift detector's phase.
    pub phase: &'static str,
    /// Its block in frames, its evidence, and the evidence that raises an alarm.
    pub block: u32,
    /// See [`Self::block`].
    pub evidence: f64,
    /// See [`Self::block`].
    pub evidence_limit: f64,
    /// Bytes held.
    pub bytes: usize,
    /// Lines of the log, and those outstanding.
    pub log_lines: u64,
    /// See [`Self::log_lines`].
    pub log_outstanding: u64,
    /// Last chain value of the log.
    pub log_link: [u8; 32],
}

/// A frame with its result.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// The frame.
    pub slot: Slot,
    /// Class of every pixel.
    pub mask: Vec<u8>,
    /// Confidence of every pixel in 1/65535.
    pub confidence: Vec<u16>,
    /// Rows and columns of the result.
    pub extent: [usize; 2],
}

#[derive(Debug, Default)]
struct Shown {
    identity: Identity,
    counts: Option<Counts>,
    points: Vec<Point>,
    /// Points so far; the newest lies at this, modulo their number.
    point_count: usize,
    counted_ms: u64,
}

/// The board. The stream never waits for it: while it is being read, a frame is not shown.
#[derive(Debug)]
pub struct Board {
    shown: Mutex<Shown>,
    picture: Mutex<Picture>,
    start: Instant,
    /// Milliseconds since the start until which somebody looks.
    looking_ms: AtomicU64,
}

impl Default for Board {
    fn default() -> Self {
        let shown = Shown { points: Vec::with_capacity(POINTS), ..Shown::default() };
        Self {
            shown: Mutex::new(shown),
            picture: Mutex::default(),
            start: Instant::now(),
            looking_ms: AtomicU64::new(0),
        }
    }
}

impl Board {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Says what runs.
    pub fn introduce(&self, identity: Identity) {
        self.shown().identity = identity;
    }

    /// Takes a point of the timelines, and the frame itself if somebody looks.
    pub fn take_frame(&self, report: &Report<'_>) {
        if let Ok(mut shown) = self.shown.try_lock() {
            let point = point(report);
            let at = shown.point_count % POINTS;
            if shown.points.len() < POINTS {
                shown.points.push(point);
            } else {
                shown.points[at] = point;
            }
            shown.point_count += 1;
        }
        let Some(finding) = &report.finding else { return };
        if self.now_ms() >= self.looking_ms.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(mut picture) = self.picture.try_lock() {
            copy(&mut picture, report.frame, finding);
        }
    }

    /// Takes the counts, a few times a second.
    pub fn take_counts<S: Sink>(&self, stream: &mut Stream<'_, S>, ring: &Ring) {
        let now_ms = self.now_ms();
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.counts.is_some() && now_ms.saturating_sub(shown.counted_ms) < COUNTS_MS {
            return;
        }
        shown.counted_ms = now_ms;
        let (head, outstanding, bytes) =
            (stream.sink().head(), stream.sink().outstanding(), stream.bytes(ring));
        let guard = stream.guard();
        let alert = |reason: Reason| {
            let tally = guard.alerts.tally(reason);
            (tally.standing, tally.raised, tally.stale)
        };
        shown.counts = Some(Counts {
            ledger: ring.ledger(),
            meters: *stream.meters(),
            alerts: Reason::ALL.map(alert),
            cap: guard.trust.cap(),
            validity: guard.trust.validity().name(),
            phase: match guard.drift.phase() {
                Phase::WarmUp => "warm-up",
                Phase::Watching => "watching",
                Phase::Alarmed => "alarmed",
            },
            block: guard.drift.block(),
            evidence: guard.drift.evidence(),
            evidence_limit: 1.0 / guard.settings().share,
            bytes,
            log_lines: head.lines,
            log_outstanding: outstanding,
            log_link: head.link,
        });
    }

    /// Identity and counts as they are; no counts before the first frame.
    pub fn counts(&self) -> (Identity, Option<Counts>) {
        let shown = self.shown();
        (shown.identity.clone(), shown.counts.clone())
    }

    /// The points, oldest first.
    pub fn points(&self) -> Vec<Point> {
        let shown = self.shown();
        let oldest = if shown.points.len() < POINTS { 0 } else { shown.point_count % POINTS };
        let mut points = shown.points.clone();
        drop(shown);
        points.rotate_left(oldest);
        points
    }

    /// Somebody looks: frames are copied for a while.
    pub fn look(&self) {
        self.looking_ms.store(self.now_ms() + LOOKING_MS, Ordering::Relaxed);
    }

    /// The last frame that was copied; `None` before the first.
    pub fn picture(&self) -> Option<Picture> {
        let picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        (!picture.mask.is_empty()).then(|| picture.clone())
    }
}

fn point(report: &Report<'_>) -> Point {
    let verdict = report.finding.as_ref().and_then(|finding| finding.ood);
    let mean = |finding: &Finding<'_>| {
        let sum: u64 = finding.confidence.iter().map(|&value| u64::from(value)).sum();
        sum as f64 / 65535.0 / finding.confidence.len().max(1) as f64
    };
    Point {
        sequence: report.sequence,
        disposition: report.disposition,
        age_us: report.age_us,
        ood: verdict.map_or(f64::NAN, |verdict| verdict.score),
        alert: verdict.is_some_and(|verdict| verdict.alert),
        confidence: report.finding.as_ref().map_or(f64::NAN, mean),
    }
}

/// Copies into buffers that are kept from frame to frame.
fn copy(picture: &mut Picture, slot: &Slot, finding: &Finding<'_>) {
    picture.slot.fill(&slot.view());
    picture.slot.sequence = slot.sequence;
    picture.mask.clear();
    picture.mask.extend_from_slice(finding.mask);
    picture.confidence.clear();
    picture.confidence.extend_from_slice(finding.confidence);
    picture.extent = [finding.height, finding.width];
}
