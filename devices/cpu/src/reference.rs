//! The reference tier: the specification's own loops in the form of a table.

use crate::statistics;
use crate::table::Table;
use candor_core::ops::{
    add, average_pool, convolution, copy_channels, depthwise, group_norm, lookup, max_pool, multiply, remap,
    resize_linear, transposed,
};

/// The loops of this tier; the two statistics run block by block in plain code.
pub(crate) static TABLE: Table = Table {
    convolution: convolution::reference,
    transposed: transposed::reference,
    depthwise: depthwise::reference,
    average_pool: average_pool::reference,
    max_pool: max_pool::reference,
    add: add::reference,
    multiply: multiply::reference,
    lookup: lookup::reference,
    remap: remap::reference,
    resize_linear: resize_linear::reference,
    copy_channels: copy_channels::reference,
    group_norm: group_norm::reference,
    channel_sums: statistics::channel_sums,
    gram: statistics::gram,
    roof: |_| 0,
};
