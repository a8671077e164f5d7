//! The streaming accumulator behind `evaluate`: frames in one at a time, every figure out at the end.
use super::distance::hausdorff_95;
use super::error::MetricError;
use super::frame::{Frame, MAX_CLASSES};
use super::reliability::{Bins, ConfidenceHistogram, FULL};
use serde::Serialize;

/// Equal-width and equal-mass bins of the ECE figures.
const ECE_BINS: usize = 15;
/// Equal-width bins of the per-frame ACE and MCE.
const ACE_BINS: usize = 20;

/// A figure per class; `None` where it is undefined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerClass {
    /// Mean over the foreground classes (1..) for which the figure is defined.
    pub mean: Option<f64>,
    /// The figure of every class, background (class 0) included.
    pub classes: Vec<Option<f64>>,
}

impl PerClass {
    fn new(classes: Vec<Option<f64>>) -> Self {
        Self { mean: mean(classes.iter().skip(1).copied()), classes }
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Figures of one frame, for paired comparisons and for relating alerts to failures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameScores {
    /// Dice similarity 2·TP/(2·TP + FP + FN); `None` for a class in neither mask, 0 for one in only one.
    pub dice: PerClass,
    /// Intersection over union TP/(TP + FP + FN), conventions as for `dice`.
    pub iou: PerClass,
    /// [`hausdorff_95`] in pixels.
    pub hd95: PerClass,
    /// Average calibration error of the class's plane, 20 equal-width bins.
    pub ace: PerClass,
    /// Maximum calibration error of the class's plane, 20 equal-width bins.
    pub mce: PerClass,
    /// (Σp − Σy)/Σy; `None` for a class absent from the ground truth.
    pub volume_bias: PerClass,
    /// Top-label ECE over all pixels, 15 equal-width bins.
    pub ece: Option<f64>,
    /// Top-label ECE over ground-truth-foreground pixels; `None` without any.
    pub ece_foreground: Option<f64>,
    /// Mean −ln p(truth) over all pixels, clipped as in [`Summary::nll`].
    pub nll: f64,
    /// Multi-class Brier score, in 0..=2.
    pub brier: f64,
    /// Mean confidence in the predicted label, in 0..=1.
    pub confidence: f64,
}

/// Figures over all frames added. All calibration figures use the confidence of the label that was
/// reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Frames added.
    pub images: u64,
    /// Pixels added.
    pub pixels: u64,
    /// Mean over frames of [`FrameScores::dice`], per class; frames where it is undefined are left out.
    pub dice: PerClass,
    /// Mean over frames of [`FrameScores::iou`], as for `dice`.
    pub iou: PerClass,
    /// Mean over frames of [`FrameScores::hd95`] in pixels, as for `dice`.
    pub hd95: PerClass,
    /// Whole-image ECE: 15 equal-width bins over top-label confidence, all pixels pooled (Guo et al.,
    /// 2017).
    pub ece: Option<f64>,
    /// Foreground ECE as in the MarginLoss repository (Murugesan et al., 2022;
    /// `SegmentCalibrateEvaluator`): only pixels whose ground truth is not background; 15-bin top-label
    /// ECE of each frame, averaged with the frame's foreground pixel count as weight. There a test
    /// batch takes the place of the frame.
    pub ece_foreground: Option<f64>,
    /// As `ece_foreground`, but with the pixels of all frames pooled into one diagram.
    pub ece_foreground_pooled: Option<f64>,
    /// As `ece`, over the boundary band of the ground truth only.
    pub ece_boundary: Option<f64>,
    /// Adaptive ECE: 15 equal-mass bins over all pixels, see [`ConfidenceHistogram::equal_mass`].
    pub ece_adaptive: Option<f64>,
    /// Class-wise ECE: the 15-bin ECE of p(class) against y(class) over all pixels, averaged over every
    /// class, background included (static calibration error; Nixon et al., 2019; Kull et al., 2019).
    pub ece_classwise: Option<f64>,
    /// Overconfidence error over all pixels, see [`Bins::overconfidence_error`].
    pub overconfidence: Option<f64>,
    /// Mean over frames of the per-class average calibration error, 20 bins per frame (Barfoot et al.,
    /// 2024).
    pub ace: PerClass,
    /// Mean over frames of the per-class maximum calibration error, 20 bins per frame.
    pub mce: PerClass,
    /// Full negative log-likelihood: mean over all pixels of −ln p(truth), natural logarithm, with p
    /// clipped from below at 1/65535, one step of its representation; at most 11.09.
    pub nll: Option<f64>,
    /// −ln p(truth) averaged over ground-truth-foreground pixels (as the MarginLoss repository reports
    /// NLL).
    pub nll_foreground: Option<f64>,
    /// The foreground term only: −ln p(truth) summed over ground-truth-foreground pixels, divided by *all*
    /// pixels (the NLL of Yeung et al., 2023, which leaves out the background term).
    pub nll_foreground_term: Option<f64>,
    /// Multi-class Brier score: mean over pixels of Σ_class (p − y)², in 0..=2 (Brier, 1950, original
    /// form).
    pub brier: Option<f64>,
    /// (Σp − Σy)/Σy per class over all frames pooled: how much the soft volume overstates the true one
    /// (Popordanoska et al., 2021); `None` for a class absent from every ground truth.
    pub volume_bias: PerClass,
    /// Area under the risk–coverage curve, see [`ConfidenceHistogram::area_under_risk_coverage`].
    pub aurc: Option<f64>,
    /// Reliability diagram behind `ece`.
    pub reliability: Bins,
    /// Reliability diagram behind `ece_foreground_pooled`.
    pub reliability_foreground: Bins,
}

/// Running mean per class over the frames for which a figure is defined.
#[derive(Debug, Clone)]
struct RunningMean(Vec<(f64, u64)>);

impl RunningMean {
    fn add(&mut self, figure: &PerClass) {
        for (slot, value) in self.0.iter_mut().zip(&figure.classes) {
            if let Some(value) = value {
                *slot = (slot.0 + value, slot.1 + 1);
            }
        }
    }

    fn finish(&self) -> PerClass {
        PerClass::new(self.0.iter().map(|(sum, count)| (*count > 0).then(|| sum / *count as f64)).collect())
    }
}

/// Sums over one frame, or over all of them, that do not depend on order.
#[derive(Debug, Clone)]
struct ClassTotals {
    probability: Vec<u64>,
    truth: Vec<u64>,
}

impl ClassTotals {
    fn bias(&self) -> PerClass {
        let one = |(&probability, &truth): (&u64, &u64)| {
            let excess = i128::from(probability) - i128::from(truth) * i128::from(FULL);
            (truth > 0).then(|| excess as f64 / (f64::from(FULL) * truth as f64))
        };
        PerClass::new(self.probability.iter().zip(&self.truth).map(one).collect())
    }
}

/// Accumulates frames of one model; about 4 MiB, whatever the number of frames.
#[derive(Debug, Clone)]
pub struct Accumulator {
    classes: usize,
    images: u64,
    whole: ConfidenceHistogram,
    foreground: ConfidenceHistogram,
    boundary: ConfidenceHistogram,
    classwise: Vec<Bins>,
    /// Σ over frames of the foreground ECE's numerator, in units of 1/65535.
    foreground_gap: u128,
    truth_counts: Vec<u64>,
    foreground_truth_counts: Vec<u64>,
    /// −ln(max(v, 1)/65535) for every v.
    surprise: Vec<f64>,
    squares: u128,
    totals: ClassTotals,
    dice: RunningMean,
    iou: RunningMean,
    hd95: RunningMean,
    ace: RunningMean,
    mce: RunningMean,
}

impl Accumulator {
    /// An empty accumulator for a model of `classes` classes, 2..=256.
    ///
    /// # Errors
    /// [`MetricError::Range`] for another class count.
    pub fn new(classes: usize) -> Result<Self, MetricError> {
        if !(2..=MAX_CLASSES).contains(&classes) {
            return Err(MetricError::Range { what: "classes", range: "2..=256" });
        }
        let running = RunningMean(vec![(0.0, 0); classes]);
        let levels = usize::from(FULL) + 1;
        Ok(Self {
            classes,
            images: 0,
            whole: ConfidenceHistogram::default(),
            foreground: ConfidenceHistogram::default(),
            boundary: ConfidenceHistogram::default(),
            classwise: vec![Bins::new(ECE_BINS); classes],
            foreground_gap: 0,
            truth_counts: vec![0; levels],
            foreground_truth_counts: vec![0; levels],
            surprise: (0..=FULL).map(|level| -(f64::from(level.max(1)) / f64::from(FULL)).ln()).collect(),
            squares: 0,
            totals: ClassTotals { probability: vec![0; classes], truth: vec![0; classes] },
            dice: running.clone(),
            iou: running.clone(),
            hd95: running.clone(),
            ace: running.clone(),
            mce: running,
        })
    }

    /// Adds one frame and returns its own figures.
    ///
    /// # Errors
    /// [`MetricError::ClassCount`] when the frame has another class count; the accumulator is then
    /// unchanged.
    pub fn add(&mut self, frame: &Frame<'_>) -> Result<FrameScores, MetricError> {
        if frame.classes != self.classes {
            return Err(MetricError::ClassCount { expected: self.classes, found: frame.classes });
        }
        let labels = self.add_labels(frame);
        let planes = self.add_planes(frame);
        let overlap = Overlap::of(frame);
        let pixels = frame.pixels() as f64;
        let full = f64::from(FULL);
        let scores = FrameScores {
            dice: overlap.dice,
            iou: overlap.iou,
            hd95: overlap.hd95,
            ace: planes.ace,
            mce: planes.mce,
            volume_bias: planes.totals.bias(),
            ece: labels.whole.expected_error(),
            ece_foreground: labels.foreground.expected_error(),
            nll: labels.surprise / pixels,
            brier: planes.squares as f64 / (full * full * pixels),
            confidence: labels.whole.bins().iter().map(|bin| bin.mass).sum::<u64>() as f64 / (full * pixels),
        };
        self.images += 1;
        self.dice.add(&scores.dice);
        self.iou.add(&scores.iou);
        self.hd95.add(&scores.hd95);
        self.ace.add(&scores.ace);
        self.mce.add(&scores.mce);
        Ok(scores)
    }

    /// One pass over the pixels for everything that follows from the reported and the true label.
    fn add_labels(&mut self, frame: &Frame<'_>) -> LabelPass {
        let pixels = frame.pixels();
        let mut pass =
            LabelPass { whole: Bins::new(ECE_BINS), foreground: Bins::new(ECE_BINS), surprise: 0.0 };
        for (pixel, (&predicted, &truth)) in frame.predicted.iter().zip(frame.truth).enumerate() {
            let confidence = frame.probabilities[usize::from(predicted) * pixels + pixel];
            let likelihood = frame.probabilities[usize::from(truth) * pixels + pixel];
            let correct = predicted == truth;
            pass.whole.add(confidence, correct);
            pass.surprise += self.surprise[usize::from(likelihood)];
            self.whole.add(confidence, correct);
            self.truth_counts[usize::from(likelihood)] += 1;
            if truth != 0 {
                pass.foreground.add(confidence, correct);
                self.foreground.add(confidence, correct);
                self.foreground_truth_counts[usize::from(likelihood)] += 1;
            }
            if frame.boundary[pixel] {
                self.boundary.add(confidence, correct);
            }
        }
        self.foreground_gap += pass.foreground.gap();
        pass
    }

    /// One pass per class for everything that follows from the probability of each class.
    fn add_planes(&mut self, frame: &Frame<'_>) -> PlanePass {
        let classes = self.classes;
        let mut totals = ClassTotals { probability: vec![0; classes], truth: vec![0; classes] };
        let (mut ace, mut mce, mut squares) = (vec![None; classes], vec![None; classes], 0_u128);
        for class in 0..classes {
            let mut bins = Bins::new(ACE_BINS);
            for (&probability, &truth) in frame.plane(class).iter().zip(frame.truth) {
                let hit = usize::from(truth) == class;
                bins.add(probability, hit);
                self.classwise[class].add(probability, hit);
                let residual = u64::from(if hit { FULL - probability } else { probability });
                squares += u128::from(residual * residual);
                totals.probability[class] += u64::from(probability);
                totals.truth[class] += u64::from(hit);
            }
            (ace[class], mce[class]) = (bins.average_error(), bins.maximum_error());
            self.totals.probability[class] += totals.probability[class];
            self.totals.truth[class] += totals.truth[class];
        }
        self.squares += squares;
        PlanePass { ace: PerClass::new(ace), mce: PerClass::new(mce), totals, squares }
    }

    /// The figures over all frames added so far.
    pub fn summary(&self) -> Summary {
        let pixels = self.whole.count();
        let foreground = self.foreground.count();
        let reliability = self.whole.equal_width(ECE_BINS);
        let reliability_foreground = self.foreground.equal_width(ECE_BINS);
        let full = f64::from(FULL);
        let ratio = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        let foreground_surprise = self.sum_surprise(&self.foreground_truth_counts);
        Summary {
            images: self.images,
            pixels,
            dice: self.dice.finish(),
            iou: self.iou.finish(),
            hd95: self.hd95.finish(),
            ece: reliability.expected_error(),
            ece_foreground: ratio(self.foreground_gap as f64 / full, foreground),
            ece_foreground_pooled: reliability_foreground.expected_error(),
            ece_boundary: self.boundary.equal_width(ECE_BINS).expected_error(),
            ece_adaptive: self.whole.equal_mass(ECE_BINS).expected_error(),
            ece_classwise: mean(self.classwise.iter().map(Bins::expected_error)),
            overconfidence: reliability.overconfidence_error(),
            ace: self.ace.finish(),
            mce: self.mce.finish(),
            nll: ratio(self.sum_surprise(&self.truth_counts), pixels),
            nll_foreground: ratio(foreground_surprise, foreground),
            nll_foreground_term: ratio(foreground_surprise, pixels),
            brier: ratio(self.squares as f64 / (full * full), pixels),
            volume_bias: self.totals.bias(),
            aurc: self.whole.area_under_risk_coverage(),
            reliability,
            reliability_foreground,
        }
    }

    fn sum_surprise(&self, counts: &[u64]) -> f64 {
        counts.iter().zip(&self.surprise).map(|(&count, surprise)| count as f64 * surprise).sum()
    }
}

/// What one pass over the labels of a frame found.
struct LabelPass {
    whole: Bins,
    foreground: Bins,
    surprise: f64,
}

/// What one pass over the probability planes of a frame found.
struct PlanePass {
    ace: PerClass,
    mce: PerClass,
    totals: ClassTotals,
    squares: u128,
}

/// Agreement of the two label maps of a frame, per class.
struct Overlap {
    dice: PerClass,
    iou: PerClass,
    hd95: PerClass,
}

impl Overlap {
    fn of(frame: &Frame<'_>) -> Self {
        let mask = |labels: &[u8], class: usize| -> Vec<bool> {
            labels.iter().map(|&label| usize::from(label) == class).collect()
        };
        let (mut dice, mut iou, mut hd95) = (Vec::new(), Vec::new(), Vec::new());
        for class in 0..frame.classes {
            let (predicted, truth) = (mask(frame.predicted, class), mask(frame.truth, class));
            let both = predicted.iter().zip(&truth).filter(|(p, t)| **p && **t).count() as f64;
            let either = predicted.iter().zip(&truth).filter(|(p, t)| **p || **t).count() as f64;
            let present = either > 0.0;
            dice.push(present.then(|| 2.0 * both / (both + either)));
            iou.push(present.then(|| both / either));
            hd95.push(hausdorff_95(&predicted, &truth, frame.width));
        }
        Self { dice: PerClass::new(dice), iou: PerClass::new(iou), hd95: PerClass::new(hd95) }
    }
}
