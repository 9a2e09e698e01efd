//! The tables as they go into docs/performance.md, with the command, the machine and the date.

use loadgen::machine::Machine;
use loadgen::report::{Part, Run, Table, number};

use super::run::{Ended, Plan};
use super::show;

/// Columns of running text, as in the documents.
const COLUMNS: usize = 100;

/// All of it, from the heading of the section on; `command` made it.
#[must_use]
pub fn page(plan: &Plan, ended: &Ended, command: &str, run: &Run) -> String {
    let mut out = format!("## Side by side with etcd\n\n    {command}\n\n");
    let date = run.began_text();
    let date = date.split('T').next().unwrap_or_default();
    let shards = show::shards(plan).map(|shards| format!(" with {shards} shards"));
    let [a, b] = show::names(plan);
    let intro = format!(
        "{date}, {}; {}; {a}{} against {b}, default flags. Medians of {} rounds with the lowest \
         and the highest; a ratio is formed within each round. The load generator shares the CPUs.",
        machine(&run.machine),
        show::disk(plan),
        shards.unwrap_or_default(),
        plan.settings.rounds
    );
    paragraph(&mut out, &intro);
    for warning in show::warnings(ended) {
        paragraph(&mut out, &format!("**{}**", escaped(&warning)));
    }
    for part in show::tables(plan, ended) {
        match part {
            Part::Heading(text) => out += &format!("### {text}\n\n"),
            Part::Text(text) => paragraph(&mut out, &text),
            Part::Table(table) => rows(&mut out, &table),
            Part::Warning(_) | Part::Plot(_) => {}
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn machine(machine: &Machine) -> String {
    let kind = match machine.is_virtual {
        Some(true) => "a virtual machine",
        Some(false) | None => "a machine",
    };
    let mut text = format!("{kind} with {} CPUs", machine.cpus);
    if let Some(model) = &machine.cpu_model {
        text += &format!(" ({model})");
    }
    if let Some(bytes) = machine.memory_bytes {
        text += &format!(" and {} of memory", number::bytes(bytes));
    }
    let kernel = machine.kernel.split('-').next().unwrap_or_default();
    text + &format!(", kernel {kernel}")
}

fn paragraph(out: &mut String, text: &str) {
    let mut columns = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if columns > 0 && columns + 1 + width > COLUMNS {
            out.push('\n');
            columns = 0;
        } else if columns > 0 {
            out.push(' ');
            columns += 1;
        }
        out.push_str(word);
        columns += width;
    }
    out.push_str("\n\n");
}

/// A cell that repeats the first of the row above is left empty, as a reader would.
fn rows(out: &mut String, table: &Table) {
    out.push_str(&line(&table.columns));
    out.push_str(&format!("|{}\n", "---|".repeat(table.columns.len())));
    let mut above: Option<&String> = None;
    for row in &table.rows {
        let mut cells = row.clone();
        if above.is_some() && above == row.first() {
            cells[0].clear();
        }
        above = row.first();
        out.push_str(&line(&cells));
    }
    out.push('\n');
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
    let line = format!("| {} |\n", cells.join(" | "));
    line.replace("|  |", "| |")
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_cell_for_each_column_whatever_is_in_it() {
        let cells = |row: [&str; 3]| row.map(str::to_owned).to_vec();
        let table = Table {
            title: String::new(),
            columns: cells(["load", "figure", "ratio"]),
            rows: vec![
                cells(["put-1", "p50", "0.7 (0.6–0.8)"]),
                cells(["put-1", "p99", "–"]),
                cells(["a|b", "p99", "1"]),
            ],
        };
        let mut out = String::new();
        rows(&mut out, &table);
        let expected = "| load | figure | ratio |\n|---|---|---|\n\
                        | put-1 | p50 | 0.7 (0.6–0.8) |\n| | p99 | – |\n| a\\|b | p99 | 1 |\n\n";
        assert_eq!(out, expected);
    }
}
