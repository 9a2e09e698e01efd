//! A question of capacity in words, and its answer: `5000 nodes, 150000 pods, 200 changes a
//! second`.

use crate::kubernetes::model::Model;

const HELP: &str = "a question is such as \"5000 nodes, 150000 pods, 200 changes a second\"; pods \
                    and changes may be left out";

/// Reads a question; what is left out is as in a published large cluster. For clap.
///
/// # Errors
/// A text that says how it is written.
pub fn parse(text: &str) -> Result<Model, String> {
    let (mut nodes, mut pods, mut changes) = (None, None, None);
    for part in text.split([',', ';']) {
        let mut words = part.split_whitespace();
        let number = words.next().map(|word| word.replace('_', ""));
        let number = number.and_then(|word| word.parse::<f64>().ok());
        let number = number.filter(|n| (0.0..=1e8).contains(n)).ok_or(HELP)?;
        let rest = words.collect::<Vec<_>>().join(" ");
        let place = match rest.as_str() {
            "node" | "nodes" => &mut nodes,
            "pod" | "pods" => &mut pods,
            "change" | "changes" | "changes a second" | "changes/s" | "changes per second" => {
                &mut changes
            }
            _ => return Err(HELP.to_owned()),
        };
        if place.replace(number).is_some() {
            return Err(HELP.to_owned());
        }
    }
    let nodes = nodes.filter(|n| *n >= 1.0).ok_or(HELP)?;
    let mut model = Model::of_nodes(nodes as usize);
    if let Some(pods) = pods {
        model.pods = pods as usize;
    }
    if let Some(changes) = changes {
        model.changes = changes;
    }
    Ok(model)
}

/// What is left of a rate when the cluster has what it asks for, as a part; below 0 it does not
/// fit.
#[must_use]
pub fn spare(asked: f64, most: f64) -> f64 {
    if most <= 0.0 {
        -1.0
    } else {
        1.0 - asked / most
    }
}

/// The answer in words.
#[must_use]
pub fn answer(model: &Model, asked: f64, most: f64) -> String {
    let cluster = format!(
        "{} nodes, {} pods, {} changes a second",
        model.nodes, model.pods, model.changes
    );
    let spare = spare(asked, most);
    if spare >= 0.0 {
        return format!(
            "{cluster}: fits with {:.0}% to spare.",
            (spare * 100.0).floor()
        );
    }
    format!(
        "{cluster}: does not fit; it asks for {asked:.0} operations a second, and {most:.0} meet \
         the objective."
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_question_is_read_and_what_it_leaves_out_is_as_published() {
        let model = parse("5000 nodes, 150_000 pods, 200 changes a second").unwrap();
        assert_eq!(
            (model.nodes, model.pods, model.changes),
            (5000, 150_000, 200.0)
        );
        let model = parse("100 nodes").unwrap();
        assert_eq!((model.pods, model.changes), (3000, 0.4));
        for bad in [
            "",
            "5000",
            "pods 3",
            "3 pods",
            "0 nodes",
            "1 node, 2 nodes",
            "-5 nodes",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_answer_says_what_is_left() {
        let model = parse("5000 nodes, 150000 pods, 200 changes a second").unwrap();
        let said = answer(&model, 600.0, 1000.0);
        assert!(
            said.ends_with("200 changes a second: fits with 40% to spare."),
            "{said}"
        );
        let said = answer(&model, 1001.0, 1000.0);
        assert!(said.contains("does not fit; it asks for 1001"), "{said}");
        assert!(answer(&model, 1.0, 0.0).contains("does not fit"));
    }
}
