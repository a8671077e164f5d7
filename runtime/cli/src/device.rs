//! Which device runs the model, by the name that `--device` gives.

use candor::{Error, ErrorKind, Package, Session, SessionOptions};

/// A session on the device called `device`; no other is ever used in its place.
///
/// # Errors
/// [`ErrorKind::Device`] for a device that this build or this machine does not have, and those of
/// [`Session::new`].
pub fn open<'p>(package: &'p Package, options: &SessionOptions, device: &str) -> Result<Session<'p>, Error> {
    if device == "cpu" { Session::new(package, options) } else { remote(package, options, device) }
}

#[cfg(feature = "candle")]
fn remote<'p>(package: &'p Package, options: &SessionOptions, device: &str) -> Result<Session<'p>, Error> {
    let Some(target) = candor_gpu::Target::from_name(device) else {
        let what = format!("no device is called '{device}'; there are cpu, candle-cpu, cuda and metal");
        return Err(Error::new(ErrorKind::Device, what));
    };
    candor_gpu::open(package, options, target)
}

#[cfg(not(feature = "candle"))]
fn remote<'p>(_: &'p Package, _: &SessionOptions, device: &str) -> Result<Session<'p>, Error> {
    let what = format!(
        "device '{device}' is not in this build; use --device cpu, or build with the feature candle, cuda or \
         metal"
    );
    Err(Error::new(ErrorKind::Device, what))
}
