//! Measures Stoa and etcd side by side and prints medians, ratios and bars. Run it as
//! `cargo run --release -p benches --bin side_by_side -- [--disk plain,throttled,busy]`.
//!
//! It ends with 0 when all was measured or ctrl-C ended it with something measured, whether bars
//! were reached or not; with 1 when something failed, and still reports what was measured before.

use std::path::Path;
use std::process::ExitCode;

use benches::side_by_side::args::Args;
use benches::side_by_side::run::{Early, all};
use benches::side_by_side::{beside, markdown, show};
use clap::Parser;
use loadgen::progress::Stop;
use loadgen::report::{self, Report, Run, begin};

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    begin();
    let args = Args::parse();
    let told = match &args.write_beside {
        Some(path) => write_beside(path),
        None => measure(&args),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("side_by_side: {}", why.trim_end());
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn write_beside(path: &Path) -> Result<(), String> {
    let wrote = beside::write(path).map_err(|e| e.to_string())?;
    println!("{} {}", wrote.bytes, wrote.millis);
    Ok(())
}

fn measure(args: &Args) -> Result<(), String> {
    check_outputs(args)?;
    let plan = args.plan()?;
    let stop = Stop::listen().map_err(|e| format!("cannot hear ctrl-C: {e}"))?;
    let ended = all(&plan, stop);
    if ended.results.is_empty() {
        return Err(match ended.early {
            Some(Early::Failed(why)) => why,
            _ => "ended before anything was measured".to_owned(),
        });
    }
    let report = show::report(&plan, &ended);
    let run = Run::now(args.outputs.with_hostname);
    let page = markdown::page(&plan, &ended, &args.command(), &run);
    publish(args, &report, &run, &page)?;
    match ended.early {
        Some(Early::Failed(why)) => Err(why),
        Some(Early::Stopped) | None => Ok(()),
    }
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

fn check_outputs(args: &Args) -> Result<(), String> {
    let is_given = |path: &Option<_>| path.as_deref().is_some_and(is_standard);
    if is_given(&args.markdown) && is_given(&args.outputs.json) {
        return Err("only one of --json and --markdown can go to standard output".to_owned());
    }
    let checked = args.outputs.check();
    let markdown = args.markdown.as_deref();
    let checked = checked.and_then(|()| markdown.map_or(Ok(()), report::check_file));
    checked.map_err(|e| e.to_string())
}

/// Writes and prints all that is wanted. Each is tried, whatever became of the others.
#[allow(clippy::print_stdout, clippy::print_stderr)]
fn publish(args: &Args, report: &Report, run: &Run, page: &str) -> Result<(), String> {
    let outputs = &args.outputs;
    match args.markdown.as_deref() {
        None => report.publish(outputs).map_err(|e| e.to_string()),
        Some(path) if is_standard(path) => {
            print!("{page}");
            eprint!("{}", report.text(run, false));
            let json = outputs
                .json
                .as_deref()
                .map(|to| write(to, report.json(run)));
            let html = outputs
                .html
                .as_deref()
                .map(|to| write(to, report.html(run)));
            json.unwrap_or(Ok(())).and(html.unwrap_or(Ok(())))
        }
        Some(path) => {
            let written = write(path, Ok(page.to_owned()));
            written.and(report.publish(outputs).map_err(|e| e.to_string()))
        }
    }
}

fn write(path: &Path, text: std::io::Result<String>) -> Result<(), String> {
    let written = text.and_then(|text| std::fs::write(path, text));
    written.map_err(|e| format!("cannot write {}: {e}", path.display()))
}
