//! The binary `stoa`: reads the flags, then runs the node; or runs a subcommand.

use std::io::Write;

use server::backup::cli;
use server::config::{self, Parsed};
use server::fatal::{self, Exit};
use server::shutdown::Signals;

/// Every request makes and drops small buffers, many of them on another core than they were made
/// on; glibc's allocator took a sixth of the CPU of a put.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long freed memory is kept before the kernel gets it back, ms. What a put needs for a moment
/// is needed again by the next ones: with the allocator's own second, a loaded server gave back and
/// faulted in hundreds of megabytes a second.
const KEEP_FREED_MS: i64 = 10_000;

/// Number of the allocator's option for that, and its value where nobody has set it.
const PURGE_DELAY: (i32, i64) = (15, 1000);

fn keep_freed_memory() {
    // SAFETY: both calls take any number. An allocator with other options has another value there,
    // and so has one that the environment has set.
    unsafe {
        if libmimalloc_sys::mi_option_get(PURGE_DELAY.0) == PURGE_DELAY.1 {
            libmimalloc_sys::mi_option_set(PURGE_DELAY.0, KEEP_FREED_MS);
        }
    }
}

fn main() {
    keep_freed_memory();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|word| word == cli::WORD) {
        match cli::run(&args) {
            Ok(()) => return,
            Err(exit) => fatal::exit(&exit),
        }
    }
    // Before any thread, so that all of them leave the signals to the one that waits for them.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => fatal::exit(&Exit::ExecutorsFailed(error.to_string())),
    };
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
