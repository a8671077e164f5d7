//! Tests of tensor.
