//! The ladder of instruction sets: values that can be named, listed and forced.

use core::fmt;

/// An instruction set that kernels are built for, from the slowest to the fastest of each architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The specification's plain loops, on any machine.
    Reference,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX2 and VEX-encoded VNNI.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512Vnni,
    /// The same with AMX tiles of bytes, on Linux.
    Amx,
    /// AArch64 with Advanced SIMD.
    Neon,
    /// AArch64 with Advanced SIMD and the dot product extension.
    NeonDot,
    /// The same with the matrix extension for bytes.
    I8mm,
    /// Cortex-M with the DSP extension and a floating-point unit: M4, M7.
    Dsp,
    /// Cortex-M with the M-profile vector extension: M55, M85.
    Helium,
}

/// Whether the CPU has all of the named features: asked at run time with `std`, at compile time without.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
macro_rules! has {
    ($detect:ident, $($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let has = true $(&& std::arch::$detect!($feature))+;
        #[cfg(not(feature = "std"))]
        let has = true $(&& cfg!(target_feature = $feature))+;
        has
    }};
}

/// Whether the CPU permutes bytes across a register (VBMI): a faster way to look up codes, not a tier of its
/// own.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_byte_permutations() -> bool {
    has!(is_x86_feature_detected, "avx512vbmi")
}

impl Tier {
    /// Every tier, slowest first of each architecture, whether this machine has it or not.
    pub const ALL: [Self; 10] = [
        Self::Reference,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::Amx,
        Self::Neon,
        Self::NeonDot,
        Self::I8mm,
        Self::Dsp,
        Self::Helium,
    ];

    /// The name used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::NeonDot => "neondot",
            Self::I8mm => "i8mm",
            Self::Dsp => "dsp",
            Self::Helium => "helium",
        }
    }

    /// About how many products one core computes in a nanosecond: for planning, not for reports.
    pub const fn products_per_nanosecond(self) -> f64 {
        match self {
            Self::Reference => 0.5,
            Self::Avx2 => 75.0,
            Self::AvxVnni => 190.0,
            Self::Avx512Vnni => 440.0,
            Self::Amx => 1800.0,
            Self::Neon => 30.0,
            Self::NeonDot => 60.0,
            Self::I8mm => 100.0,
            Self::Dsp => 0.1,
            Self::Helium => 0.5,
        }
    }

    /// The tier of that name, present or not.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Whether this machine can run the tier.
    pub fn is_available(self) -> bool {
        match self {
            Self::Reference => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has!(is_x86_feature_detected, "avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => has!(is_x86_feature_detected, "avx2", "avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                has!(is_x86_feature_detected, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni")
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => Self::Avx512Vnni.is_available() && crate::x86::amx::is_permitted(),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => has!(is_aarch64_feature_detected, "neon"),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::NeonDot => has!(is_aarch64_feature_detected, "neon", "dotprod"),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::I8mm => has!(is_aarch64_feature_detected, "neon", "dotprod", "i8mm"),
            // Who builds for a microcontroller says which it is; tests run its loops over a model anywhere.
            Self::Dsp => cfg!(any(test, all(target_arch = "arm", feature = "dsp"))),
            Self::Helium => cfg!(any(test, all(target_arch = "arm", feature = "helium"))),
            #[allow(unreachable_patterns, reason = "each architecture handles its own tiers above")]
            _ => false,
        }
    }

    /// The tiers this machine can run, slowest first; never empty.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|tier| tier.is_available())
    }

    /// The fastest tier this machine can run.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Reference)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why [`CpuKernels::new`](crate::CpuKernels::new) refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierError {
    /// This machine cannot run the tier; the message lists those it can.
    Unavailable(Tier),
    /// The number of threads is zero or above the limit of this build.
    Threads {
        /// What was asked for.
        requested: usize,
        /// Greatest number this build takes.
        limit: usize,
    },
    /// The operating system refused to start a worker thread.
    #[cfg(feature = "std")]
    Spawn(std::io::ErrorKind),
}

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(tier) => {
                write!(f, "this CPU has no {tier} tier; available:")?;
                Tier::available().try_for_each(|tier| write!(f, " {tier}"))
            }
            Self::Threads { requested, limit } => {
                write!(f, "cannot use {requested} threads; choose 1 to {limit}")
            }
            #[cfg(feature = "std")]
            Self::Spawn(kind) => write!(f, "cannot start a worker thread ({kind}); use fewer threads"),
        }
    }
}

impl core::error::Error for TierError {}
