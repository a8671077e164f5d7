//! A network as a list of layers, each reading earlier ones: built here, run by `Model`, packed by `export`.

use super::ops::Groups;
use serde::Deserialize;

/// What a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The image `[N,C,H,W]`.
    Input,
    /// K×K convolution, K 1 or 3, zero padding K/2.
    Convolution {
        /// Side of the kernel.
        kernel: usize,
        /// Steps between results, 1 or 2 (extents even).
        stride: usize,
        /// Whether a bias is added; not before a norm.
        bias: bool,
    },
    /// 3×3 convolution of every channel by itself, zero padding 1, no bias.
    Depthwise {
        /// Steps between results, 1 or 2 (extents even).
        stride: usize,
    },
    /// Normalisation with scale and shift per channel.
    Norm {
        /// By the statistics of the batch (running ones when not training) or of each image.
        groups: Groups,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// max(0, x).
    Relu,
    /// The greatest of 2×2 pixels.
    Halve,
    /// Every pixel twice along both axes.
    Double,
    /// Channels of all inputs in order.
    Concat,
    /// The sum of two inputs.
    Add,
    /// Mean over rows and columns, `[N,C,1,1]`.
    GlobalMean,
}

/// A layer, what it reads and how many channels it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Unique; parameters are named after it.
    pub name: String,
    /// What is computed.
    pub layer: Layer,
    /// Earlier nodes.
    pub inputs: Vec<usize>,
    /// Channels of the result.
    pub channels: usize,
}

/// Normalisation between the convolutions of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Batch normalisation (Ioffe & Szegedy 2015); folds into the convolution when packed.
    #[default]
    Batch,
    /// Instance normalisation (Ulyanov et al. 2016).
    Instance,
    /// None: convolutions have biases.
    None,
}

/// A network under construction and done; node 0 is the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// In an order in which they can be computed.
    pub nodes: Vec<Node>,
    /// Nodes that are results.
    pub outputs: Vec<usize>,
}

impl Graph {
    /// A network that takes images of `channels` channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        let input = Node { name: "input".into(), layer: Layer::Input, inputs: Vec::new(), channels };
        Self { nodes: vec![input], outputs: Vec::new() }
    }

    /// Adds a node and returns its place.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        layer: Layer,
        inputs: &[usize],
        channels: usize,
    ) -> usize {
        self.nodes.push(Node { name: name.into(), layer, inputs: inputs.to_vec(), channels });
        self.nodes.len() - 1
    }

    /// Channels of node `at`.
    #[must_use]
    pub fn channels(&self, at: usize) -> usize {
        self.nodes[at].channels
    }

    /// A layer that keeps the number of channels of its only input.
    pub fn same(&mut self, name: impl Into<String>, layer: Layer, x: usize) -> usize {
        let channels = self.channels(x);
        self.push(name, layer, &[x], channels)
    }

    /// A K×K convolution, the norm, and ReLU.
    pub fn convolution(&mut self, name: &str, x: usize, channels: usize, kernel: usize, norm: Norm) -> usize {
        let layer = Layer::Convolution { kernel, stride: 1, bias: norm == Norm::None };
        let x = self.push(name, layer, &[x], channels);
        self.normalise(name, x, norm, true)
    }

    /// The norm, and ReLU if `relu`.
    pub fn normalise(&mut self, name: &str, x: usize, norm: Norm, relu: bool) -> usize {
        let groups = match norm {
            Norm::Batch => Groups::Batch,
            Norm::Instance => Groups::Image,
            Norm::None if relu => return self.same(format!("{name}.relu"), Layer::Relu, x),
            Norm::None => return x,
        };
        self.same(format!("{name}.norm"), Layer::Norm { groups, relu }, x)
    }

    /// The results of a linear head of `classes` logits on `x`.
    pub fn head(&mut self, name: &str, x: usize, classes: usize) -> usize {
        self.push(name, Layer::Convolution { kernel: 1, stride: 1, bias: true }, &[x], classes)
    }

    /// Channels joined.
    pub fn concat(&mut self, name: impl Into<String>, inputs: &[usize]) -> usize {
        let channels = inputs.iter().map(|&at| self.channels(at)).sum();
        self.push(name, Layer::Concat, inputs, channels)
    }

    /// How often the deepest path halves the image: its sides must be multiples of 2 to this power.
    #[must_use]
    pub fn halvings(&self) -> usize {
        let mut depths = vec![0usize; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            let deepest = node.inputs.iter().map(|&input| depths[input]).max().unwrap_or(0);
            depths[at] = match node.layer {
                Layer::Halve | Layer::Convolution { stride: 2, .. } | Layer::Depthwise { stride: 2 } => {
                    deepest + 1
                }
                Layer::Double => deepest.saturating_sub(1),
                _ => deepest,
            };
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// Name and shape of every parameter, in the order of the nodes; running statistics included.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let (name, channels) = (&node.name, node.channels);
            match node.layer {
                Layer::Convolution { kernel, bias, .. } => {
                    let inputs = self.channels(node.inputs[0]);
                    found.push((format!("{name}.weight"), vec![channels, inputs, kernel, kernel]));
                    if bias {
                        found.push((format!("{name}.bias"), vec![channels]));
                    }
                }
                Layer::Depthwise { .. } => found.push((format!("{name}.weight"), vec![channels, 1, 3, 3])),
                Layer::Norm { groups, .. } => {
                    let own: &[&str] = match groups {
                        Groups::Batch => &["weight", "bias", "running_mean", "running_var"],
                        Groups::Image => &["weight", "bias"],
                    };
                    found.extend(own.iter().map(|own| (format!("{name}.{own}"), vec![channels])));
                }
                _ => {}
            }
        }
        found
    }

    /// Weights and biases that training changes.
    #[must_use]
    pub fn trained_values(&self) -> usize {
        let trained = |name: &str| !name.contains(".running_");
        self.parameters()
            .iter()
            .filter(|(name, _)| trained(name))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }
}
