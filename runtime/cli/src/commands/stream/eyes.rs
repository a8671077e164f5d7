//! Eyes on a stream: metrics and a page, served without ever holding it up.

mod board;
mod metrics;
mod page;
mod server;
#[cfg(test)]
mod tests;

use crate::exit::Failure;
use board::{Board, Identity};
use candor::Session;
use candor::stream::{Report, Ring, Sink, Stream};
use candor_core::package::Section;
use server::{PATIENCE, Response, Server};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// What is served where; nothing when nobody asked for it.
pub struct Eyes {
    board: Option<Arc<Board>>,
}

impl Eyes {
    /// Serves a page at `view` and metrics at `metrics`, which may be one address.
    ///
    /// # Errors
    /// A usage failure for an address that other machines can reach without `expose`, exit code 3 for one
    /// that cannot be had.
    pub fn open(view: Option<&str>, metrics: Option<&str>, expose: bool) -> Result<Self, Failure> {
        if view.is_none() && metrics.is_none() {
            return Ok(Self { board: None });
        }
        let board = Arc::new(Board::default());
        let mut addresses: Vec<(SocketAddr, bool, bool)> = Vec::new();
        for (text, is_view) in [(view, true), (metrics, false)] {
            let Some(text) = text else { continue };
            let address = address(text, expose)?;
            match addresses.iter_mut().find(|(own, ..)| *own == address && address.port() != 0) {
                Some(shared) => shared.2 = true,
                None => addresses.push((address, is_view, !is_view)),
            }
        }
        for (address, view, metrics) in addresses {
            let own = Arc::clone(&board);
            let bound = Server::start(address, PATIENCE, move |path| respond(&own, path, view, metrics))
                .map_err(|error| Failure::invalid(format!("{address}: {error}; give another address")))?;
            let what = if view { "page" } else { "metrics" };
            let path = if view { "/" } else { "/metrics" };
            eprintln!("candor: {what} at http://{bound}{path}");
        }
        Ok(Self { board: Some(board) })
    }

    /// Says once what runs.
    ///
    /// # Errors
    /// Never after the session was made.
    pub fn introduce(
        &self,
        session: &Session<'_>,
        digest: &str,
        deadline_us: Option<u64>,
        memory: Option<usize>,
    ) -> Result<(), Failure> {
        let Some(board) = &self.board else { return Ok(()) };
        let view = session.package();
        let name = view.text(Section::Model).map_err(candor::Error::from)?;
        let classes = view.classes().map_err(candor::Error::from)?;
        let threshold = session.profile().map(|profile| profile.threshold);
        board.introduce(Identity {
            name: name.lines().next().unwrap_or_default().into(),
            digest: digest.into(),
            tier: session.tier().name(),
            classes: classes.map(Into::into).collect(),
            threshold,
            deadline_us,
            memory_budget: memory,
        });
        Ok(())
    }

    /// Shows a frame, if anybody looks.
    pub fn show_frame(&self, report: &Report<'_>) {
        if let Some(board) = &self.board {
            board.take_frame(report);
        }
    }

    /// Shows counts and alerts.
    pub fn show<S: Sink>(&self, stream: &mut Stream<'_, S>, ring: &Ring) {
        if let Some(board) = &self.board {
            board.take_counts(stream, ring);
        }
    }
}

fn address(text: &str, expose: bool) -> Result<SocketAddr, Failure> {
    let unknown = || Failure::usage(format!("'{text}' is no address; write 127.0.0.1:8080"));
    let address = text.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(unknown)?;
    if !address.ip().is_loopback() && !expose {
        return Err(Failure::usage(format!(
            "{address} can be reached from other machines and nothing is encrypted; --expose allows it"
        )));
    }
    Ok(address)
}

fn respond(board: &Board, path: &str, view: bool, metrics: bool) -> Option<Response> {
    match path {
        "/metrics" if metrics => Some(Response::text("text/plain; version=0.0.4", metrics::text(board))),
        _ if view => page::respond(board, path),
        _ => None,
    }
}
