//! The supervisor on a board: the line to the box on UART0, logs on UART1, the interlock on the board's LEDs.
//!
//! `CANDOR_SUPERVISOR` names a Rust file with the package, the golden tiles and how late a frame may be, as
//! `cargo firmware` writes it. A panic cannot happen: the handler calls what does not exist, so that a
//! binary which could reach it does not link.
#![no_std]
#![no_main]

mod peripherals;
mod uart;

use candor_firmware::black_box::BlackBox;
use candor_firmware::ports::{Clock, Ports};
use candor_firmware::supervisor::{Cause, Settings, Supervisor, Tile};
use core::mem::MaybeUninit;
use peripherals::{Dog, Line, NoSensor, Relay, SysTick};

/// What the box must be running.
mod box_contract {
    use super::Tile;
    include!(env!("CANDOR_SUPERVISOR"));
}

/// Outlives a reset.
// SAFETY: nothing but this variable lies in the section, and any bytes are one.
#[unsafe(link_section = ".uninit.black_box")]
static mut BLACK_BOX: MaybeUninit<[u32; candor_firmware::black_box::WORDS]> = MaybeUninit::uninit();
static mut SUPERVISOR: Option<Supervisor> = None;

#[cortex_m_rt::entry]
#[allow(static_mut_refs, reason = "taken once")]
fn main() -> ! {
    // SAFETY: this function runs once, nothing else names the variable, a black box is its words, and any
    // words are one.
    let black_box = unsafe { &mut *BLACK_BOX.as_mut_ptr().cast::<BlackBox>() };
    let went_on = black_box.open();
    // Memory that kept its record was not without power: it was the watchdog.
    let cause = if went_on { Cause::WatchdogReset } else { Cause::PowerOn };
    let settings = Settings {
        stale_us: box_contract::STALE_US,
        ..Settings::usual(box_contract::PACKAGE, &box_contract::TILES)
    };
    // SAFETY: as above.
    let supervisor = unsafe { SUPERVISOR.insert(Supervisor::new(settings, cause, black_box.stops())) };
    defmt::info!("start {=u32} cause {=u8} stops {=u32}", black_box.resets(), cause as u8, black_box.stops());
    let mut clock = SysTick::start();
    let mut ports = Ports { link: Line::start(), sensor: NoSensor, watchdog: Dog::start(), interlock: Relay };
    loop {
        let now_us = clock.now_us();
        supervisor.poll(now_us, &mut ports, black_box);
        if box_contract::HANG_AT_US.is_some_and(|at| now_us >= at) {
            defmt::info!("hanging");
            loop {
                cortex_m::asm::nop();
            }
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn a_panic_can_be_reached() -> !;
    }
    a_panic_can_be_reached()
}
