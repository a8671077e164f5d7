//! Gives a case the form that a plan takes, one image `[1, channels, height, width]`, where that changes no
//! value.

use candor_lab::execute;
use candor_lab::network::{Network, Op, Tensor};

/// Axes of an image.
const AXES: usize = 4;

/// A network and its inputs, image by image.
#[derive(Clone)]
pub struct Form {
    /// What was done to the case, as a snapshot says it.
    pub suffix: &'static str,
    /// The network on one image.
    pub network: Network,
    /// Inputs of every image.
    pub images: Vec<Vec<Tensor>>,
}

impl Form {
    /// The case as it is.
    pub fn plain(network: Network, inputs: Vec<Tensor>) -> Self {
        Self { suffix: "", network, images: vec![inputs] }
    }

    /// The forms to try in order: as it is, with axes of extent 1 put in front, and image by image; only
    /// those that give what the case gives, to the bit, by the float executor.
    pub fn all(self) -> Vec<Self> {
        let expected = self.outputs();
        let others = [self.four_axes(), self.single_images()];
        let same =
            others.into_iter().flatten().filter(|form| expected.is_some() && form.outputs() == expected);
        let same: Vec<Self> = same.collect();
        [vec![self], same].concat()
    }

    /// Bits of the float network's outputs over all images; `None` where it refuses them.
    fn outputs(&self) -> Option<Vec<u32>> {
        let mut bits = Vec::new();
        for inputs in &self.images {
            for output in execute::run(&self.network, inputs, &mut |_, _| {}).ok()? {
                bits.extend(output.as_f32()?.iter().map(|value| value.to_bits()));
            }
        }
        Some(bits)
    }

    /// Puts missing axes in front of every value, as broadcasting does, and counts axes from there.
    fn four_axes(&self) -> Option<Self> {
        let network = &self.network;
        let computed = |id: &usize| network.values[*id].constant.is_none();
        let ranks = || network.values.iter().filter(|v| v.constant.is_none()).map(|v| v.shape.len());
        if ranks().all(|rank| rank == AXES) || ranks().any(|rank| rank > AXES) {
            return None;
        }
        let mut network = network.clone();
        for node in &mut network.nodes {
            let source = node.inputs.iter().find(|id| computed(id))?;
            let missing = AXES - self.network.values[*source].shape.len();
            shift_axes(&mut node.op, missing)?;
        }
        for value in network.values.iter_mut().filter(|value| value.constant.is_none()) {
            value.shape = padded(&value.shape);
        }
        let images = self.images.iter().map(|inputs| inputs.iter().map(with_four_axes).collect()).collect();
        Some(Self { suffix: ", given four axes", network, images })
    }

    /// Cuts every value along the first axis, for networks that work on each image alone.
    fn single_images(&self) -> Option<Self> {
        let &first = self.network.inputs.first()?;
        let &count = self.network.values[first].shape.first()?;
        let mut network = self.network.clone();
        let computed = network.values.iter_mut().filter(|value| value.constant.is_none());
        for value in computed {
            if value.shape.len() != AXES || value.shape[0] != count || count == 1 {
                return None;
            }
            value.shape[0] = 1;
        }
        let [inputs] = &self.images[..] else { return None };
        let images = (0..count).map(|image| inputs.iter().map(|tensor| cut(tensor, image)).collect());
        Some(Self { suffix: ", image by image", network, images: images.collect() })
    }
}

fn padded(shape: &[usize]) -> Vec<usize> {
    let mut all = vec![1; AXES - shape.len()];
    all.extend(shape);
    all
}

fn with_four_axes(tensor: &Tensor) -> Tensor {
    Tensor { shape: padded(&tensor.shape), data: tensor.data.clone() }
}

/// Image `index` of a float tensor.
fn cut(tensor: &Tensor, index: usize) -> Tensor {
    let volume = tensor.shape[1..].iter().product::<usize>();
    let values = tensor.as_f32().unwrap_or_default();
    let shape = [&[1], &tensor.shape[1..]].concat();
    Tensor::f32(shape, values[index * volume..][..volume].to_vec())
}

/// Counts the axes of an operator from `missing` more; `None` where its output would have another form.
fn shift_axes(op: &mut Op, missing: usize) -> Option<()> {
    match op {
        Op::Concat { axis } | Op::Softmax { axis, .. } | Op::Gather { axis } => *axis += missing,
        Op::Reduce { axes, keepdims: true, .. } => axes.iter_mut().for_each(|axis| *axis += missing),
        Op::ArgMax { axis, keepdims: true, .. } => *axis += missing,
        Op::Transpose { permutation } => {
            let moved = permutation.iter().map(|axis| axis + missing);
            *permutation = (0..missing).chain(moved).collect();
        }
        Op::Slice { start, step } => {
            start.splice(0..0, vec![0; missing]);
            step.splice(0..0, vec![1; missing]);
        }
        Op::Pad { pads, .. } => {
            let rank = pads.len() / 2;
            for at in [rank, 0] {
                pads.splice(at..at, vec![0; missing]);
            }
        }
        Op::Unary(_) | Op::Binary(_) | Op::PRelu | Op::Reshape | Op::Expand | Op::MatMul => {}
        _ if missing == 0 => {}
        _ => return None,
    }
    Some(())
}
