//! The rules of style, each a function from a file to what is wrong with it. Used by `tidy.rs`.

use crate::scan::{self, Line};
use std::fmt;

/// Most lines of a file that is no test.
pub const FILE_LINES_MAX: usize = 500;
/// Most lines of a function that is no test, from `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Most columns of a line.
pub const COLUMNS_MAX: usize = 100;

/// Engine's modules by rank. A module uses only those of lower rank; those of rank 0 use each
/// other, too.
const RANKS: [(&str, u8); 13] = [
    ("limits", 0),
    ("ids", 0),
    ("keys", 0),
    ("error", 0),
    ("event", 0),
    ("env", 0),
    ("format", 1),
    ("wal", 2),
    ("mvcc", 2),
    ("lease", 2),
    ("watch", 2),
    ("group", 3),
    ("shard", 4),
];

/// Words of engine's code that would tie it to a machine or make a run differ from the next.
const AMBIENT: [&str; 9] = [
    "std::fs",
    "std::thread",
    "std::net",
    "Instant::now",
    "SystemTime::now",
    "RandomState",
    "glommio",
    "tokio",
    "flume",
];

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File, relative to the root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Whether a file is test code: exempt from the limits on size.
pub fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// All that is wrong with one Rust file.
pub fn check(path: &str, source: &str) -> Vec<Finding> {
    let lines = scan::lines(source);
    let mut found: Vec<(usize, String)> = Vec::new();
    if !source.starts_with("//!") {
        found.push((
            1,
            "begins without a //! line that tells the file's one job".to_owned(),
        ));
    }
    for (i, line) in source.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            found.push((i + 1, format!("{columns} columns, at most {COLUMNS_MAX}")));
        }
    }
    leftovers(&lines, &mut found);
    unsafe_without_reason(&lines, &mut found);
    if !is_test(path) {
        sizes(source, &lines, &mut found);
        ends_of_process(path, &lines, &mut found);
        if let Some(inner) = path.strip_prefix("engine/src/") {
            ambient(&lines, &mut found);
            upward_imports(inner, &lines, &mut found);
        }
    }
    found.sort();
    let finding = |(line, what)| Finding {
        path: path.to_owned(),
        line,
        what,
    };
    found.into_iter().map(finding).collect()
}

fn sizes(source: &str, lines: &[Line], found: &mut Vec<(usize, String)>) {
    let count = source.lines().count();
    if count > FILE_LINES_MAX {
        found.push((
            FILE_LINES_MAX + 1,
            format!("{count} lines, at most {FILE_LINES_MAX}"),
        ));
    }
    for function in scan::functions(lines) {
        let length = function.last - function.first + 1;
        if length > FUNCTION_LINES_MAX {
            let what = format!(
                "fn {} has {length} lines, at most {FUNCTION_LINES_MAX}",
                function.name
            );
            found.push((function.first, what));
        }
    }
}

fn leftovers(lines: &[Line], found: &mut Vec<(usize, String)>) {
    for (i, line) in lines.iter().enumerate() {
        for (_, word) in scan::words(&line.comment) {
            if matches!(word, "FIXME" | "XXX" | "TODO") {
                found.push((i + 1, format!("leftover {word}")));
            }
        }
        for (at, word) in scan::words(&line.code) {
            let is_macro = line.code[at + word.len()..].starts_with('!');
            if is_macro && matches!(word, "dbg" | "todo" | "unimplemented") {
                found.push((i + 1, format!("leftover {word}!")));
            }
        }
    }
}

/// Every `unsafe` has its reason on the line or in the comment right above its statement.
fn unsafe_without_reason(lines: &[Line], found: &mut Vec<(usize, String)>) {
    const REACH: usize = 4;
    for (i, line) in lines.iter().enumerate() {
        let is_lint = line.code.trim_start().starts_with('#');
        if is_lint || !scan::words(&line.code).any(|(_, word)| word == "unsafe") {
            continue;
        }
        let has_reason =
            |line: &Line| line.comment.contains("SAFETY:") || line.comment.contains("# Safety");
        // Up to a few lines of the same statement, then the comment as far as it goes.
        let mut above = i;
        let mut code_lines = 0;
        let explained = loop {
            if has_reason(&lines[above]) {
                break true;
            }
            let Some(next) = above.checked_sub(1) else {
                break false;
            };
            above = next;
            let is_code = !lines[above].code.trim().is_empty();
            code_lines += usize::from(is_code);
            let is_blank = !is_code && lines[above].comment.is_empty();
            let ends_statement = lines[above].code.trim_end().ends_with(['}', ';']);
            if is_blank || ends_statement || code_lines > REACH {
                break false;
            }
        };
        if !explained {
            found.push((i + 1, "unsafe without a SAFETY comment".to_owned()));
        }
    }
}

fn ends_of_process(path: &str, lines: &[Line], found: &mut Vec<(usize, String)>) {
    if path == "server/src/fatal.rs" {
        return;
    }
    for (i, line) in lines.iter().enumerate() {
        if line.code.contains("process::exit") || line.code.contains("process::abort") {
            found.push((
                i + 1,
                "ends the process outside server/src/fatal.rs".to_owned(),
            ));
        }
    }
}

fn ambient(lines: &[Line], found: &mut Vec<(usize, String)>) {
    for (i, line) in lines.iter().enumerate() {
        let code = &line.code;
        for word in AMBIENT {
            let hit = code.match_indices(word).any(|(at, _)| {
                let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                !is_part(code[..at].chars().next_back())
                    && !is_part(code[at + word.len()..].chars().next())
            });
            if hit {
                found.push((
                    i + 1,
                    format!("{word} in engine, which takes the outside as input"),
                ));
            }
        }
    }
}

fn rank(module: &str) -> Option<u8> {
    RANKS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, rank)| *rank)
}

/// `inner` is the path inside `engine/src`.
fn upward_imports(inner: &str, lines: &[Line], found: &mut Vec<(usize, String)>) {
    let Some(module) = inner.strip_suffix(".rs") else {
        return;
    };
    let mut place: Vec<&str> = module.split('/').collect();
    if place.last() == Some(&"mod") {
        place.pop();
    }
    if place == ["lib"] {
        return;
    }
    let own = place[0];
    let Some(own_rank) = rank(own) else {
        found.push((
            1,
            format!("module {own} has no rank; give it one in engine/src/lib.rs"),
        ));
        return;
    };
    // One text, so that imports over several lines are seen; the line is counted back.
    let code = lines
        .iter()
        .map(|line| line.code.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    for (at, target) in imports(&code, place.len()) {
        let Some(target_rank) = rank(&target) else {
            continue;
        };
        let is_allowed =
            target == own || target_rank < own_rank || own_rank == 0 && target_rank == 0;
        if !is_allowed {
            let line = 1 + code[..at].matches('\n').count();
            let what = format!("{own} (rank {own_rank}) uses {target} (rank {target_rank})");
            found.push((line, what));
        }
    }
}

/// The modules of the crate that paths in `code` name, each with its offset. `depth` is how many
/// `super` lead to the crate's root.
fn imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let root_by_super = "super::".repeat(depth);
    for root in ["crate::", &root_by_super] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            let is_longer = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if is_longer {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                None => found.extend(scan::words(rest).next().map(|(_, w)| (at, w.to_owned()))),
                Some(group) => found.extend(heads(group).into_iter().map(|head| (at, head))),
            }
        }
    }
    found
}

/// The first word of each path in an import group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut wants_head = true;
    let mut at = 0;
    while let Some(c) = group[at..].chars().next() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => wants_head = true,
            c if wants_head && (c.is_alphabetic() || c == '_') => {
                let (_, word) = scan::words(&group[at..]).next().unwrap_or((0, "_"));
                heads.push(word.to_owned());
                wants_head = false;
                at += word.len();
                continue;
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    heads
}

/// Paths of somebody's machine in any text file: what is written must hold everywhere.
pub fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let roots = ["work", "root", "home", "Users"].map(|root| format!("/{root}/"));
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for root in &roots {
            let starts_path = line.match_indices(root.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| c.is_whitespace() || "\"'`=(:[,".contains(c))
            });
            if starts_path {
                let what = format!("names a path of one machine ({root}...)");
                found.push(Finding {
                    path: path.to_owned(),
                    line: i + 1,
                    what,
                });
            }
        }
    }
    found
}

/// Code lines and asserts of a file, comments and blank lines not counted.
pub fn asserts(source: &str) -> (usize, usize) {
    let lines = scan::lines(source);
    let code = lines
        .iter()
        .filter(|line| !line.code.trim().is_empty())
        .count();
    let is_assert = |word: &str| word.starts_with("assert") || word.starts_with("debug_assert");
    let asserts = lines.iter().map(|line| {
        let is_macro = |(at, word): &(usize, &str)| line.code[at + word.len()..].starts_with('!');
        scan::words(&line.code)
            .filter(|word| is_assert(word.1) && is_macro(word))
            .count()
    });
    (code, asserts.sum())
}
