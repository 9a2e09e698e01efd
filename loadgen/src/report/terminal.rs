//! The report as text for a terminal: tables in columns, warnings, and the verdict last, where it
//! is seen. Called by `publish`.

use console::{Style, measure_text_width, pad_str};

use super::{Part, Report, Run, Table, Tone, number};

/// Columns that running text takes at most.
const COLUMNS: usize = 96;

/// The whole text; in colours if `coloured`.
pub(super) fn text(report: &Report, run: &Run, coloured: bool) -> String {
    let mut page = Page {
        out: String::new(),
        coloured,
    };
    let bold = Style::new().bold();
    page.line(&page.styled(&bold, &clean(&report.title)));
    let dim = Style::new().dim();
    let took = format!(
        "{}, took {} s",
        run.began_text(),
        number::plain(run.seconds)
    );
    page.line(&page.styled(&dim, &took));
    page.facts(&report.facts);
    for part in &report.parts {
        match part {
            Part::Heading(text) => {
                page.gap();
                page.line(&page.styled(&bold, &clean(text)));
            }
            Part::Text(text) => {
                page.gap();
                page.paragraph("", text);
            }
            Part::Warning(text) => {
                page.gap();
                let word = page.styled(&Style::new().yellow().bold(), "warning:");
                page.paragraph(&word, text);
            }
            Part::Table(table) => page.table(table),
            Part::Plot(_) => {}
        }
    }
    if let Some((tone, text)) = &report.verdict {
        page.gap();
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Fair => Style::new().yellow(),
            Tone::Bad => Style::new().red(),
        };
        let word = page.styled(&style.bold(), "verdict:");
        page.paragraph(&word, text);
    }
    page.out
}

struct Page {
    out: String,
    coloured: bool,
}

impl Page {
    fn styled(&self, style: &Style, text: &str) -> String {
        let style = style.clone().force_styling(self.coloured);
        style.apply_to(text).to_string()
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// An empty line.
    fn gap(&mut self) {
        self.out.push('\n');
    }

    /// `text` behind `word`, in lines of at most [`COLUMNS`].
    fn paragraph(&mut self, word: &str, text: &str) {
        let mut line = word.to_owned();
        for part in text.lines() {
            for word in clean(part).split_whitespace() {
                let width = measure_text_width(&line);
                if width > 0 && width + 1 + measure_text_width(word) > COLUMNS {
                    self.line(&std::mem::take(&mut line));
                }
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            self.line(&std::mem::take(&mut line));
        }
    }

    fn facts(&mut self, facts: &[(String, String)]) {
        let width = facts
            .iter()
            .map(|(name, _)| measure_text_width(name))
            .max()
            .unwrap_or(0);
        let dim = Style::new().dim();
        for (name, value) in facts {
            let name = clean(name);
            let name = pad_str(&name, width, console::Alignment::Left, None);
            let name = self.styled(&dim, &name);
            self.line(&format!("{name}  {}", clean(value)));
        }
    }

    fn table(&mut self, table: &Table) {
        self.gap();
        if !table.title.is_empty() {
            let title = self.styled(&Style::new().underlined(), &clean(&table.title));
            self.line(&title);
        }
        let right = table.right_columns();
        let cell = |row: &[String], i: usize| clean(row.get(i).map_or("", String::as_str));
        let all = || std::iter::once(&table.columns).chain(&table.rows);
        let width = |i| {
            all()
                .map(|row| measure_text_width(&cell(row, i)))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..right.len()).map(width).collect();
        let dim = Style::new().dim();
        for (n, row) in all().enumerate() {
            let padded = |(i, &right): (usize, &bool)| {
                let side = if right {
                    console::Alignment::Right
                } else {
                    console::Alignment::Left
                };
                pad_str(&cell(row, i), widths[i], side, None).into_owned()
            };
            let cells: Vec<String> = right.iter().enumerate().map(padded).collect();
            let text = cells.join("  ");
            let text = text.trim_end();
            let text = if n == 0 {
                self.styled(&dim, text)
            } else {
                text.to_owned()
            };
            self.line(&text);
        }
    }
}

/// A name of a directory may hold what commands a terminal; here it commands nothing.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
