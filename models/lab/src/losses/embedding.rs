//! Losses of embeddings `[N,D]` with labels: pairwise contrastive and triplet, over all pairs of a batch.

use candle_core::{D, Device, Result, Tensor};

/// Keeps the slope of a root finite at 0.
const TINY: f64 = 1e-8;

/// Distances of all pairs, `[N,N]`.
fn distances(embeddings: &Tensor) -> Result<Tensor> {
    let rows = embeddings.unsqueeze(1)?;
    let columns = embeddings.unsqueeze(0)?;
    (rows.broadcast_sub(&columns)?.sqr()?.sum(D::Minus1)? + TINY)?.sqrt()
}

/// 1 where `holds` for the labels of the row and the column, 0 elsewhere, `[N,N]`.
fn pairs(labels: &[u8], like: &Tensor, holds: impl Fn(usize, usize) -> bool) -> Result<Tensor> {
    let count = labels.len();
    let values: Vec<f32> =
        (0..count * count).map(|at| f32::from(u8::from(holds(at / count, at % count)))).collect();
    Tensor::from_vec(values, (count, count), &Device::Cpu)?.to_dtype(like.dtype())
}

/// Mean over all pairs of ½ d² for equal labels and ½ max(0, m − d)² for others (Hadsell, Chopra & LeCun
/// 2006, eq. 4).
///
/// # Errors
/// Another number of labels than of embeddings.
pub fn contrastive(embeddings: &Tensor, labels: &[u8], margin: f64) -> Result<Tensor> {
    let distances = distances(embeddings)?;
    let same = pairs(labels, embeddings, |a, b| a != b && labels[a] == labels[b])?;
    let other = pairs(labels, embeddings, |a, b| labels[a] != labels[b])?;
    let near = (distances.sqr()? * same)?;
    let far = (distances.affine(-1.0, margin)?.relu()?.sqr()? * other)?;
    let count = (labels.len() * labels.len().saturating_sub(1)).max(1);
    (near + far)?.sum_all()? * (0.5 / count as f64)
}

/// Mean over all triplets (anchor, another of its label, one of another label) of max(0, d⁺ − d⁻ + m)
/// (Schroff et al. 2015, with plain distances and every triplet, "batch all" of Hermans et al. 2017).
///
/// # Errors
/// Another number of labels than of embeddings.
pub fn triplet(embeddings: &Tensor, labels: &[u8], margin: f64) -> Result<Tensor> {
    let distances = distances(embeddings)?;
    let same = pairs(labels, embeddings, |a, b| a != b && labels[a] == labels[b])?;
    let other = pairs(labels, embeddings, |a, b| labels[a] != labels[b])?;
    // [anchor, positive, negative]
    let gaps = (distances.unsqueeze(2)?.broadcast_sub(&distances.unsqueeze(1)?)? + margin)?.relu()?;
    let valid = same.unsqueeze(2)?.broadcast_mul(&other.unsqueeze(1)?)?;
    let count = valid.sum_all()?.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?.max(1.0);
    (gaps * valid)?.sum_all()? / count
}
