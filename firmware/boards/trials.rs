//! Computes random convolutions and tells a digest of the outputs of every hundred; the argument is how
//! many hundreds.
#![no_std]
#![no_main]

mod mps;
mod uart;

use candor_core::digest::{Chain, short};
use candor_cpu::{CpuKernels, Tier};
use candor_firmware::trials::{self, Memory};

static mut MEMORY: Memory = Memory::new();

#[cortex_m_rt::entry]
#[allow(static_mut_refs, reason = "taken once")]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names the variable.
    let memory = unsafe { &mut MEMORY };
    let tier = Tier::best();
    let Ok(kernels) = CpuKernels::new(tier, 1) else { mps::stop(false) };
    defmt::info!("tier {=str}", tier.name());
    for hundred in 0..u64::from(mps::argument()) {
        let mut chain = Chain::default();
        for number in 100 * hundred..100 * (hundred + 1) {
            chain.add(trials::run(number, &kernels, memory));
        }
        defmt::info!("trials {=u64} {=u64:016x}", hundred, short(chain.finish()));
    }
    defmt::info!("stack {=usize}", mps::stack_bytes());
    mps::stop(true)
}
