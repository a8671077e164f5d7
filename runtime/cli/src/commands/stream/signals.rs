//! Signals as flags: SIGINT and SIGTERM end a stream, SIGUSR1 acknowledges its alerts.

use crate::exit::Failure;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What signals ask for.
pub struct Signals {
    /// End the stream; a second signal of that kind ends the process at once.
    pub stop: Arc<AtomicBool>,
    /// Somebody has seen the alerts.
    pub acknowledge: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// Exit code 3 when the system does not allow it.
    pub fn catch() -> Result<Self, Failure> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;
        let refused = |error: std::io::Error| Failure::invalid(format!("signals cannot be caught: {error}"));
        let signals = Self { stop: Arc::default(), acknowledge: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&signals.stop)).map_err(refused)?;
            flag::register(signal, Arc::clone(&signals.stop)).map_err(refused)?;
        }
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGUSR1, SIGXFSZ};
            flag::register(SIGUSR1, Arc::clone(&signals.acknowledge)).map_err(refused)?;
            // A file that outgrows its limit is then a refused write, told as a gap, rather than the end.
            flag::register(SIGXFSZ, Arc::default()).map_err(refused)?;
        }
        Ok(signals)
    }
}
