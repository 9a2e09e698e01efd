//! A terminal that belongs to nobody, to see what a program shows on one.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};

/// Both ends of a new terminal of 120 columns.
fn open() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let mut size = libc::winsize {
        ws_row: 24,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: both places are written to, name and settings may be null, and `size` is whole.
    let made = unsafe {
        libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut size,
        )
    };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call above made both, and nobody else has them.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// Runs a program whose standard error is a terminal; how it ended, and what that showed.
pub fn shown(mut command: Command) -> (ExitStatus, String) {
    let (mut screen, theirs) = open();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::from(theirs))
        .spawn()
        .unwrap();
    // Our copy of the program's end goes, so that the screen ends with the program.
    drop(command);
    let mut bytes = Vec::new();
    // A terminal whose other end is closed says so with an error.
    let _ = screen.read_to_end(&mut bytes);
    let status = child.wait().unwrap();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}
