//! What `--source` and `--frame` say.

use super::phantom::{Script, Trouble};
use super::raw::{Format, Sample};
use crate::exit::Failure;
use candor::frame::EXTENT_LIMIT;
use candor_imaging::phantom::fault::Fault;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// A source by name.
#[derive(Debug, Clone, PartialEq)]
pub enum Specification {
    /// `dir:PATH`.
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// `raw:-` with `--frame`.
    Raw {
        /// The frames' format.
        format: Format,
    },
    /// `y4m:-`.
    Video,
    /// `phantom:` and settings.
    Phantom {
        /// What it does.
        script: Script,
    },
}

impl Specification {
    /// Its kind, as the log names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "dir",
            Self::Raw { .. } => "raw",
            Self::Video => "y4m",
            Self::Phantom { .. } => "phantom",
        }
    }

    /// Whether its frames come when they come, rather than when they are asked for.
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Raw { .. } | Self::Video)
    }
}

/// Reads a source and the format of raw frames.
///
/// # Errors
/// A usage failure that says what could stand there.
pub fn parse(source: &str, frame: Option<&str>) -> Result<Specification, Failure> {
    let Some((kind, rest)) = source.split_once(':') else {
        return Err(unknown(source));
    };
    if frame.is_some() && kind != "raw" {
        return Err(Failure::usage("--frame describes raw frames; give it with --source raw:-"));
    }
    match (kind, rest) {
        ("dir", path) if !path.is_empty() => Ok(Specification::Folder { path: path.into() }),
        ("raw", "-") => match frame {
            Some(frame) => Ok(Specification::Raw { format: format(frame)? }),
            None => Err(Failure::usage("raw:- needs --frame, such as 640x480:gray8@30")),
        },
        ("y4m", "-") => Ok(Specification::Video),
        ("phantom", settings) => Ok(Specification::Phantom { script: script(settings)? }),
        _ => Err(unknown(source)),
    }
}

fn unknown(source: &str) -> Failure {
    Failure::usage(format!("no source is called '{source}'; there are dir:PATH, raw:-, y4m:- and phantom:"))
}

/// `WIDTHxHEIGHT:SAMPLE` with `@RATE` behind it or not.
fn format(text: &str) -> Result<Format, Failure> {
    let read = || {
        let (text, rate) = match text.split_once('@') {
            Some((text, rate)) => (text, Some(rate.parse::<f64>().ok().filter(|rate| *rate > 0.0)?)),
            None => (text, None),
        };
        let (extent, name) = text.split_once(':')?;
        let sample = Sample::ALL.iter().find(|(own, _)| *own == name)?.1;
        let [width, height] = self::extent(extent)?;
        Some(Format { width, height, sample, rate })
    };
    read().ok_or_else(|| {
        let names: Vec<&str> = Sample::ALL.iter().map(|(name, _)| *name).collect();
        Failure::usage(format!(
            "'{text}' is no frame format; write 640x480:gray8@30, with one of {} and sides of at most \
             {EXTENT_LIMIT}",
            names.join(", ")
        ))
    })
}

fn extent(text: &str) -> Option<[usize; 2]> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=EXTENT_LIMIT).contains(side));
    Some([side(width)?, side(height)?])
}

/// Settings of the phantom, separated by commas.
fn script(text: &str) -> Result<Script, Failure> {
    let mut script = Script { seed: 1, extent: None, pool: 32, troubles: Vec::new() };
    for setting in text.split(',').filter(|setting| !setting.is_empty()) {
        let known = set(&mut script, setting);
        known.ok_or_else(|| {
            Failure::usage(format!(
                "'{setting}' is no setting of the phantom; there are seed=N, size=WxH, pool=N, and at \
                 frames @N or @FROM..TO: gain=X, texture=X, noise=DOSE, metal=X, anatomy=MM, inverted, \
                 saturated, blank, nan, short, garbled, stall=SECONDS"
            ))
        })?;
    }
    Ok(script)
}

fn set(script: &mut Script, setting: &str) -> Option<()> {
    if let Some((what, when)) = setting.split_once('@') {
        let (name, value) = what.split_once('=').map_or((what, None), |(name, value)| (name, Some(value)));
        let number = || value.and_then(|value| value.parse::<f64>().ok()).filter(|value| value.is_finite());
        let trouble = match (name, value) {
            ("gain", Some(_)) => Trouble::Picture(Fault::Gain { gain: number()?, offset: 0.0 }),
            ("texture", Some(_)) => Trouble::Picture(Fault::Stripes { amplitude: number()? }),
            ("noise", Some(_)) => Trouble::Picture(Fault::DoseDrop { dose: number()? }),
            ("metal", Some(_)) => Trouble::Picture(Fault::MetalStreak { strength: number()? }),
            ("anatomy", Some(_)) => Trouble::Anatomy { patch_mm: number()? },
            ("inverted", None) => Trouble::Picture(Fault::Inverted),
            ("saturated", None) => Trouble::Picture(Fault::Saturated),
            ("blank", None) => Trouble::Picture(Fault::Blank),
            ("nan", None) => Trouble::NotANumber,
            ("short", None) => Trouble::Short,
            ("garbled", None) => Trouble::Garbled,
            ("stall", Some(_)) => {
                Trouble::Stall(Duration::try_from_secs_f64(number()?).ok().filter(|d| d.as_secs() < 86_400)?)
            }
            _ => return None,
        };
        script.troubles.push((range(when)?, trouble));
        return Some(());
    }
    match setting.split_once('=')? {
        ("seed", value) => script.seed = value.parse().ok()?,
        ("size", value) => script.extent = Some(extent(value)?),
        ("pool", value) => script.pool = value.parse().ok().filter(|pool| (1..=4096).contains(pool))?,
        _ => return None,
    }
    Some(())
}

/// `N` or `FROM..TO`, without TO.
fn range(text: &str) -> Option<Range<u64>> {
    match text.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => text.parse::<u64>().ok().map(|at| at..at.saturating_add(1)),
    }
}
