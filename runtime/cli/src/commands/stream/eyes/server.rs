//! A small HTTP/1.1 server for one machine's own eyes: GET alone, a few threads, bounded in every respect.
//!
//! Every connection carries one request, has a deadline, and is one of a fixed number; further ones are
//! refused. Requests whose `Host` is a name rather than an address are refused too, so that no page of
//! another site can read along by pointing a name of its own here (DNS rebinding).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections that are answered at a time.
const WORKERS: usize = 3;
/// Connections that can wait.
const WAITING: usize = 8;
/// Most bytes of a request.
const REQUEST_BYTES_MAX: usize = 8192;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Longest that a connection may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Reads of what a client still sends after it was answered, so that closing does not cut the answer off.
const FAREWELL_READS: usize = 64;

/// What goes back.
pub struct Response {
    kind: &'static str,
    body: Vec<u8>,
}

impl Response {
    /// Text of a media type.
    pub fn text(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, body: text.into().into_bytes() }
    }

    /// A PNG picture.
    pub const fn png(body: Vec<u8>) -> Self {
        Self { kind: "image/png", body }
    }

    /// The body.
    #[cfg(test)]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The server; its threads end with the process.
pub struct Server;

impl Server {
    /// Listens on `address` and answers paths by `respond`, `None` being not found; no connection takes
    /// longer than `patience`. Returns the address that it got.
    ///
    /// # Errors
    /// Those of the network.
    pub fn start(
        address: SocketAddr,
        patience: Duration,
        respond: impl Fn(&str) -> Option<Response> + Send + Sync + 'static,
    ) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address)?;
        let bound = listener.local_addr()?;
        let (sender, receiver) = sync_channel::<TcpStream>(WAITING);
        let (receiver, respond) = (Arc::new(Mutex::new(receiver)), Arc::new(respond));
        for _ in 0..WORKERS {
            let (receiver, respond) = (Arc::clone(&receiver), Arc::clone(&respond));
            std::thread::Builder::new().name("eyes".into()).spawn(move || {
                while let Some(stream) = next(&receiver) {
                    // A client that goes away or dawdles is its own affair.
                    let _ = serve(stream, patience, &*respond);
                }
            })?;
        }
        let accept = move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => {
                        if let Err(TrySendError::Full(stream)) = sender.try_send(stream) {
                            drop(stream);
                        }
                    }
                    // Out of descriptors, say: connections close by themselves.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        std::thread::Builder::new().name("eyes".into()).spawn(accept)?;
        Ok(bound)
    }
}

fn next(receiver: &Mutex<Receiver<TcpStream>>) -> Option<TcpStream> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn serve(
    mut stream: TcpStream,
    patience: Duration,
    respond: &dyn Fn(&str) -> Option<Response>,
) -> io::Result<()> {
    let end = Instant::now() + patience;
    let mut request = Vec::new();
    let (status, response) = match read(&mut stream, &mut request, end)? {
        Some(Request { path, is_get: true, is_local: true }) => match respond(&path) {
            Some(response) => ("200 OK", response),
            None => ("404 Not Found", Response::text("text/plain", "not found\n")),
        },
        Some(Request { is_local: false, .. }) => {
            ("421 Misdirected Request", Response::text("text/plain", "ask by address, not by name\n"))
        }
        Some(_) => ("405 Method Not Allowed", Response::text("text/plain", "GET alone\n")),
        None => ("400 Bad Request", Response::text("text/plain", "not understood\n")),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nContent-Security-Policy: default-src 'self'\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nX-Frame-Options: DENY\r\n\r\n",
        response.kind,
        response.body.len()
    );
    write(&mut stream, head.as_bytes(), end)?;
    write(&mut stream, &response.body, end)?;
    stream.shutdown(Shutdown::Write)?;
    let mut rest = [0; 1024];
    for _ in 0..FAREWELL_READS {
        stream.set_read_timeout(Some(left(end)?))?;
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

/// What a request asks for.
struct Request {
    path: String,
    is_get: bool,
    /// Whether it was addressed by a number or as localhost.
    is_local: bool,
}

/// Reads a request's head; `None` when it cannot be understood.
fn read(stream: &mut TcpStream, request: &mut Vec<u8>, end: Instant) -> io::Result<Option<Request>> {
    let mut part = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(end)?))?;
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(None);
        }
        request.extend_from_slice(&part[..count]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(request) {
            Ok(httparse::Status::Complete(_)) => return Ok(Some(understand(&parsed))),
            Ok(httparse::Status::Partial) if request.len() < REQUEST_BYTES_MAX => {}
            _ => return Ok(None),
        }
    }
}

fn understand(parsed: &httparse::Request<'_, '_>) -> Request {
    let path = parsed.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path).to_owned();
    let host = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    let host = host.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default();
    Request { path, is_get: parsed.method == Some("GET"), is_local: is_address(host) }
}

/// Whether a `Host` is a number, with a port or without, or localhost.
fn is_address(host: &str) -> bool {
    let name = host.strip_suffix(|c: char| c.is_ascii_digit()).map_or(host, |_| {
        host.rsplit_once(':')
            .filter(|(name, _)| !name.contains(':') || name.ends_with(']'))
            .map_or(host, |(n, _)| n)
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok()
}

fn write(stream: &mut TcpStream, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        match stream.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    stream.flush()
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
