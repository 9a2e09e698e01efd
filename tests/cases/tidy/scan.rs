//! Rust source taken apart just far enough to check style: code and comments of each line without
//! the content of literals, and where functions begin and end. Used by `tidy.rs`.

/// One line of a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The code, with strings, chars and comments blanked out.
    pub code: String,
    /// The text of comments, markers included.
    pub comment: String,
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub first: usize,
    /// The line of its closing brace.
    pub last: usize,
}

/// What the reader is inside of.
enum Inside {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    /// A raw string that ends with a quote and this many hashes.
    RawText(usize),
}

/// Takes a file apart.
pub fn lines(source: &str) -> Vec<Line> {
    let chars: Vec<char> = source.chars().collect();
    let mut lines = vec![Line::default()];
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < chars.len() {
        let (c, rest) = (chars[at], &chars[at..]);
        if c == '\n' {
            if matches!(inside, Inside::LineComment) {
                inside = Inside::Code;
            }
            lines.push(Line::default());
            at += 1;
            continue;
        }
        let line = lines.last_mut().expect("there is always a line");
        let taken = match inside {
            Inside::Code => in_code(rest, &chars[..at], line, &mut inside),
            Inside::LineComment => {
                line.comment.push(c);
                1
            }
            Inside::BlockComment(depth) => in_block_comment(rest, depth, line, &mut inside),
            Inside::Text => match c {
                '\\' if rest.get(1) != Some(&'\n') => 2,
                '"' => {
                    inside = Inside::Code;
                    1
                }
                _ => 1,
            },
            Inside::RawText(hashes) => {
                let ends = c == '"'
                    && rest[1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
                if ends {
                    inside = Inside::Code;
                }
                if ends { 1 + hashes } else { 1 }
            }
        };
        at += taken;
    }
    lines
}

/// One step in code: how many characters it took.
fn in_code(rest: &[char], before: &[char], line: &mut Line, inside: &mut Inside) -> usize {
    match rest {
        ['/', '/', ..] => {
            *inside = Inside::LineComment;
            line.comment.push_str("//");
            2
        }
        ['/', '*', ..] => {
            *inside = Inside::BlockComment(1);
            line.comment.push_str("/*");
            2
        }
        ['"', ..] => {
            *inside = Inside::Text;
            line.code.push_str("\"\"");
            1
        }
        ['r', ..] if !before.last().is_some_and(|c| is_word(*c) && *c != 'b') => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                *inside = Inside::RawText(hashes);
                line.code.push_str("\"\"");
                return 2 + hashes;
            }
            line.code.push('r');
            1
        }
        // A char literal; what has no closing quote where one belongs is a lifetime.
        ['\'', '\\', ..] => {
            let close = rest.iter().skip(3).position(|c| *c == '\'');
            line.code.push_str("''");
            close.map_or(2, |close| close + 4)
        }
        ['\'', _, '\'', ..] => {
            line.code.push_str("''");
            3
        }
        _ => {
            line.code.push(rest[0]);
            1
        }
    }
}

fn in_block_comment(rest: &[char], depth: usize, line: &mut Line, inside: &mut Inside) -> usize {
    let (taken, depth) = match rest {
        ['/', '*', ..] => (2, depth + 1),
        ['*', '/', ..] => (2, depth - 1),
        _ => (1, depth),
    };
    line.comment.extend(&rest[..taken]);
    *inside = if depth == 0 {
        Inside::Code
    } else {
        Inside::BlockComment(depth)
    };
    taken
}

/// The functions that have a body, nested ones too.
pub fn functions(lines: &[Line]) -> Vec<Function> {
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        for (at, _) in words(&line.code).filter(|(_, word)| *word == "fn") {
            let after = &line.code[at + 2..];
            let name: String = after
                .trim_start()
                .chars()
                .take_while(|c| is_word(*c))
                .collect();
            // `fn(` is the type of a function pointer.
            if name.is_empty() {
                continue;
            }
            if let Some(last) = end_of_body(lines, i, at + 2) {
                found.push(Function {
                    name,
                    first: i + 1,
                    last: last + 1,
                });
            }
        }
    }
    found
}

/// The line of the brace that closes the body begun after this place; none if a `;` comes first.
fn end_of_body(lines: &[Line], line: usize, column: usize) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_i32;
    for (i, text) in lines.iter().enumerate().skip(line) {
        let code = if i == line {
            &text.code[column..]
        } else {
            &text.code
        };
        for c in code.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if braces == 0 && brackets == 0 => return None,
                '{' => braces += 1,
                '}' => {
                    braces = braces.checked_sub(1)?;
                    if braces == 0 && brackets == 0 {
                        return Some(i);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// The words of a line of code, each with its byte offset.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let length = code[start..]
            .find(|c| !is_word(c))
            .unwrap_or(code.len() - start);
        at = start + length;
        Some((start, &code[start..at]))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
