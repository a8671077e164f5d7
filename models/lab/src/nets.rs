//! Networks to train, in Candle, and what they are made of.

mod classifier;
mod export;
mod graph;
mod mobile;
mod model;
pub mod ops;
mod quantized;
mod unet;

pub use classifier::{ClassifierShape, EMBEDDING, classifier};
pub use export::export;
pub use graph::{Graph, Layer, Node, Norm};
pub use mobile::{MobileShape, mobile_unet};
pub use model::Model;
pub use quantized::Ranges;
pub use unet::{UnetShape, multi_task_unet, unet, wnet};

#[cfg(test)]
mod tests;
