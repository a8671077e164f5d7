//! Sambyal et al. 2023: does telling rotations apart first make a classifier better calibrated?

use super::classifier::{Labelled, Objective, figures, outputs, temperature, train};
use super::{Claim, Figures, Job, Record, Relation, Size, Study, every};
use crate::losses::Loss;
use crate::metrics::linear_cka;
use crate::nets::{ClassifierShape, Model, classifier};
use crate::train::{PhantomSource, TrainError, gray};
use candor_imaging::phantom::{self, Range};

/// Rows and columns.
const SIDE: usize = 48;
/// Quarters of the level of a slice; and quarter turns.
const CLASSES: usize = 4;
/// Labelled slices.
const LABELS: [usize; 3] = [50, 200, 1000];
/// Arms, in the order of the records.
const SCRATCH: &str = "from scratch";
const TUNED: &str = "rotation, then all layers";
const FROZEN: &str = "rotation, then the head";

/// Scratch, rotation pretext with transfer, and without, on slices to be told apart by their level.
pub struct Rotation(pub Size);

impl Rotation {
    /// Slices `0..count` of `seed`, their class the quarter of the range of levels.
    fn slices(&self, seed: u64, count: usize) -> Result<Vec<Labelled>, TrainError> {
        let config = phantom::Config {
            width: SIDE,
            height: SIDE,
            level: Range::new(0.0, 1.0),
            dose: Range::new(0.05, 0.5),
            ..Default::default()
        };
        let source = phantom::Phantom::new(config.clone(), seed);
        let source = source.map_err(|error| TrainError::Invalid(error.problems().to_vec()))?;
        let frames = PhantomSource::new(config, seed)?;
        let one = |index: u64| {
            let level = source.factors(index).level;
            let class = ((level * CLASSES as f64) as usize).min(CLASSES - 1) as u8;
            Ok(Labelled { image: gray(&frames.frame(index).0)?, class })
        };
        (0..count as u64).map(one).collect()
    }

    fn network(seed: u64) -> Result<Model, TrainError> {
        let shape = ClassifierShape { inputs: 1, classes: CLASSES, depth: 3, channels: 8 };
        Ok(Model::new(classifier(shape), seed)?)
    }

    /// A network that tells quarter turns apart, its head replaced.
    fn pretrained(&self, slices: &[Labelled], seed: u64) -> Result<Model, TrainError> {
        let turned: Vec<Labelled> =
            slices.iter().flat_map(|own| (0..4).map(move |turns| turn(own, turns))).collect();
        let objective = Objective::Logits(Loss::CrossEntropy);
        let steps = [self.0.steps as u64, seed];
        let model = train(Self::network(seed)?, &turned, SIDE, &objective, steps, |_| true)?;
        let fresh = Self::network(seed ^ 0x5EED)?;
        for (name, own) in model.parameters().iter().filter(|(name, _)| name.starts_with("head")) {
            if let Some(start) = fresh.parameters().get(name) {
                own.set(&start.as_tensor().copy()?)?;
            }
        }
        Ok(model)
    }

    fn arm(&self, arm: &str, material: &[Vec<Labelled>; 4], seed: u64) -> Result<[Figures; 2], TrainError> {
        let [unlabelled, training, validation, test] = material;
        let start = match arm {
            SCRATCH => Self::network(seed)?,
            _ => self.pretrained(unlabelled, seed)?,
        };
        let objective = Objective::Logits(Loss::CrossEntropy);
        let steps = [self.0.steps as u64, seed];
        let before = outputs(&start, test, SIDE)?.embeddings;
        let head_only = arm == FROZEN;
        let model =
            train(start, training, SIDE, &objective, steps, |name| !head_only || name.starts_with("head"))?;
        let fitted = temperature(&outputs(&model, validation, SIDE)?.logits, validation, CLASSES)?;
        let found = outputs(&model, test, SIDE)?;
        let mut raw = figures(&found.logits, test, CLASSES, 1.0)?;
        if let Some(similarity) = linear_cka(&before, &found.embeddings) {
            raw.insert("cka_to_start".into(), similarity);
        }
        for (name, var) in model.parameters().iter().filter(|(_, var)| var.rank() == 4) {
            raw.insert(format!("deviation {name}"), deviation(&var.flatten_all()?.to_vec1::<f32>()?));
        }
        Ok([raw, figures(&found.logits, test, CLASSES, fitted)?])
    }
}

/// The slice after `turns` quarter turns, and their number as class.
fn turn(slice: &Labelled, turns: u8) -> Labelled {
    let mut image = slice.image.clone();
    for _ in 0..turns {
        let old = image.clone();
        for y in 0..SIDE {
            for x in 0..SIDE {
                image[y * SIDE + x] = old[x * SIDE + SIDE - 1 - y];
            }
        }
    }
    Labelled { image, class: turns }
}

/// Standard deviation of a layer's weights.
fn deviation(weights: &[f32]) -> f64 {
    let count = weights.len() as f64;
    let mean = weights.iter().map(|own| f64::from(*own)).sum::<f64>() / count;
    let squares = weights.iter().map(|own| (f64::from(*own) - mean).powi(2)).sum::<f64>();
    (squares / count).sqrt()
}

impl Study for Rotation {
    fn title(&self) -> &'static str {
        "Calibration after a rotation pretext (Sambyal et al. 2023)"
    }

    fn jobs(&self) -> Vec<Job> {
        let groups: Vec<String> = LABELS.iter().map(|count| format!("{count} labels")).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        every(&groups, &[SCRATCH, TUNED, FROZEN].map(String::from), self.0.seeds)
    }

    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError> {
        let labels = LABELS.iter().find(|count| job.group == format!("{count} labels"));
        let Some(&labels) = labels else {
            return Err(TrainError::Invalid(vec![format!("there is no group '{}'", job.group)]));
        };
        let pair = 1_000 + 3 * job.seed;
        let (validation, test) = (self.0.validation as usize * 10, self.0.test as usize * 10);
        let material = [
            self.slices(pair, self.0.training as usize * 15)?,
            self.slices(pair + 1, labels)?,
            self.slices(pair + 2, validation)?,
            self.slices(1, test)?,
        ];
        let [raw, fitted] = self.arm(&job.arm, &material, job.seed)?;
        let record = |arm: String, figures| Record { group: job.group.clone(), arm, seed: job.seed, figures };
        Ok(vec![record(job.arm.clone(), raw), record(format!("{} + T", job.arm), fitted)])
    }

    fn claims(&self) -> Vec<Claim> {
        let of = |arm: &str| {
            let lower = ["ece", "ece_adaptive", "ece_classwise", "nll", "brier", "overconfidence"]
                .map(|figure| Claim::new(figure, arm, Relation::Lower, SCRATCH));
            let mut claims = lower.to_vec();
            claims.push(Claim::new("accuracy", arm, Relation::NotLowerBy(0.01), SCRATCH));
            claims.push(Claim::new("ece", arm, Relation::Lower, format!("{SCRATCH} + T")));
            claims
        };
        [TUNED, FROZEN].into_iter().flat_map(of).collect()
    }

    fn columns(&self) -> Vec<&'static str> {
        vec![
            "accuracy",
            "ece",
            "ece_adaptive",
            "ece_classwise",
            "nll",
            "brier",
            "overconfidence",
            "cka_to_start",
        ]
    }
}
