//! Plans on Candle's devices, and the kernels of its GPUs, give the bytes of the reference.

mod agree;
mod budget;
#[path = "../schedules/draft.rs"]
mod draft;
mod host;
mod kernels;
mod layers;
mod lost;
mod moments;
#[path = "../schedules/networks.rs"]
mod networks;
#[path = "../schedules/oracle.rs"]
mod oracle;
mod sessions;
mod taps;
mod targets;
