//! A schedule of few rows gives the bytes of whole tensors.
