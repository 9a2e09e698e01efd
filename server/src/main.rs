//! The binary `stoa`: reads the flags, then runs the node.

use std::io::Write;

use server::config::{self, Parsed};
use server::fatal::{self, Exit};
use server::shutdown::Signals;

/// Every request makes and drops small buffers, many of them on another core than they were made
/// on; glibc's allocator took a sixth of the CPU of a put.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Before any thread, so that all of them leave the signals to the one that waits for them.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => fatal::exit(&Exit::ExecutorsFailed(error.to_string())),
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = match config::parse(&args, std::env::vars()) {
        Ok(Parsed::Run(config)) => *config,
        Ok(Parsed::Print(page)) => {
            // A closed pipe is the reader's business.
            let _ = std::io::stdout().write_all(page.as_bytes());
            return;
        }
        Err(error) => fatal::exit(&error.into()),
    };
    if let Err(error) = server::log::install(&config.log) {
        fatal::exit(&Exit::BadConfig(error));
    }
    fatal::exit(&server::node::run(config, signals))
}
