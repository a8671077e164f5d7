//! A small U-Net (Ronneberger et al. 2015): 3×3 convolution, batch norm and ReLU twice per level,
//! max-pooling down, nearest-neighbour doubling up, skips concatenated.

use super::config::NetworkConfig;
use crate::metrics::SplitMix64;
use crate::nets::ops::{Groups, Statistics, convolve, double, halve, log_softmax, normalize, rescale};
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Init, VarBuilder, VarMap};
use std::collections::BTreeMap;

/// Epsilon of every batch norm.
pub(super) const EPSILON: f64 = 1e-5;

/// Share of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// A convolution without bias, its batch norm (Ioffe & Szegedy 2015), and ReLU.
pub(super) struct Layer {
    /// `[out, in, 3, 3]`
    pub(super) weight: Tensor,
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
    pub(super) mean: Var,
    pub(super) variance: Var,
}

impl Layer {
    fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let x = convolve(x, &self.weight, None)?;
        if !training {
            let factor = (&self.scale / (self.variance.as_tensor() + EPSILON)?.sqrt()?)?;
            let summand = (&self.shift - (self.mean.as_tensor() * &factor)?)?;
            return rescale(&x, &factor, &summand, true);
        }
        let statistics = Statistics::default();
        let result = normalize(&x, [&self.scale, &self.shift], Groups::Batch, true, EPSILON, &statistics)?;
        let found = statistics.lock().map(|found| found.clone()).unwrap_or_default();
        let count = (x.elem_count() / found.len().max(1)) as f64;
        for (own, which, correction) in
            [(&self.mean, 0, 1.0), (&self.variance, 1, count / (count - 1.0).max(1.0))]
        {
            let found: Vec<f32> = found.iter().map(|found| found[which]).collect();
            let found = Tensor::from_vec(found, own.shape(), &Device::Cpu)?;
            own.set(&((own.as_tensor() * (1.0 - MOMENTUM))? + (found * (MOMENTUM * correction))?)?)?;
        }
        Ok(result)
    }
}

/// Two layers at one resolution.
pub(super) type Block = [Layer; 2];

/// The network: gray images `[N,1,H,W]` to logits `[N,classes,H,W]`, H and W multiples of 2^depth.
pub struct UNet {
    pub(super) down: Vec<Block>,
    pub(super) bottom: Block,
    /// From the deepest level to the shallowest; each takes the doubled features before the skip.
    pub(super) up: Vec<Block>,
    /// `[classes, channels, 1, 1]`
    pub(super) head_weight: Tensor,
    /// `[classes]`
    pub(super) head_bias: Tensor,
    parameters: BTreeMap<String, Var>,
}

impl UNet {
    /// A network with He-uniform weights (He et al. 2015) drawn from `seed`, the same on every machine.
    ///
    /// # Errors
    /// Candle's error; none is known for a checked configuration.
    pub fn new(config: &NetworkConfig, classes: usize, seed: u64) -> Result<Self> {
        let map = VarMap::new();
        let root = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let (depth, channels) = (config.depth, config.channels);
        let width = |level: usize| channels << level;
        let mut down = Vec::new();
        for level in 0..depth {
            let inputs = if level == 0 { 1 } else { width(level - 1) };
            down.push(block(&root.pp(format!("down{level}")), inputs, width(level))?);
        }
        let bottom = block(&root.pp("bottom"), width(depth - 1), width(depth))?;
        let mut up = Vec::new();
        for level in (0..depth).rev() {
            up.push(block(&root.pp(format!("up{level}")), width(level + 1) + width(level), width(level))?);
        }
        let head = root.pp("head");
        let head_weight = head.get((classes, channels, 1, 1), "weight")?;
        let head_bias = head.get(classes, "bias")?;
        let parameters: BTreeMap<String, Var> = match map.data().lock() {
            Ok(vars) => vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect(),
            Err(_) => BTreeMap::new(),
        };
        initialise(&parameters, seed)?;
        Ok(Self { down, bottom, up, head_weight, head_bias, parameters })
    }

    /// Logits; `training` normalises by the batch and updates the running statistics.
    ///
    /// # Errors
    /// An input whose shape does not fit.
    pub fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let mut skips = Vec::new();
        let mut x = x.clone();
        for block in &self.down {
            x = apply(block, &x, training)?;
            skips.push(x.clone());
            x = halve(&x)?;
        }
        x = apply(&self.bottom, &x, training)?;
        for (block, skip) in self.up.iter().zip(skips.iter().rev()) {
            x = apply(block, &Tensor::cat(&[&double(&x)?, skip], 1)?, training)?;
        }
        convolve(&x, &self.head_weight, Some(&self.head_bias))
    }

    /// Weights and running statistics by name.
    pub fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }
}

fn block(scope: &VarBuilder<'_>, inputs: usize, outputs: usize) -> Result<Block> {
    let layer = |name: &str, inputs: usize| -> Result<Layer> {
        let scope = scope.pp(name);
        let norm = scope.pp("norm");
        let constant = |name: &str, value: f64| norm.get_with_hints(outputs, name, Init::Const(value));
        Ok(Layer {
            weight: scope.get((outputs, inputs, 3, 3), "weight")?,
            scale: constant("weight", 1.0)?,
            shift: constant("bias", 0.0)?,
            mean: Var::from_tensor(&constant("running_mean", 0.0)?)?,
            variance: Var::from_tensor(&constant("running_var", 1.0)?)?,
        })
    };
    Ok([layer("first", inputs)?, layer("second", outputs)?])
}

fn apply(block: &Block, x: &Tensor, training: bool) -> Result<Tensor> {
    block.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, training))
}

/// Convolution weights uniform in ±√(6 / fan-in), in the order of their names; all else keeps its usual
/// start.
fn initialise(parameters: &BTreeMap<String, Var>, seed: u64) -> Result<()> {
    let mut random = SplitMix64::new(seed);
    for var in parameters.values().filter(|var| var.rank() == 4) {
        let (outputs, inputs, height, width) = var.dims4()?;
        let bound = (6.0 / (inputs * height * width) as f64).sqrt();
        let unit = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
        let count = outputs * inputs * height * width;
        let values: Vec<f32> =
            (0..count).map(|_| ((2.0 * unit(random.next_u64()) - 1.0) * bound) as f32).collect();
        var.set(&Tensor::from_vec(values, (outputs, inputs, height, width), &Device::Cpu)?)?;
    }
    Ok(())
}

/// Cross-entropy plus (1 − mean soft Dice over classes, pooled over the batch; Milletari et al. 2016).
///
/// `logits` `[N,K,H,W]`, `truth` one-hot likewise.
///
/// # Errors
/// Shapes that differ.
pub fn loss(logits: &Tensor, truth: &Tensor) -> Result<Tensor> {
    let log_probabilities = log_softmax(logits)?;
    let probabilities = log_probabilities.exp()?;
    let pixels = (logits.elem_count() / logits.dim(1)?) as f64;
    let cross_entropy = ((truth * log_probabilities)?.sum_all()? * (-1.0 / pixels))?;

    let per_class = |x: Tensor| -> Result<Tensor> { x.transpose(0, 1)?.flatten_from(1)?.sum(D::Minus1) };
    let overlap = (per_class((&probabilities * truth)?)? * 2.0)?;
    let sizes = (per_class(probabilities)? + per_class(truth.clone())?)?;
    let dice = ((overlap + 1.0)? / (sizes + 1.0)?)?.mean_all()?;
    cross_entropy + (1.0 - dice)?
}
