//! The page asks nobody but its server, and no client can hold the server up or reach it by a foreign name.

use super::board::Board;
use super::server::{Response, Server};
use super::{Eyes, address, page, respond};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers and closes");
    answer
}

fn get(address: SocketAddr, path: &str, host: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn server() -> SocketAddr {
    let any = "127.0.0.1:0".parse().expect("an address");
    let respond = |path: &str| (path == "/").then(|| Response::text("text/plain", "here"));
    Server::start(any, Duration::from_secs(1), respond).expect("a port")
}

#[test]
fn requests_get_what_they_ask_for_or_a_refusal() {
    let address = server();
    for host in ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "[::1]:80", "[::1]"] {
        let answer = get(address, "/?x=1", host);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nhere"),
            "{host}: {answer}"
        );
        assert!(answer.contains("Content-Security-Policy: default-src 'self'\r\n"));
    }
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""] {
        assert!(get(address, "/", host).starts_with("HTTP/1.1 421"), "{host}");
    }
    assert!(get(address, "/other", "127.0.0.1").starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(ask(address, "\x16\x03\x01 rubbish\r\n\r\n").starts_with("HTTP/1.1 400"));
    let long = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}", "x".repeat(9000));
    assert!(ask(address, &long).starts_with("HTTP/1.1 400"));
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out_for_long() {
    let address = server();
    let silent: Vec<TcpStream> = (0..40).filter_map(|_| TcpStream::connect(address).ok()).collect();
    assert!(silent.len() > 20);
    // Their places are free again once their time is over, at the latest.
    std::thread::sleep(Duration::from_secs(5));
    assert!(get(address, "/", "127.0.0.1").ends_with("here"));
}

#[test]
fn the_page_names_no_other_host_and_holds_no_inline_code() {
    let board = Board::default();
    for path in ["/", "/page.js", "/page.css"] {
        let response = page::respond(&board, path).expect("it is part of the page");
        let text = std::str::from_utf8(response.body()).expect("it is text");
        assert!(!text.contains("://") && !text.contains("@import"), "{path} names a place elsewhere");
        if path == "/" {
            assert!(!text.contains("<script>") && !text.contains("style=") && !text.contains("onload"));
        }
    }
    assert!(page::respond(&board, "/overlay.png").is_none(), "there is no frame yet");
    assert!(
        respond(&board, "/metrics", true, false).is_none() && respond(&board, "/", false, true).is_none()
    );
    let metrics = respond(&board, "/metrics", false, true).expect("they are served");
    assert!(metrics.body().starts_with(b"# HELP candor_package_info"));
}

#[test]
fn only_this_machine_is_served_unless_told_otherwise() {
    assert!(address("127.0.0.1:80", false).is_ok() && address("[::1]:80", false).is_ok());
    assert!(address("0.0.0.0:80", false).is_err() && address("192.0.2.1:80", false).is_err());
    assert!(address("0.0.0.0:80", true).is_ok());
    assert!(address("nowhere", true).is_err());
    assert!(Eyes::open(None, None, false).expect("nothing to serve").board.is_none());
}
