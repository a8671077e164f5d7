//! Studies that compare losses of segmentation: MbLS, the ++ forms, and recipes to train by.

use super::material::Material;
use super::segmenter::{Regime, experiment};
use super::{Claim, Job, Record, Relation, Size, Study, every};
use crate::losses::Loss;
use crate::nets::Norm;
use crate::train::{Schedule, TrainError, recipe};

/// What an arm's name ends with when its temperature was fitted.
const FITTED: &str = " + T";

/// Losses compared on nodules and, where there is data, on real images.
pub struct LossStudy {
    title: &'static str,
    arms: Vec<(String, Loss, Regime)>,
    claims: Vec<Claim>,
    columns: Vec<&'static str>,
    /// Real images, where there are any.
    real: &'static [&'static str],
    size: Size,
}

/// Murugesan et al. 2022: margin-based label smoothing against seven baselines, each with its settings, and
/// against a temperature.
#[must_use]
pub fn margin_smoothing(size: Size) -> LossStudy {
    let margin = Loss::Mbls { margin: 10.0, alpha: 0.1 };
    let baselines = [
        Loss::CrossEntropy,
        Loss::Focal { gamma: 3.0 },
        Loss::LabelSmoothing { alpha: 0.1 },
        Loss::EntropyPenalty { weight: 0.1 },
        Loss::SpatialSmoothing { sigma: 1.0 },
        Loss::NeighbourAware { alpha: 0.1 },
    ];
    let own = margin.label();
    let plain = Loss::CrossEntropy.label();
    let fitted = format!("{plain}{FITTED}");
    let mut claims: Vec<Claim> = baselines
        .iter()
        .map(|loss| Claim::new("ece_foreground", &own, Relation::Lower, loss.label()))
        .collect();
    claims.push(Claim::new("ece_foreground", &own, Relation::Lower, &fitted));
    claims.push(Claim::new("brier", &own, Relation::Lower, &fitted));
    claims.push(Claim::new("dice", &own, Relation::NotLowerBy(0.01), &plain));
    LossStudy {
        title: "Margin-based label smoothing against its baselines (Murugesan et al. 2022)",
        arms: baselines.into_iter().chain([margin]).map(|loss| plain_arm(&loss)).collect(),
        claims,
        columns: vec!["dice", "ece_foreground", "ece", "nll", "brier", "active_share", "temperature"],
        real: &["cardiac"],
        size,
    }
}

/// Yeung et al. 2023: each region loss and its ++ form.
#[must_use]
pub fn dice_plus_plus(size: Size) -> LossStudy {
    let (delta, exponent) = (0.7, 0.75);
    let unified = |gamma| Loss::UnifiedFocal { weight: 0.5, delta: 0.6, focus: 0.5, gamma };
    let pairs = [
        (Loss::Dice, Loss::DicePlusPlus { gamma: 2.0 }),
        (Loss::CrossEntropyDice, Loss::CrossEntropyDicePlusPlus { gamma: 2.0 }),
        (Loss::Tversky { delta, gamma: 1.0 }, Loss::Tversky { delta, gamma: 2.0 }),
        (
            Loss::FocalTversky { delta, exponent, gamma: 1.0 },
            Loss::FocalTversky { delta, exponent, gamma: 2.0 },
        ),
        (unified(1.0), unified(2.0)),
    ];
    let mut claims = Vec::new();
    for (plain, plus) in &pairs {
        for figure in ["brier", "nll", "nll_foreground_term", "ece"] {
            claims.push(Claim::new(figure, plus.label(), Relation::Lower, plain.label()));
        }
        claims.push(Claim::new("recall_range", plus.label(), Relation::Higher, plain.label()));
        claims.push(Claim::new("dice", plus.label(), Relation::NotLowerBy(0.01), plain.label()));
    }
    let arms = pairs.into_iter().flat_map(|(plain, plus)| [plain, plus]);
    LossStudy {
        title: "DSC++ and the other ++ forms against the plain region losses (Yeung et al. 2023)",
        arms: arms.map(|loss| plain_arm(&loss)).collect(),
        claims,
        columns: vec!["dice", "brier", "nll", "nll_foreground_term", "ece", "ece_foreground", "recall_range"],
        real: &["cardiac"],
        size,
    }
}

/// Recipes against cross-entropy and a temperature, all trained four times as long as in the other studies,
/// with batch norm, which learns enough in that time, and under the same schedule: varied samples and an
/// average of the weights, with cross-entropy and with the two losses that did best in the other studies.
#[must_use]
pub fn recipes(size: Size) -> LossStudy {
    let plain = Regime { schedule: Schedule::Cosine, rate: 2e-3, norm: Norm::Batch, ..Default::default() };
    let varied = Regime { average: recipe::AVERAGE, augmentation: recipe::augmentation(), ..plain.clone() };
    let margin = Loss::Mbls { margin: 10.0, alpha: 0.1 };
    let unified = recipe::loss();
    let named = |loss: &Loss| format!("{}, varied and averaged", loss.label());
    let arms = vec![
        (Loss::CrossEntropy.label(), Loss::CrossEntropy, plain),
        (named(&Loss::CrossEntropy), Loss::CrossEntropy, varied.clone()),
        (named(&margin), margin, varied.clone()),
        (named(&unified), unified, varied),
    ];
    let fitted = format!("{}{FITTED}", Loss::CrossEntropy.label());
    let mut claims = Vec::new();
    for (arm, ..) in &arms[1..] {
        for end in ["", FITTED] {
            let arm = format!("{arm}{end}");
            claims.push(Claim::new("ece_foreground", &arm, Relation::Lower, &fitted));
            claims.push(Claim::new("brier", &arm, Relation::Lower, &fitted));
        }
        claims.push(Claim::new("dice", arm, Relation::NotLowerBy(0.0), &fitted));
    }
    LossStudy {
        title: "Recipes against cross-entropy with a temperature",
        arms,
        claims,
        columns: vec!["dice", "ece_foreground", "ece", "nll", "brier", "aurc", "temperature"],
        real: &["cardiac", "ultrasound"],
        size: Size { steps: 4 * size.steps, ..size },
    }
}

fn plain_arm(loss: &Loss) -> (String, Loss, Regime) {
    (loss.label(), loss.clone(), Regime::default())
}

impl Study for LossStudy {
    fn title(&self) -> &'static str {
        self.title
    }

    fn jobs(&self) -> Vec<Job> {
        let arms: Vec<String> = self.arms.iter().map(|(name, ..)| name.clone()).collect();
        let mut groups = vec!["nodules"];
        if self.size.data.is_some() {
            groups.extend(self.real);
        }
        every(&groups, &arms, self.size.seeds)
    }

    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError> {
        let Some((_, loss, regime)) = self.arms.iter().find(|(name, ..)| *name == job.arm) else {
            return Err(TrainError::Invalid(vec![format!("there is no arm '{}'", job.arm)]));
        };
        let material = Material::of(&job.group, &self.size, job.seed)?;
        let [raw, fitted] = experiment(&material, loss, regime, &self.size, job.seed)?;
        let record = |arm: String, figures| Record { group: job.group.clone(), arm, seed: job.seed, figures };
        Ok(vec![record(job.arm.clone(), raw), record(format!("{}{FITTED}", job.arm), fitted)])
    }

    fn claims(&self) -> Vec<Claim> {
        self.claims.clone()
    }

    fn columns(&self) -> Vec<&'static str> {
        self.columns.clone()
    }
}
