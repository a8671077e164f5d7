//! The images of the studies: phantom patches, the three families, real frames, cut into sets.

use super::Size;
use crate::train::{DataConfig, Part, PhantomSource, Sample, Source, TrainError, draw, gray};
use candor_imaging::phantom::families::{FamilyConfig, FamilyPhantom, Kind};
use candor_imaging::phantom::{self, Range};
use std::path::Path;

/// Rows and columns of phantom images.
pub const SIDE: usize = 64;

/// Samples of one group.
pub struct Material {
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Background included.
    pub classes: usize,
    /// Weights are fitted on these.
    pub training: Vec<Sample>,
    /// Temperatures on these.
    pub validation: Vec<Sample>,
    /// Figures come from these.
    pub test: Vec<Sample>,
}

/// The group "nodules": patches of 90 mm of a chest CT around a nodule; background, lung, nodule.
#[must_use]
pub fn nodule_patches() -> phantom::Config {
    phantom::Config {
        width: SIDE,
        height: SIDE,
        patch_mm: Some(90.0),
        nodules: (1, 3),
        dose: Range::new(0.1, 1.0),
        ..Default::default()
    }
}

/// Samples of one of the families.
pub struct Family(FamilyPhantom);

impl Family {
    /// Images of `kind` drawn from `seed`.
    ///
    /// # Errors
    /// None is known.
    pub fn new(kind: Kind, seed: u64) -> Result<Self, TrainError> {
        Self::of(FamilyConfig::new(kind, SIDE, SIDE), seed)
    }

    /// Images as `config` has them, drawn from `seed`.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub fn of(config: FamilyConfig, seed: u64) -> Result<Self, TrainError> {
        let made = FamilyPhantom::new(config, seed);
        made.map(Self).map_err(|error| TrainError::Invalid(error.problems().to_vec()))
    }
}

impl Source for Family {
    fn shape(&self) -> [usize; 3] {
        let config = self.0.config();
        [1, config.height, config.width]
    }

    fn sample(&self, index: u64) -> Result<Sample, TrainError> {
        let scene = self.0.scene(index);
        Ok(Sample { image: gray(&scene.frame)?, labels: scene.labels.into_values() })
    }
}

/// The family called `name`.
#[must_use]
pub fn family(name: &str) -> Option<Kind> {
    match name {
        "cells" => Some(Kind::Cells),
        "vessels" => Some(Kind::Vessels),
        "speckle" => Some(Kind::Speckle),
        _ => None,
    }
}

impl Material {
    /// The samples of `group` for pair `seed`. Training and validation images of phantoms differ from pair
    /// to pair, test images do not; real images are split once, by patient.
    ///
    /// # Errors
    /// Frames or masks that cannot be read; a group that does not exist.
    pub fn of(group: &str, size: &Size, seed: u64) -> Result<Self, TrainError> {
        match group {
            "cardiac" => return cardiac(size.data.as_deref()),
            "ultrasound" => return ultrasound(size.data.as_deref()),
            _ => {}
        }
        let pair = 1_000 + 2 * seed;
        let (classes, sources): (usize, [Box<dyn Source>; 3]) = if let Some(kind) = family(group) {
            let of = |seed| Family::new(kind, seed).map(|own| Box::new(own) as Box<dyn Source>);
            (2, [of(pair)?, of(pair + 1)?, of(1)?])
        } else if group == "nodules" {
            let of =
                |seed| PhantomSource::new(nodule_patches(), seed).map(|own| Box::new(own) as Box<dyn Source>);
            (3, [of(pair)?, of(pair + 1)?, of(1)?])
        } else {
            return Err(TrainError::Invalid(vec![format!("there is no group '{group}'")]));
        };
        let [training, validation, test] = sources;
        Ok(Self {
            shape: training.shape(),
            classes,
            training: draw(training.as_ref(), 0..size.training)?,
            validation: draw(validation.as_ref(), 0..size.validation)?,
            test: draw(test.as_ref(), 0..size.test)?,
        })
    }
}

/// Left ventricles of the Sunnybrook cine MR, of which 64×64 pixels are left; ten characters of a name are
/// the patient.
fn cardiac(data: Option<&Path>) -> Result<Material, TrainError> {
    real(data, "cardiac-mr", &["background", "left ventricle"], 10)
}

/// Nerve and vessel in ultrasound frames, of which 64×64 pixels are left; ten frames in a row are an exam.
fn ultrasound(data: Option<&Path>) -> Result<Material, TrainError> {
    real(data, "ultrasound", &["background", "nerve", "vessel"], 3)
}

/// The frames of folder `name`, split once: those whose names agree in `group` characters stay together.
fn real(data: Option<&Path>, name: &str, classes: &[&str], group: usize) -> Result<Material, TrainError> {
    let Some(folder) = data.map(|data| data.join(name)) else {
        return Err(TrainError::Invalid(vec![format!("{name} needs --data")]));
    };
    let config = DataConfig {
        images: folder.join("images"),
        masks: folder.join("masks"),
        classes: classes.iter().map(ToString::to_string).collect(),
        width: SIDE,
        height: SIDE,
        channels: 1,
        group,
    };
    Ok(Material {
        shape: config.shape(),
        classes: classes.len(),
        training: config.samples(Part::Train)?,
        validation: config.samples(Part::Calibration)?,
        test: config.samples(Part::Test)?,
    })
}
