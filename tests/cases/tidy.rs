//! Style held by a test: walks the tree and fails on what the rules forbid. There is no list of
//! exceptions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/scan.rs"]
mod scan;

use rules::{Finding, check, machine_paths};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every file below the root that is not a product of building or running.
fn files() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut directories = vec![root()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if matches!(name.as_str(), "target" | ".git") || name.ends_with(".stoa") {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else {
                let path = entry.path();
                let relative = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((relative, path));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "the tree was not found");
    found
}

fn rust_files() -> Vec<(String, String)> {
    let is_rust = |name: &str| Path::new(name).extension().is_some_and(|e| e == "rs");
    let rust = files().into_iter().filter(|(name, _)| is_rust(name));
    rust.map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

fn report(findings: Vec<Finding>) {
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} places to tidy:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn the_rust_files_are_tidy() {
    report(
        rust_files()
            .iter()
            .flat_map(|(name, source)| check(name, source))
            .collect(),
    );
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let readable = files().into_iter().filter_map(|(name, path)| {
        let text = std::fs::read(path)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())?;
        Some((name, text))
    });
    report(
        readable
            .flat_map(|(name, text)| machine_paths(&name, &text))
            .collect(),
    );
}

#[test]
fn engine_depends_on_no_runtime() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree", "--locked", "-p", "engine", "-e", "normal", "--prefix", "none",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.starts_with("engine "), "{text}");
    assert_eq!(runtimes(&text), Vec::<&str>::new());
}

/// The runtimes in a list of packages, one `name version` a line.
fn runtimes(tree: &str) -> Vec<&str> {
    const RUNTIMES: [&str; 8] = [
        "glommio",
        "tokio",
        "io-uring",
        "flume",
        "mio",
        "async-std",
        "smol",
        "compio",
    ];
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| RUNTIMES.contains(name)).collect()
}

/// A figure to look at, not a bar: the aim is 15 asserts in 1,000 lines of engine's code.
#[test]
#[allow(clippy::print_stdout)]
fn asserts_in_engine_are_counted() {
    let engine = |name: &str| name.starts_with("engine/src/") && !rules::is_test(name);
    let counts: Vec<_> = rust_files()
        .iter()
        .filter(|(name, _)| engine(name))
        .map(|(_, source)| rules::asserts(source))
        .collect();
    let code: usize = counts.iter().map(|(code, _)| code).sum();
    let asserts: usize = counts.iter().map(|(_, asserts)| asserts).sum();
    assert!(code > 0);
    println!(
        "engine: {asserts} asserts in {code} lines, {} in 1,000",
        asserts * 1000 / code
    );
}

// Each rule is shown to find what it is for, and to let pass what looks like it.

fn whats(path: &str, source: &str) -> Vec<String> {
    check(path, source)
        .into_iter()
        .map(|f| format!("{}: {}", f.line, f.what))
        .collect()
}

#[test]
fn a_file_needs_a_first_line_that_tells_its_job() {
    assert!(whats("server/src/a.rs", "fn a() {}\n")[0].contains("//!"));
    assert!(whats("server/src/a.rs", "//! A.\nfn a() {}\n").is_empty());
}

#[test]
fn long_files_functions_and_lines_are_found() {
    let file = format!("//! A.\n{}", "const A: u8 = 1;\n".repeat(500));
    assert_eq!(
        whats("server/src/a.rs", &file),
        ["501: 501 lines, at most 500"]
    );
    assert!(whats("server/src/a/tests.rs", &file).is_empty());

    let body = |lines: usize| format!("//! A.\nfn f() {{\n{}}}\n", "    a();\n".repeat(lines));
    assert_eq!(
        whats("server/src/a.rs", &body(69)),
        ["2: fn f has 71 lines, at most 70"]
    );
    assert!(whats("server/src/a.rs", &body(68)).is_empty());

    let line = |n: usize| format!("//! {}\n", "é".repeat(n));
    assert_eq!(
        whats("server/src/a.rs", &line(97)),
        ["1: 101 columns, at most 100"]
    );
    assert!(whats("server/src/a.rs", &line(96)).is_empty());
}

#[test]
fn braces_in_literals_and_comments_do_not_count() {
    let source = [
        "//! A.",
        "fn f<'a>(x: &'a str) -> [u8; 2] {",
        "    let _ = ('{', '\\'', b'{', r#\"{\"\"#);",
        "    // {",
        "    /* { /* { */ } */",
        "    \"{ \\\" {\";",
        "}",
        "fn g() {}",
    ]
    .join("\n");
    let functions = scan::functions(&scan::lines(&source));
    let spans: Vec<_> = functions
        .iter()
        .map(|f| (f.name.as_str(), f.first, f.last))
        .collect();
    assert_eq!(spans, [("f", 2, 7), ("g", 8, 8)]);
}

#[test]
fn functions_without_a_body_and_pointers_are_no_functions() {
    let source = "trait T {\n    fn a(&self, x: [u8; 3]);\n    fn b(f: fn(u8) -> u8) {\n    }\n}\n";
    let functions = scan::functions(&scan::lines(source));
    assert_eq!(functions.len(), 1);
    assert_eq!((functions[0].name.as_str(), functions[0].last), ("b", 4));
}

#[test]
fn leftovers_are_found_in_comments_and_code_but_not_in_text() {
    let source = "//! A.\n// FIXME later\nfn f() {\n    dbg!(1); todo!()\n}\n/* XXX */\n";
    let expected = [
        "2: leftover FIXME",
        "4: leftover dbg!",
        "4: leftover todo!",
        "6: leftover XXX",
    ];
    assert_eq!(whats("server/src/a.rs", source), expected);
    let innocent = "//! A.\nconst T: &str = \"FIXME todo!\";\nfn todo() {}\n";
    assert!(whats("server/src/a.rs", innocent).is_empty());
}

#[test]
fn unsafe_needs_its_reason_right_above() {
    let bare = "//! A.\nfn f() {\n    // It is fine.\n    unsafe { g() }\n}\n";
    assert_eq!(
        whats("server/src/a.rs", bare),
        ["4: unsafe without a SAFETY comment"]
    );
    let far = "//! A.\nfn f() {\n    // SAFETY: fine.\n    a();\n    unsafe { g() }\n}\n";
    assert_eq!(whats("server/src/a.rs", far).len(), 1);
    for good in [
        "//! A.\nfn f() {\n    // SAFETY: fine,\n    // really.\n    unsafe { g() }\n}\n",
        "//! A.\nfn f() {\n    // SAFETY: fine.\n    let a =\n        unsafe { g() };\n}\n",
        "//! A.\n/// # Safety\n/// Call me right.\n#[inline]\npub unsafe fn g() {}\n",
        "//! A.\n#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]\nconst A: &str = \"unsafe\";\n",
    ] {
        assert!(whats("server/src/a.rs", good).is_empty(), "{good}");
    }
}

#[test]
fn the_process_ends_in_one_file_only() {
    let source = "//! A.\nfn f() {\n    std::process::exit(1)\n}\n";
    assert_eq!(whats("server/src/main.rs", source).len(), 1);
    assert!(whats("server/src/fatal.rs", source).is_empty());
}

#[test]
fn engine_imports_downward_only() {
    let upward = |path: &str, source: &str| whats(path, &format!("//! A.\n{source}\n"));
    for (path, source, what) in [
        (
            "engine/src/wal/writer.rs",
            "use crate::shard::Core;",
            "wal (rank 2) uses shard (rank 4)",
        ),
        (
            "engine/src/wal/mod.rs",
            "use crate::mvcc::X;",
            "wal (rank 2) uses mvcc (rank 2)",
        ),
        (
            "engine/src/format/page.rs",
            "use crate::{ids::A,\n    wal::{B, C}};",
            "format (rank 1) uses wal (rank 2)",
        ),
        (
            "engine/src/wal/writer.rs",
            "use super::super::group::X;",
            "wal (rank 2) uses group (rank 3)",
        ),
        (
            "engine/src/ids.rs",
            "fn f(x: crate::format::X) {}",
            "ids (rank 0) uses format (rank 1)",
        ),
        ("engine/src/novel.rs", "", "module novel has no rank"),
    ] {
        let found = upward(path, source);
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{path} {source}: {found:?}"
        );
    }
    for (path, source) in [
        (
            "engine/src/shard/core.rs",
            "use crate::{group::A, wal::B, mvcc::C, ids::D};",
        ),
        (
            "engine/src/wal/writer.rs",
            "use crate::wal::Batch;\nuse super::reader::R;",
        ),
        ("engine/src/ids.rs", "use crate::limits::X;"),
        ("engine/src/lib.rs", "pub mod shard;"),
        ("engine/src/wal/tests.rs", "use crate::shard::X;"),
        ("engine/src/wal/mod.rs", "// use crate::shard::X;"),
        ("engine/src/wal/mod.rs", "use other_crate::shard::X;"),
    ] {
        assert_eq!(
            upward(path, source),
            Vec::<String>::new(),
            "{path} {source}"
        );
    }
}

#[test]
fn engine_has_no_ambient_inputs() {
    let source = "//! A.\nfn f() {\n    let t = Instant::now();\n    std::fs::read(\"a\");\n}\n";
    assert_eq!(whats("engine/src/wal/a.rs", source).len(), 2);
    assert!(whats("server/src/a.rs", source).is_empty());
    assert!(whats("engine/src/wal/a.rs", "//! A.\nfn tokio_like() {}\n").is_empty());
}

#[test]
fn paths_of_a_machine_and_runtimes_are_found() {
    let root = "root";
    assert_eq!(
        machine_paths("a.md", &format!("see `/{root}/x`\n")).len(),
        1
    );
    assert!(machine_paths("a.md", &format!("https://x.org/{root}/y and $HOME/work/\n")).is_empty());
    assert_eq!(
        runtimes("engine v0.1.0\nbytes v1.0.0\ntokio v1.0.0 (*)\n"),
        ["tokio"]
    );
}

#[test]
fn asserts_are_counted_by_the_line_of_code() {
    let source = "//! A.\n\nfn f() {\n    assert!(a); // why\n    debug_assert_eq!(a, b);\n}\n";
    assert_eq!(rules::asserts(source), (4, 2));
}
