//! `stoa snapshot`: the subcommands, with the names and flags of etcdutl.

use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{restore, status};
use crate::fatal::Exit;

/// The word that the command line of the subcommands begins with.
pub const WORD: &str = "snapshot";

#[derive(Debug, Parser)]
#[command(
    name = "stoa snapshot",
    bin_name = "stoa snapshot",
    about = "Reads snapshots of etcd and Stoa"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says what is in a snapshot file.
    Status {
        /// The file.
        file: PathBuf,
        /// Form of the answer.
        #[arg(short, long, value_enum, default_value = "simple")]
        write_out: Form,
    },
    /// Makes a data directory out of a snapshot file.
    Restore(Box<RestoreArgs>),
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Separated by commas.
    Simple,
    /// One JSON object.
    Json,
    /// For people.
    Table,
}

/// What `stoa snapshot restore` is told.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The file.
    pub file: PathBuf,
    /// The directory to make; it must not exist or be empty [default: NAME.stoa]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Directory of the write-ahead log, where it should not lie in the data directory.
    #[arg(long)]
    pub wal_dir: Option<PathBuf>,
    /// Name of this member.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Members of the new cluster, as NAME=URL [default: this member alone]
    #[arg(long)]
    pub initial_cluster: Option<String>,
    /// Token that goes into the ids of the new cluster.
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// Peer URLs that the other members are told.
    #[arg(long, default_value = "http://localhost:2380")]
    pub initial_advertise_peer_urls: String,
    /// Do not check the hash of the file: for a database that was copied.
    #[arg(long)]
    pub skip_hash_check: bool,
    /// How much to raise the revision, so that no client finds it lower than it was.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=1 << 60))]
    pub bump_revision: i64,
    /// Take all revisions up to the raised one for compacted, so that watchers start anew.
    #[arg(long)]
    pub mark_compacted: bool,
    /// Shards of the new data directory, 1 to 1024 [default: the CPUs this process may use]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
}

/// Runs the subcommand in `args`, which begin with [`WORD`].
///
/// # Errors
/// What was asked for cannot be understood, or cannot be done.
pub fn run(args: &[String]) -> Result<(), Exit> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            say(&error.to_string());
            return Ok(());
        }
        Err(error) => return Err(Exit::BadConfig(one_line(&error))),
    };
    let text = match cli.command {
        Command::Status { file, write_out } => status::run(&file, write_out)?,
        Command::Restore(args) => restore::run(&args)?,
    };
    say(&text);
    Ok(())
}

/// clap's error without its page of hints.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let mut text = lines.collect::<Vec<_>>().join(" ");
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        text = "name what to do: `status` or `restore`".to_owned();
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    format!("{text}; `stoa snapshot --help` tells more")
}

/// To standard output; a closed pipe is the reader's business.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
