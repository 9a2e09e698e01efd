//! How a test says that it cannot run here. Called by every case that needs a tool, a privilege
//! or a file system which this machine may lack.

/// Prints `skipped: why` and lets the caller return; with `CI=true` it fails instead, so that a
/// machine meant to run everything cannot pass by skipping.
///
/// # Panics
/// When `CI` is `true`.
#[allow(clippy::print_stderr)]
pub fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI may not skip: {why}"
    );
    eprintln!("skipped: {why}");
}

/// Reads a whole number from the environment, else gives `default`. Used for rounds and sizes
/// that a long run raises.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// Whether `CI=true`: long rounds are the default there.
#[must_use]
pub fn on_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}
