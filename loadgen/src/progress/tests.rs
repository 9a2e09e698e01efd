//! Tests of the signals, on processes of their own: this executable, told to run one test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Progress, Stop};

/// Names what the child does; without it the children's test does nothing.
const ROLE: &str = "STOA_LOADGEN_TEST_ROLE";

/// A child that plays `role`, and what it says.
fn child(role: &str) -> (Child, impl Iterator<Item = String>) {
    child_on(role, Stdio::piped())
}

/// The same with a standard error of its own.
fn child_on(role: &str, screen: Stdio) -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "progress::tests::plays_its_role", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .stderr(screen)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(Result::unwrap))
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let stop = Stop::listen().unwrap();
    let progress = Progress::new("measures", 10);
    progress.set(3);
    progress.note("a note");
    println!("\nready");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(stop.wait());
    // Heard in a thread, too, and by whoever listens later.
    assert!(stop.is_set() && Stop::listen().unwrap().is_set());
    println!("told");
    if role == "hangs" {
        // Not for ever: a signal that is not heard fails the test instead of hanging it.
        std::thread::park_timeout(Duration::from_secs(20));
    }
}

#[test]
fn one_signal_lets_a_run_end_by_itself() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut child, mut lines) = child("ends");
        assert!(lines.any(|line| line == "ready"));
        send(&child, signal);
        assert!(lines.any(|line| line == "told"));
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_second_signal_ends_a_run_that_hangs() {
    let (mut child, mut lines) = child("hangs");
    assert!(lines.any(|line| line == "ready"));
    send(&child, Signal::INT);
    assert!(lines.any(|line| line == "told"));
    send(&child, Signal::TERM);
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(130), None));
}

#[test]
fn no_bar_is_drawn_where_there_is_no_terminal() {
    let (mut child, mut lines) = child("ends");
    assert!(lines.any(|line| line == "ready"));
    send(&child, Signal::INT);
    assert!(lines.any(|line| line == "told"));
    assert!(child.wait().unwrap().success());
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(said, "");
}

/// Both ends of a new terminal of 80 columns.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(name).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&theirs, size).unwrap();
    (File::from(ours), theirs)
}

#[test]
fn a_terminal_sees_how_far_a_run_is_and_no_bar_when_it_has_ended() {
    let (mut screen, theirs) = terminal();
    let (mut child, mut lines) = child_on("ends", Stdio::from(theirs));
    assert!(lines.any(|line| line == "ready"));
    send(&child, Signal::INT);
    assert!(lines.any(|line| line == "told"));
    let mut bytes = Vec::new();
    // A terminal whose other end is closed says so with an error.
    let _ = screen.read_to_end(&mut bytes);
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&bytes);
    for text in ["measures", "30%", "left", "a note"] {
        assert!(shown.contains(text), "{text} in {shown:?}");
    }
    // The last thing that happens to the line is that it is cleared.
    let last = shown.rsplit("measures").next().unwrap();
    assert!(last.contains("\u{1b}[2K"), "{last:?}");
}

#[test]
fn each_deaf_one_is_told_by_hand_alone() {
    let (one, other) = (Stop::deaf(), Stop::deaf());
    one.set();
    assert!(one.is_set() && !other.is_set());
}
