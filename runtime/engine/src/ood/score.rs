//! The apply side of OOD detection: scores of one frame under fitted profiles, in a stated order of
//! operations.
//!
//! Only +, −, ×, ÷ and √ of f64 are used, each correctly rounded by IEEE 754, so scores repeat bit for bit
//! on every IEEE machine; [`natural_log`] is built from them. Nothing is allocated: the caller lends
//! scratch. Profiles borrow plain f64 arrays, as they lie in a package. Sums run in ascending index order.

mod eigen;

pub use eigen::symmetric_eigenvalues;

/// A slice handed to a score has not the length its profile asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthMismatch {
    /// Which slice.
    pub what: &'static str,
    /// Values needed.
    pub expected: usize,
    /// Values found.
    pub found: usize,
}

impl core::fmt::Display for LengthMismatch {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { what, expected, found } = self;
        write!(
            out,
            "`{what}` holds {found} values; the profile needs {expected}: was it fitted for this model?"
        )
    }
}

impl core::error::Error for LengthMismatch {}

fn check(what: &'static str, expected: usize, found: usize) -> Result<(), LengthMismatch> {
    if expected == found { Ok(()) } else { Err(LengthMismatch { what, expected, found }) }
}

/// ln(x) for finite x > 0 from basic operations only, to a relative error below 2⁻⁵⁰.
///
/// x = 2^k·m with m in [√½, √2), ln m = 2·artanh(s), s = (m−1)/(m+1), by the odd series in s to s²³
/// (Horner). Zero, negative and non-finite x give −∞, as the log of nothing.
pub fn natural_log(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        return f64::NEG_INFINITY;
    }
    // Subnormal numbers are scaled up by 2^54 first.
    let (scaled, shift) = if x < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, 54) } else { (x, 0) };
    let bits = scaled.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023 - shift;
    let mut mantissa = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000);
    if mantissa >= core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    let mut odd = 23_i32;
    while odd >= 1 {
        series = series * square + 1.0 / f64::from(odd);
        odd -= 2;
    }
    // ln 2 in two parts, the first exact when multiplied by any exponent (Cody & Waite).
    let exponent = exponent as f64;
    let high = exponent * 6.931_471_803_691_238e-1;
    let low = exponent * 1.908_214_929_270_587_7e-10;
    high + (2.0 * s * series + low)
}

/// Training intensity histograms a frame is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntensityProfile<'a> {
    /// Bins per histogram (64 per channel).
    pub bins: usize,
    /// `[references][bins]`, each row summing to 1.
    pub references: &'a [f64],
}

/// Adds one frame's 8-bit intensities to 64 equal bins of 4 grey levels.
pub fn count_intensities(pixels: &[u8], counts: &mut [u32; 64]) {
    for &pixel in pixels {
        if let Some(count) = counts.get_mut(usize::from(pixel >> 2)) {
            *count = count.saturating_add(1);
        }
    }
}

/// Divides counts by their sum into `shares`, both of the same length; all shares are 0 without counts.
///
/// # Errors
/// [`LengthMismatch`].
pub fn normalise(counts: &[u32], shares: &mut [f64]) -> Result<(), LengthMismatch> {
    check("shares", counts.len(), shares.len())?;
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    for (share, &count) in shares.iter_mut().zip(counts) {
        *share = if total == 0 { 0.0 } else { f64::from(count) / total as f64 };
    }
    Ok(())
}

/// Symmetric chi-square distance ½·Σ (a−b)²/(a+b) of two normalised histograms, in 0..=1; empty bins add 0.
pub fn chi_square(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (a, b) in a.iter().zip(b) {
        if a + b > 0.0 {
            sum += (a - b) * (a - b) / (a + b);
        }
    }
    0.5 * sum
}

/// Intensity score: chi-square distance to the nearest training histogram, in 0..=1 (∞ without references).
///
/// Why this distance: it is bounded, needs neither a logarithm nor a variance per bin (bins that are empty
/// in training would have none), and approximates the Jensen–Shannon divergence to second order. Why the
/// nearest and not the mean: training frames come from several scanners and presets, whose mean looks like
/// none of them. `shares` is the frame's histogram from [`normalise`].
///
/// # Errors
/// [`LengthMismatch`].
pub fn intensity_score(profile: &IntensityProfile<'_>, shares: &[f64]) -> Result<f64, LengthMismatch> {
    check("shares", profile.bins, shares.len())?;
    let rows = profile.references.chunks_exact(profile.bins.max(1));
    Ok(rows.map(|row| chi_square(shares, row)).fold(f64::INFINITY, f64::min))
}

/// One tapped layer of the Mahalanobis detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerProfile<'a> {
    /// Mean of each channel's pooled feature, `[channels]`.
    pub mean: &'a [f64],
    /// Its standard deviation, above 0, `[channels]`.
    pub deviation: &'a [f64],
    /// Cholesky factor of the ridged correlation matrix, lower triangle packed by rows,
    /// `[channels·(channels+1)/2]`.
    pub factor: &'a [f64],
}

/// Mahalanobis score: mean over layers of √(d²/channels), d² = yᵀ(R + 0.01·I)⁻¹y of the standardised
/// features.
///
/// FRODO (Çallı et al., 2019): globally averaged activations per channel, standardised, covariance of the
/// standardised features with a ridge of 0.01, mean over layers. One departure: the published code divides
/// a layer's distance by its channel count, so wide layers hardly count; here it is divided by the count's
/// root, so that every layer contributes about 1 on training-like frames. Any affine form of the feature
/// does, since it is standardised: a channel's integer sum serves as well as its mean. `features` holds the
/// channels of all layers one after another; `scratch` at least the channels of the widest layer.
///
/// # Errors
/// [`LengthMismatch`].
pub fn mahalanobis_score(
    layers: &[LayerProfile<'_>],
    features: &[f64],
    scratch: &mut [f64],
) -> Result<f64, LengthMismatch> {
    mahalanobis(layers, features, scratch).map(|distance| distance.mean)
}

/// The distances of all layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Their mean, 0 without layers.
    pub mean: f64,
    /// The first layer with the greatest.
    pub furthest: usize,
}

/// [`mahalanobis_score`], and the layer that contributes most.
///
/// # Errors
/// [`LengthMismatch`].
pub fn mahalanobis(
    layers: &[LayerProfile<'_>],
    features: &[f64],
    scratch: &mut [f64],
) -> Result<Distance, LengthMismatch> {
    check("features", layers.iter().map(|layer| layer.mean.len()).sum(), features.len())?;
    let (mut rest, mut sum) = (features, 0.0);
    let (mut greatest, mut furthest) = (f64::NEG_INFINITY, 0);
    for (index, layer) in layers.iter().enumerate() {
        let (own, others) = rest.split_at_checked(layer.mean.len()).unwrap_or((rest, &[]));
        rest = others;
        let distance = layer_distance(layer, own, scratch)?;
        sum += distance;
        if distance > greatest {
            (greatest, furthest) = (distance, index);
        }
    }
    Ok(Distance { mean: if layers.is_empty() { 0.0 } else { sum / layers.len() as f64 }, furthest })
}

/// √(d²/channels) of one layer by forward substitution L·w = y, d² = Σ w².
fn layer_distance(
    layer: &LayerProfile<'_>,
    features: &[f64],
    scratch: &mut [f64],
) -> Result<f64, LengthMismatch> {
    let channels = layer.mean.len();
    check("deviation", channels, layer.deviation.len())?;
    check("factor", channels * (channels + 1) / 2, layer.factor.len())?;
    let found = scratch.len();
    let Some(solved) = scratch.get_mut(..channels) else {
        return Err(LengthMismatch { what: "scratch", expected: channels, found });
    };
    let (mut row_start, mut squares) = (0, 0.0);
    for i in 0..channels {
        let row = &layer.factor[row_start..row_start + i + 1];
        let mut value = (features[i] - layer.mean[i]) / layer.deviation[i];
        for (factor, known) in row.iter().zip(solved.iter()).take(i) {
            value -= factor * known;
        }
        solved[i] = value / row[i];
        squares += solved[i] * solved[i];
        row_start += i + 1;
    }
    Ok(if channels == 0 { 0.0 } else { (squares / channels as f64).sqrt() })
}

/// How a log spectrum is made comparable between frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalisation {
    /// Subtract the mean of the logs: scaling all activations by any gain changes nothing. The default
    /// choice.
    MeanLog,
    /// Divide by the Euclidean norm of the logs, as the papers write it; depends on the activations' unit.
    EuclideanNorm,
}

/// Eigenvalues below this share of the largest are raised to it, so that dead channels cannot dominate.
pub const SPECTRUM_FLOOR: f64 = 1e-6;

/// Adds one pixel's activations, zero point subtracted, to the upper triangle of an integer Gram matrix
/// `[channels][channels]`. Exact; saturates instead of wrapping.
pub fn add_to_gram(activations: &[i16], gram: &mut [i64]) {
    let channels = activations.len().max(1);
    for (i, (row, &a)) in gram.chunks_exact_mut(channels).zip(activations).enumerate() {
        for (sum, &b) in row.iter_mut().zip(activations).skip(i) {
            *sum = sum.saturating_add(i64::from(a) * i64::from(b));
        }
    }
}

/// Spectral signature of a frame: the normalised log singular values of its (pixels × channels) activation.
///
/// Karimi & Gholipour (2020, 2022). The singular values are the square roots of the Gram matrix's
/// eigenvalues, which int8 activations give in exact integers. `gram` is `[channels][channels]` of which
/// the upper triangle is read; `matrix` is scratch of that size; `signature` receives `channels` values,
/// largest first, of the vector of logs of the *diagonal* of singular values. (A public re-implementation
/// takes the log of the full diagonal matrix, zeros included, which makes its norm nearly constant; that is
/// not done here.) Eigenvalues below [`SPECTRUM_FLOOR`] of the largest count as that; an all-zero
/// activation gives all zeros.
///
/// # Errors
/// [`LengthMismatch`].
pub fn spectral_signature(
    gram: &[i64],
    normalisation: Normalisation,
    matrix: &mut [f64],
    signature: &mut [f64],
) -> Result<(), LengthMismatch> {
    let channels = signature.len();
    check("gram", channels * channels, gram.len())?;
    check("matrix", channels * channels, matrix.len())?;
    for i in 0..channels {
        for j in i..channels {
            let value = gram[i * channels + j] as f64;
            matrix[i * channels + j] = value;
            matrix[j * channels + i] = value;
        }
    }
    symmetric_eigenvalues(matrix, signature)?;
    let largest = signature.first().copied().unwrap_or(0.0);
    if largest <= 0.0 {
        signature.fill(0.0);
        return Ok(());
    }
    for value in signature.iter_mut() {
        *value = 0.5 * natural_log(value.max(largest * SPECTRUM_FLOOR));
    }
    match normalisation {
        Normalisation::MeanLog => {
            let mean = signature.iter().sum::<f64>() / channels as f64;
            signature.iter_mut().for_each(|value| *value -= mean);
        }
        Normalisation::EuclideanNorm => {
            let norm = signature.iter().map(|value| value * value).sum::<f64>().sqrt();
            let scale = if norm > 0.0 { norm } else { 1.0 };
            signature.iter_mut().for_each(|value| *value /= scale);
        }
    }
    Ok(())
}

/// Training signatures a frame's is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpectrumProfile<'a> {
    /// Values per signature.
    pub channels: usize,
    /// `[references][channels]`.
    pub references: &'a [f64],
}

/// Spectral score: Euclidean distance to the nearest training signature (∞ without references).
///
/// # Errors
/// [`LengthMismatch`].
pub fn spectrum_score(profile: &SpectrumProfile<'_>, signature: &[f64]) -> Result<f64, LengthMismatch> {
    check("signature", profile.channels, signature.len())?;
    let rows = profile.references.chunks_exact(profile.channels.max(1));
    Ok(rows.map(|row| euclidean(signature, row)).fold(f64::INFINITY, f64::min))
}

/// Euclidean distance of two vectors of equal length.
pub fn euclidean(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (a, b) in a.iter().zip(b) {
        sum += (a - b) * (a - b);
    }
    sum.sqrt()
}

/// −p·ln p in units of 2⁻²⁴ nats at p = i/4096, i = 0..=4096: entropy as an integer sum. Build once, 16
/// KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntropyTable([u32; 4097]);

impl Default for EntropyTable {
    fn default() -> Self {
        let mut entries = [0; 4097];
        for (index, entry) in entries.iter_mut().enumerate().skip(1) {
            let p = index as f64 / 4096.0;
            *entry = (-p * natural_log(p) * 16_777_216.0).round_ties_even() as u32;
        }
        Self(entries)
    }
}

impl EntropyTable {
    /// Entropy score: mean over pixels of −Σ p·ln p in nats; the control every better detector must beat.
    ///
    /// `probabilities` is planar `[classes][pixels]` (value / 65535, rounded to 1/4096 here), so any order
    /// of classes and pixels gives the same sum. 0 without pixels.
    pub fn score(&self, probabilities: &[u16], pixels: usize) -> f64 {
        let term = |p: &u16| u64::from(self.0[(usize::from(*p) + 8) >> 4]);
        let sum: u64 = probabilities.iter().map(term).sum();
        if pixels == 0 { 0.0 } else { sum as f64 / 16_777_216.0 / pixels as f64 }
    }
}

/// How one detector's scores are put on a common scale, and where it alerts on its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreScale {
    /// Median of the logs of its held-out training scores.
    pub median: f64,
    /// Their 90th percentile minus the median, above 0.
    pub spread: f64,
    /// The detector alone alerts on scores strictly above this.
    pub threshold: f64,
}

/// Least score that is told apart from zero.
pub const SCORE_FLOOR: f64 = 1e-9;

/// ln of a score, floored so that a perfect match stays finite.
pub fn log_score(score: f64) -> f64 {
    natural_log(score.max(SCORE_FLOOR))
}

impl ScoreScale {
    /// (ln score − median) / spread; ∞ for a score that is no number, which must not pass as normal.
    pub fn standardise(&self, score: f64) -> f64 {
        if score.is_nan() { f64::INFINITY } else { (log_score(score) - self.median) / self.spread }
    }

    /// Whether this detector alone alerts.
    pub fn alerts(&self, score: f64) -> bool {
        score.is_nan() || score > self.threshold
    }
}

/// The joint score of several detectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combined {
    /// The mean standardised log score; higher is further from training.
    pub value: f64,
    /// Index of the detector that contributes most, the reason to report.
    pub leading: usize,
}

/// Mean standardised log score over the detectors, in profile order; the first wins a tie for the lead.
///
/// A sum of logs adds the evidence of detectors that look at different things, as Fisher's combination of
/// p-values (1925) does: a training frame that is odd in one respect is normal in the others, a foreign
/// frame is odd in several. The largest score is ruled by whichever detector has the heaviest tail.
/// p-values themselves cannot be used: from n scores they never fall below 1/(n+1), so every clearly
/// foreign frame would tie. −∞ without detectors.
///
/// # Errors
/// [`LengthMismatch`] unless there is one score per scale.
pub fn combine(scales: &[ScoreScale], scores: &[f64]) -> Result<Combined, LengthMismatch> {
    check("scores", scales.len(), scores.len())?;
    let (mut total, mut greatest, mut leading) = (0.0, f64::NEG_INFINITY, 0);
    for (index, (scale, &score)) in scales.iter().zip(scores).enumerate() {
        let value = scale.standardise(score);
        total += value;
        if value > greatest {
            (greatest, leading) = (value, index);
        }
    }
    let value = if scales.is_empty() { f64::NEG_INFINITY } else { total / scales.len() as f64 };
    Ok(Combined { value, leading })
}

/// Conformal p-value (1 + #{held-out ≥ score}) / (n + 1) against ascending held-out scores (Vovk et al.,
/// 2005): at most α with probability at most α for a frame exchangeable with them. NaN gives the smallest.
pub fn p_value(ascending: &[f64], score: f64) -> f64 {
    let below =
        if score.is_nan() { ascending.len() } else { ascending.partition_point(|held| *held < score) };
    (1 + ascending.len() - below) as f64 / (ascending.len() + 1) as f64
}
