//! Places as they are written, and a pair of pseudo-terminals.

use super::*;

#[test]
fn places_are_told_apart_and_others_are_refused() {
    let place = |text: &str| Place::parse(text).ok();
    assert_eq!(place("unix:a/b:c"), Some(Place::Unix("a/b:c".into())));
    assert_eq!(place("tcp:[::1]:7000"), Some(Place::Tcp("[::1]:7000".into())));
    assert_eq!(place("tty:ttyS0"), Some(Place::Tty("ttyS0".into())));
    for wrong in ["", "unix:", "udp:1.2.3.4:5", "/dev/ttyS0", "tcp"] {
        assert_eq!(place(wrong), None, "{wrong}");
    }
}

#[test]
fn a_line_that_says_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut line = Place::Unix(path.to_str().unwrap().into()).open().unwrap();
    assert_eq!(line.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    line.write_all(&[0, 1, 2]).unwrap();
    assert!(Place::Unix(folder.path().join("none").to_str().unwrap().into()).open().is_err());
}
