//! Signals followed in a child process, and notices read from a socket.
#![allow(clippy::unwrap_used)]

use super::{Notice, Signals, send};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The child of the tests below; does nothing in an ordinary run.
#[test]
fn child_that_waits_for_signals() {
    let Some(behaviour) = std::env::var_os("STOA_TEST_SIGNALS") else {
        return;
    };
    let signals = Signals::block().unwrap();
    let leaves = behaviour == "leaves";
    let grace = Duration::from_millis(if behaviour == "hangs" { 20 } else { 600_000 });
    signals
        .listen(grace, move |signal| {
            writeln!(std::io::stdout(), "\nstopping on {}", signal.name()).unwrap();
            if leaves {
                crate::fatal::exit_cleanly();
            }
        })
        .unwrap();
    writeln!(std::io::stdout(), "\nlistening").unwrap();
    loop {
        std::thread::park();
    }
}

fn child(behaviour: &str) -> (Child, impl Iterator<Item = String>) {
    // The test harness has a thread above the test's, which the child's own block comes too late
    // for. What this thread blocks, the child inherits from the start.
    let _blocked = Signals::block().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "shutdown::tests::child_that_waits_for_signals",
            "--nocapture",
        ])
        .env("STOA_TEST_SIGNALS", behaviour)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap());
    assert!(lines.any(|line| line == "listening"));
    (child, lines)
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn one_signal_stops_in_order() {
    let (mut child, mut lines) = child("leaves");
    signal(&child, rustix::process::Signal::TERM);
    assert!(lines.any(|line| line == "stopping on terminated"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    let (mut child, mut lines) = child("lingers");
    signal(&child, rustix::process::Signal::INT);
    assert!(lines.any(|line| line == "stopping on interrupt"));
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(40));
}

#[test]
fn a_stop_that_hangs_is_cut_off() {
    let (mut child, _lines) = child("hangs");
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(41));
}

#[test]
fn the_service_manager_hears_ready_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let path = path.to_str().unwrap().as_bytes();
    let mut text = [0; 32];
    for (notice, expected) in [(Notice::Ready, "READY=1"), (Notice::Stopping, "STOPPING=1")] {
        send(path, notice).unwrap();
        let length = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..length], expected.as_bytes());
    }
    drop(manager);
    std::fs::remove_file(dir.path().join("notify")).unwrap();
    assert!(send(path, Notice::Ready).is_err());
}
