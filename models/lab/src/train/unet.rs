//! A small U-Net (Ronneberger et al. 2015): 3×3 convolution, batch norm and ReLU twice per level,
//! max-pooling down, nearest-neighbour doubling up, skips concatenated.

use super::config::NetworkConfig;
use super::convolution::convolve;
use crate::metrics::SplitMix64;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{BatchNorm, ModuleT, VarBuilder, VarMap, batch_norm};
use std::collections::BTreeMap;

/// Epsilon of every batch norm.
pub(super) const EPSILON: f64 = 1e-5;

/// A convolution without bias, its batch norm, and ReLU.
pub(super) struct Layer {
    /// `[out, in, 3, 3]`
    pub(super) weight: Tensor,
    pub(super) norm: BatchNorm,
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
            x = x.max_pool2d(2)?;
        }
        x = apply(&self.bottom, &x, training)?;
        for (block, skip) in self.up.iter().zip(skips.iter().rev()) {
            x = apply(block, &Tensor::cat(&[&double(&x)?, skip], 1)?, training)?;
        }
        let (images, channels, height, width) = x.dims4()?;
        let classes = self.head_bias.dim(0)?;
        let weight = self.head_weight.reshape((1, classes, channels))?;
        let logits = weight.broadcast_matmul(&x.reshape((images, channels, height * width))?)?;
        logits
            .broadcast_add(&self.head_bias.reshape((1, classes, 1))?)?
            .reshape((images, classes, height, width))
    }

    /// Weights and running statistics by name.
    pub fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }
}

fn block(scope: &VarBuilder<'_>, inputs: usize, outputs: usize) -> Result<Block> {
    let layer = |name: &str, inputs: usize| -> Result<Layer> {
        let scope = scope.pp(name);
        Ok(Layer {
            weight: scope.get((outputs, inputs, 3, 3), "weight")?,
            norm: batch_norm(outputs, EPSILON, scope.pp("norm"))?,
        })
    };
    Ok([layer("first", inputs)?, layer("second", outputs)?])
}

fn apply(block: &Block, x: &Tensor, training: bool) -> Result<Tensor> {
    let mut x = x.clone();
    for layer in block {
        x = layer.norm.forward_t(&convolve(&x, &layer.weight)?, training)?.relu()?;
    }
    Ok(x)
}

/// Every pixel twice along both axes.
fn double(x: &Tensor) -> Result<Tensor> {
    let (images, channels, height, width) = x.dims4()?;
    let spread = x.reshape((images * channels, height, 1, width, 1))?;
    let spread = spread.broadcast_as((images * channels, height, 2, width, 2))?;
    spread.contiguous()?.reshape((images, channels, 2 * height, 2 * width))
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
    let greatest = logits.max_keepdim(1)?.detach();
    let shifted = logits.broadcast_sub(&greatest)?;
    let exponentials = shifted.exp()?;
    let total = exponentials.sum_keepdim(1)?;
    let log_probabilities = shifted.broadcast_sub(&total.log()?)?;
    let probabilities = exponentials.broadcast_div(&total)?;
    let pixels = (logits.elem_count() / logits.dim(1)?) as f64;
    let cross_entropy = ((truth * log_probabilities)?.sum_all()? * (-1.0 / pixels))?;

    let per_class = |x: Tensor| -> Result<Tensor> { x.transpose(0, 1)?.flatten_from(1)?.sum(D::Minus1) };
    let overlap = (per_class((&probabilities * truth)?)? * 2.0)?;
    let sizes = (per_class(probabilities)? + per_class(truth.clone())?)?;
    let dice = ((overlap + 1.0)? / (sizes + 1.0)?)?.mean_all()?;
    cross_entropy + (1.0 - dice)?
}
