//! Karimi & Gholipour 2022: one network for several organs and modalities against one for each.

use super::material::Material;
use super::segmenter::{Regime, figures, network, predict, temperature, train};
use super::{Claim, Job, Record, Relation, Size, Study, every};
use crate::losses::Loss;
use crate::nets::Norm;
use crate::train::{ListSource, Mixture, Source, TrainError};

/// Data sets, each with one kind of object to find: the network has to tell from the image which.
const FAMILIES: [&str; 3] = ["cells", "vessels", "speckle"];
/// Arms.
const DEDICATED: &str = "dedicated";
const JOINT: &str = "joint";

/// Joint against dedicated training, the same updates on every data set.
pub struct Multitask(pub Size);

impl Multitask {
    /// Trains on all of `materials` in turn, and measures on each.
    fn train(&self, materials: &[(&str, Material)], arm: &str, seed: u64) -> Result<Vec<Record>, TrainError> {
        let sources: Result<Vec<ListSource>, TrainError> =
            materials.iter().map(|(_, own)| ListSource::new(own.shape, own.training.clone(), seed)).collect();
        let sources = sources?;
        let mixture = Mixture(sources.iter().map(|own| own as &dyn Source).collect());
        let steps = self.0.steps * materials.len();
        let model = network(1, 2, Norm::None, seed)?;
        let model = train(model, &mixture, 2, &Loss::CrossEntropyDice, &Regime::default(), steps)?;
        let mut records = Vec::new();
        for (group, material) in materials {
            let fitted = temperature(&predict(&model, &material.validation, material.shape)?, 2)?;
            let test = predict(&model, &material.test, material.shape)?;
            for (arm, temperature) in [(arm.to_string(), 1.0), (format!("{arm} + T"), fitted)] {
                let figures = figures(&test, material, temperature)?;
                records.push(Record { group: (*group).into(), arm, seed, figures });
            }
        }
        Ok(records)
    }
}

impl Study for Multitask {
    fn title(&self) -> &'static str {
        "Joint training on several data sets against dedicated networks (Karimi & Gholipour 2022)"
    }

    fn jobs(&self) -> Vec<Job> {
        let mut jobs = every(&FAMILIES, &[DEDICATED.into()], self.0.seeds);
        jobs.extend(every(&["all"], &[JOINT.into()], self.0.seeds));
        jobs.sort_by_key(|job| job.seed);
        jobs
    }

    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError> {
        let own: Vec<&str> =
            FAMILIES.into_iter().filter(|name| job.arm == JOINT || *name == job.group).collect();
        // Few images, where sharing could help.
        let size = Size { training: (self.0.training / 2).max(2), ..self.0.clone() };
        let materials: Result<Vec<_>, TrainError> =
            own.into_iter().map(|name| Ok((name, Material::of(name, &size, job.seed)?))).collect();
        self.train(&materials?, &job.arm, job.seed)
    }

    fn claims(&self) -> Vec<Claim> {
        vec![
            Claim::new("dice", JOINT, Relation::Higher, DEDICATED),
            Claim::new("dice", JOINT, Relation::NotLowerBy(0.01), DEDICATED),
            Claim::new("ece", JOINT, Relation::Lower, DEDICATED),
            Claim::new("ece_foreground", JOINT, Relation::Lower, DEDICATED),
            Claim::new("nll", JOINT, Relation::Lower, DEDICATED),
            Claim::new("brier", JOINT, Relation::Lower, DEDICATED),
            Claim::new("ece_foreground", JOINT, Relation::Lower, "dedicated + T"),
        ]
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["dice", "ece", "ece_foreground", "nll", "brier"]
    }
}
