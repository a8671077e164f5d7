//! Command-line values shared by the verbs: tiers, devices, byte counts, and frames from files.

use crate::exit::Failure;
use candor::{FrameView, Samples, SessionOptions, Tier};
use candor_imaging::frame::{Frame, Samples as FrameSamples};
use clap::Args;

/// How to run a package.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Device: cpu, or in a build with that feature candle-cpu, cuda or metal (with :NUMBER)
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Kernel tier: reference, avx2, avxvnni, avx512vnni, amx, neon, neondot, i8mm; the best one by default
    #[arg(long, env = "CANDOR_TIER")]
    pub tier: Option<String>,
    /// Threads
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Greatest number of bytes to hold beyond the package, such as 8MiB
    #[arg(long)]
    pub memory: Option<String>,
    /// Use the schedule of this number, as inspect --plan lists them, instead of the best one
    #[arg(long)]
    pub schedule: Option<usize>,
}

impl RunOptions {
    /// The engine's options.
    ///
    /// # Errors
    /// A usage failure for an unknown tier or byte count.
    pub fn session(&self) -> Result<SessionOptions, Failure> {
        let tier = self.tier.as_deref().map(tier).transpose()?;
        if self.threads == 0 || self.threads > 64 {
            return Err(Failure::usage("--threads must be 1..=64"));
        }
        let memory = self.memory.as_deref().map(bytes).transpose()?;
        Ok(SessionOptions {
            tier,
            threads: self.threads,
            memory,
            schedule: self.schedule,
            ..Default::default()
        })
    }
}

fn tier(name: &str) -> Result<Tier, Failure> {
    Tier::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Tier::ALL.iter().map(|tier| tier.name()).collect();
        Failure::usage(format!("no tier is called '{name}'; there are {}", names.join(", ")))
    })
}

/// A byte count such as `65536`, `64KiB` or `8MiB`.
///
/// # Errors
/// A usage failure for anything else.
pub fn bytes(text: &str) -> Result<usize, Failure> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1usize << 30,
        _ => return Err(Failure::usage(format!("'{text}' is not a byte count; write 65536, 64KiB or 8MiB"))),
    };
    let count = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    count.ok_or_else(|| Failure::usage(format!("'{text}' is not a byte count; write 65536, 64KiB or 8MiB")))
}

/// A frame as the engine takes it; `None` for float arrays.
pub fn view(frame: &Frame) -> Option<FrameView<'_>> {
    let samples = match frame.samples() {
        FrameSamples::U8(samples) => Samples::U8(samples),
        FrameSamples::U16(samples) => Samples::U16(samples),
        FrameSamples::F32(_) => return None,
    };
    Some(FrameView {
        width: frame.width(),
        height: frame.height(),
        channels: frame.channels(),
        full_scale: frame.max_value().unwrap_or(255),
        samples,
    })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
