//! Off-device work: ONNX import, quantization, calibration fitting, packing, evaluation, training.
pub mod build;
pub mod calibrate;
pub mod dataset;
pub mod detect;
pub mod evaluate;
pub mod execute;
pub mod losses;
pub mod lower;
pub mod metrics;
pub mod nets;
pub mod network;
pub mod onnx;
pub mod pack;
pub mod quantize;
pub mod reproduce;
pub mod train;
