//! The report as one HTML file that needs nothing beside it: no script, no font, no picture from
//! elsewhere, and a policy in its head that lets a browser load none. Called by `publish`.

use askama::Template;

use super::plot::{self, Figure};
use super::{Part, Report, Run, Table, Tone, number};

/// What `templates/report.html` shows; it escapes every text.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    command: &'static str,
    title: String,
    began: String,
    when: String,
    took: String,
    verdict: Option<Verdict>,
    warnings: Vec<String>,
    facts: Vec<(String, String)>,
    blocks: Vec<Block>,
    machine: Vec<(&'static str, String)>,
    arguments: String,
    program: String,
}

struct Verdict {
    class: &'static str,
    word: &'static str,
    text: String,
}

/// A part, ready to be shown.
enum Block {
    Heading(String),
    Text(String),
    Warning(String),
    Table(Sheet),
    Figure(Figure),
}

struct Sheet {
    title: String,
    head: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

struct Cell {
    text: String,
    right: bool,
}

/// The whole file.
///
/// # Errors
/// When the template cannot be written out, which no content makes happen.
pub(super) fn page(report: &Report, run: &Run) -> Result<String, askama::Error> {
    let verdict = report.verdict.as_ref().map(|(tone, text)| Verdict {
        class: tone.name(),
        word: match tone {
            Tone::Good => "Good:",
            Tone::Fair => "With a caveat:",
            Tone::Bad => "Bad:",
        },
        text: text.clone(),
    });
    let began = run.began_text();
    let page = Page {
        command: report.command,
        title: report.title.clone(),
        when: began.replace('T', " ").replace('Z', " UTC"),
        began,
        took: format!("took {} s", number::plain(run.seconds)),
        verdict,
        warnings: early_warnings(&report.parts),
        facts: report.facts.clone(),
        blocks: blocks(&report.parts),
        machine: run.machine.facts(),
        arguments: run.arguments.join(" "),
        program: format!("stoa-loadgen {}", super::PROGRAM_VERSION),
    };
    page.render()
}

/// Warnings before the first heading belong to the whole run and stand with the verdict.
fn early_warnings(parts: &[Part]) -> Vec<String> {
    let first = parts
        .iter()
        .take_while(|part| !matches!(part, Part::Heading(_)));
    let warning = |part: &Part| match part {
        Part::Warning(text) => Some(text.clone()),
        _ => None,
    };
    first.filter_map(warning).collect()
}

fn blocks(parts: &[Part]) -> Vec<Block> {
    let mut is_early = true;
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        is_early &= !matches!(part, Part::Heading(_));
        blocks.push(match part {
            Part::Heading(text) => Block::Heading(text.clone()),
            Part::Text(text) => Block::Text(text.clone()),
            Part::Warning(_) if is_early => continue,
            Part::Warning(text) => Block::Warning(text.clone()),
            Part::Table(table) => Block::Table(sheet(table)),
            Part::Plot(plot) => Block::Figure(plot::figure(plot)),
        });
    }
    blocks
}

fn sheet(table: &Table) -> Sheet {
    let right = table.right_columns();
    let cells = |row: &[String]| {
        let cell = |(i, &right): (usize, &bool)| Cell {
            text: row.get(i).cloned().unwrap_or_default(),
            right,
        };
        right.iter().enumerate().map(cell).collect::<Vec<_>>()
    };
    Sheet {
        title: table.title.clone(),
        head: cells(&table.columns),
        rows: table.rows.iter().map(|row| cells(row)).collect(),
    }
}
