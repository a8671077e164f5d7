//! Where a supervisor's line is, and the line itself; neither reading nor writing ever waits.

use crate::exit::Failure;
use std::io::{Read, Write};
use std::net::TcpStream;

/// `unix:PATH`, `tcp:ADDR` or `tty:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A socket in the file system.
    Unix(String),
    /// Host and port.
    Tcp(String),
    /// A serial device, at 115200 baud.
    Tty(String),
}

/// An open line.
pub type Line = Box<dyn ReadWrite>;

/// Both directions.
pub trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

impl Place {
    /// Reads a place as `--link` is given it.
    ///
    /// # Errors
    /// Exit code 2.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) if !address.is_empty() => Ok(Self::Tcp(address.into())),
            Some(("tty", path)) if !path.is_empty() => Ok(Self::Tty(path.into())),
            _ => {
                Err(Failure::usage(format!("'{text}' is no link; write unix:PATH, tcp:ADDRESS or tty:PATH")))
            }
        }
    }

    /// Opens the line.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(&self) -> std::io::Result<Line> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Self::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Self::Tty(path) => serial(path),
            #[cfg(not(unix))]
            Self::Unix(_) | Self::Tty(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Why the line could not be opened.
    pub fn failure(&self, error: &std::io::Error) -> Failure {
        let (Self::Unix(place) | Self::Tcp(place) | Self::Tty(place)) = self;
        Failure::invalid(format!("{place}: {error}; is the supervisor connected?"))
    }
}

/// Opens a serial device for raw bytes.
#[cfg(unix)]
fn serial(path: &str) -> std::io::Result<Line> {
    use rustix::fs::{Mode, OFlags};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let mut settings = tcgetattr(&file)?;
    settings.make_raw();
    settings.set_speed(115_200)?;
    tcsetattr(&file, OptionalActions::Flush, &settings)?;
    Ok(Box::new(std::fs::File::from(file)))
}

#[cfg(test)]
mod tests;
