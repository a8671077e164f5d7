//! Baltatzis et al. 2021: what do losses learn from nodules whose contrast goes with their class?

use super::classifier::{Labelled, Objective, nearest, of_probabilities, outputs, train};
use super::segmenter::softmax;
use super::{Claim, Figures, Job, Record, Relation, Size, Study, every};
use crate::losses::Loss;
use crate::metrics::SplitMix64;
use crate::nets::{ClassifierShape, Model, classifier};
use crate::train::{TrainError, gray};
use candor_imaging::phantom::{self, Phantom, Range};

/// Rows and columns, and the millimetres they span.
const SIDE: usize = 32;
const PATCH_MM: f64 = 48.0;
/// Smooth and spiculated.
const CLASSES: usize = 2;
/// Votes of the embedding losses.
const NEIGHBOURS: usize = 9;
/// Contrast in HU: faint, dense, and beyond both.
const FAINT: [f64; 2] = [450.0, 600.0];
const DENSE: [f64; 2] = [750.0, 900.0];
const BEYOND: [f64; 2] = [950.0, 1200.0];
/// Share of training nodules whose contrast goes with their class.
const CORRELATION: f64 = 0.9;
/// Sets: name and the share, `None` for contrast beyond training.
const SETS: [(&str, Option<f64>); 4] = [
    ("as trained", Some(CORRELATION)),
    ("decorrelated", Some(0.5)),
    ("reversed", Some(0.1)),
    ("beyond", None),
];

/// Five losses on nodules told apart by their boundary.
pub struct Nodules(pub Size);

/// A nodule and the same with one factor changed.
struct Case {
    own: Labelled,
    other_contrast: Labelled,
    other_boundary: Labelled,
}

/// One of a case's images.
type Choice = fn(&Case) -> &Labelled;

fn objectives() -> [(String, Objective); 5] {
    let logits =
        [Loss::CrossEntropy, Loss::LabelSmoothing { alpha: 0.1 }, Loss::Mbls { margin: 10.0, alpha: 0.1 }]
            .map(|loss| (loss.label(), Objective::Logits(loss)));
    let [first, second, third] = logits;
    [
        first,
        second,
        third,
        ("contrastive, neighbours".into(), Objective::Contrastive(1.0)),
        ("triplet, neighbours".into(), Objective::Triplet(1.0)),
    ]
}

/// Nodules `0..count` of `seed`: fair classes, contrast that goes with the class for `share` of them.
fn cases(seed: u64, count: u64, share: Option<f64>) -> Result<Vec<Case>, TrainError> {
    let config = phantom::Config {
        width: SIDE,
        height: SIDE,
        patch_mm: Some(PATCH_MM),
        nodules: (1, 1),
        radius_mm: Range::new(6.0, 12.0),
        dose: Range::new(0.3, 1.0),
        ..Default::default()
    };
    let refused = |error: phantom::PhantomError| TrainError::Invalid(error.problems().to_vec());
    let source = Phantom::new(config, seed).map_err(refused)?;
    let one = |index: u64| {
        let mut random = SplitMix64::new(seed ^ index.wrapping_mul(0xA24B_AED4_963E_E407));
        let class = random.below(CLASSES) as u8;
        let follows = random.unit() < share.unwrap_or(0.5);
        let place = random.unit();
        let at = |range: [f64; 2]| range[0] + place * (range[1] - range[0]);
        let dense = follows == (class == 1);
        let contrast = match share {
            Some(_) => at(if dense { DENSE } else { FAINT }),
            None => at(BEYOND),
        };
        let render = |contrast: f64, class: u8| -> Result<Labelled, TrainError> {
            let mut factors = source.factors(index);
            for nodule in &mut factors.nodules {
                (nodule.contrast_hu, nodule.spiculation) = (contrast, 0.15 + 0.7 * f64::from(class));
            }
            let (frame, _) = source.render(index, &factors).map_err(refused)?;
            Ok(Labelled { image: gray(&frame)?, class })
        };
        Ok(Case {
            own: render(contrast, class)?,
            other_contrast: render(at(if contrast > DENSE[0] { FAINT } else { DENSE }), class)?,
            other_boundary: render(contrast, 1 - class)?,
        })
    };
    (0..count).map(one).collect()
}

impl Nodules {
    /// Planar probabilities of `samples`.
    fn probabilities(
        model: &Model,
        objective: &Objective,
        training: &[Labelled],
        samples: &[Labelled],
    ) -> Result<Vec<f32>, TrainError> {
        let found = outputs(model, samples, SIDE)?;
        if let Objective::Logits(_) = objective {
            let planes = (0..CLASSES).flat_map(|class| found.logits.iter().map(move |row| row[class]));
            return Ok(softmax(&planes.collect::<Vec<_>>(), CLASSES, 1.0));
        }
        let reference = outputs(model, training, SIDE)?.embeddings;
        Ok(nearest(&found.embeddings, &reference, training, NEIGHBOURS))
    }

    /// Accuracy, calibration, and how much a change of one factor moves the probability of spiculation.
    fn measure(
        model: &Model,
        objective: &Objective,
        training: &[Labelled],
        cases: &[Case],
    ) -> Result<Figures, TrainError> {
        let of = |choose: Choice| {
            let samples: Vec<Labelled> = cases.iter().map(|case| choose(case).clone()).collect();
            Self::probabilities(model, objective, training, &samples).map(|own| (own, samples))
        };
        let (own, samples) = of(|case| &case.own)?;
        let mut found = of_probabilities(&own, &samples, CLASSES)?;
        let effects: [(&str, Choice); 2] = [
            ("contrast_effect", |case| &case.other_contrast),
            ("boundary_effect", |case| &case.other_boundary),
        ];
        for (name, choose) in effects {
            let (changed, _) = of(choose)?;
            let moves = own.iter().zip(&changed).skip(cases.len()).map(|(a, b)| f64::from((a - b).abs()));
            found.insert(name.into(), moves.sum::<f64>() / cases.len().max(1) as f64);
        }
        Ok(found)
    }
}

impl Study for Nodules {
    fn title(&self) -> &'static str {
        "Losses and generalization on synthetic nodules (Baltatzis et al. 2021)"
    }

    fn jobs(&self) -> Vec<Job> {
        every(&["all sets"], &objectives().map(|(name, _)| name), self.0.seeds)
    }

    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError> {
        let Some((_, objective)) = objectives().into_iter().find(|(name, _)| *name == job.arm) else {
            return Err(TrainError::Invalid(vec![format!("there is no arm '{}'", job.arm)]));
        };
        let training = cases(1_000 + job.seed, self.0.training * 10, Some(CORRELATION))?;
        let training: Vec<Labelled> = training.into_iter().map(|case| case.own).collect();
        let shape = ClassifierShape { inputs: 1, classes: CLASSES, depth: 2, channels: 8 };
        let model = Model::new(classifier(shape), job.seed)?;
        let steps = [2 * self.0.steps as u64, job.seed];
        let model = train(model, &training, SIDE, &objective, steps, |_| true)?;
        let mut records = Vec::new();
        for (seed, (name, share)) in (1..).zip(SETS) {
            let test = cases(seed, self.0.test * 3, share)?;
            let figures = Self::measure(&model, &objective, &training, &test)?;
            records.push(Record { group: name.into(), arm: job.arm.clone(), seed: job.seed, figures });
        }
        Ok(records)
    }

    fn claims(&self) -> Vec<Claim> {
        let plain = Loss::CrossEntropy.label();
        let others = objectives().into_iter().map(|(name, _)| name).filter(|name| *name != plain);
        let of = |name: String| {
            [
                Claim::new("accuracy", &name, Relation::Higher, &plain),
                Claim::new("contrast_effect", &name, Relation::Lower, &plain),
                Claim::new("boundary_effect", &name, Relation::Higher, &plain),
                Claim::new("ece", &name, Relation::Lower, &plain),
            ]
        };
        others.flat_map(of).collect()
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["accuracy", "ece", "nll", "brier", "contrast_effect", "boundary_effect"]
    }
}
