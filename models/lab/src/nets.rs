//! Networks to train, in Candle, and what they are made of.

pub mod ops;
