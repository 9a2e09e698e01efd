//! How searches are told.

use serde_json::{Value, json};

use super::Args;
use super::load::Held;
use super::question::{answer, spare};
use super::run::{AllFound, Found};
use crate::report::{Latency, Part, Plot, Report, Table, Tone};

fn ms(nanos: u64) -> String {
    format!("{:.2}", nanos as f64 / 1e6)
}

/// The report.
pub fn report(args: &Args, found: &AllFound) -> Report {
    let mut parts = warnings(found);
    parts.push(Part::Table(rates(found)));
    for one in &found.all {
        parts.push(Part::Table(steps(one)));
    }
    parts.extend(plots(found));
    let hold = args.hold.as_secs_f64();
    let mut facts = vec![
        ("endpoints", args.client.endpoints.join(", ")),
        ("objective", args.objective.text().to_owned()),
        ("held for, seconds", format!("{hold:.0}")),
        ("connections", args.connections.to_string()),
        ("keys", args.keys.to_string()),
        ("seed", args.seed.to_string()),
    ];
    if let Some((model, asked)) = &found.asked {
        let writes = model.writes_per_second();
        facts.push(("asked for, operations a second", format!("{asked:.0}")));
        facts.push(("of these writes", format!("{writes:.0}")));
        facts.push(("bytes of its objects", model.bytes().to_string()));
    }
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Report {
        command: "capacity",
        title: "Highest rates that meet the objective".to_owned(),
        verdict: Some(verdict(args, found)),
        facts: facts.collect(),
        parts,
        json: all(args, found),
    }
}

fn verdict(args: &Args, found: &AllFound) -> (Tone, String) {
    let tone = if found.is_met() {
        Tone::Good
    } else {
        Tone::Bad
    };
    if let Some((model, asked)) = &found.asked {
        return (tone, answer(model, *asked, found.kubernetes()));
    }
    let objective = args.objective.text();
    let each = found.all.iter().map(|one| match one.searched.found {
        Some(_) => format!("{:.0} {} a second", one.searched.rate(), one.name),
        None => format!("no rate of {}", one.name),
    });
    let each: Vec<String> = each.collect();
    (tone, format!("{} met {objective}.", each.join(", ")))
}

fn warnings(found: &AllFound) -> Vec<Part> {
    let mut warnings = Vec::new();
    if found.is_cut {
        let text = "The search was ended early; this is what was measured until then.";
        warnings.push(Part::Warning(text.to_owned()));
    }
    for one in found.all.iter().filter(|one| one.searched.is_own_limit()) {
        warnings.push(Part::Warning(format!(
            "In the search of {} this program was at its own limit: the server may take more.",
            one.name
        )));
    }
    warnings
}

fn rates(found: &AllFound) -> Table {
    let row = |one: &Found| {
        let mut row = vec![
            one.name.to_string(),
            one.value_bytes.to_string(),
            format!("{:.0}", one.searched.rate()),
        ];
        let at = |quantile| {
            one.searched
                .answer()
                .map(|h| h.latencies.value_at_quantile(quantile))
        };
        let cell = |nanos: Option<u64>| nanos.map_or_else(String::new, ms);
        row.extend([0.5, 0.99, 0.999, 1.0].map(|quantile| cell(at(quantile))));
        row
    };
    let columns = [
        "workload",
        "value bytes",
        "per second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
    ];
    Table {
        title: "Highest rates".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: found.all.iter().map(row).collect(),
    }
}

fn steps(one: &Found) -> Table {
    let row = |(held, is_met): &(Held, bool)| {
        vec![
            format!("{:.0}", held.rate),
            format!("{:.0}", held.seconds),
            held.operations().to_string(),
            held.errors_total().to_string(),
            ms(held.latencies.value_at_quantile(0.5)),
            ms(held.latencies.value_at_quantile(0.99)),
            match (is_met, held.is_late(), held.is_overrun) {
                (true, ..) => "yes",
                (_, true, _) => "no, this program was late",
                (.., true) => "no, fell behind",
                _ => "no",
            }
            .to_owned(),
        ]
    };
    let columns = [
        "per second",
        "seconds",
        "operations",
        "errors",
        "p50 ms",
        "p99 ms",
        "met",
    ];
    Table {
        title: format!("Rates tried: {}, {} bytes", one.name, one.value_bytes),
        columns: columns.map(str::to_owned).into(),
        rows: one.searched.steps.iter().map(row).collect(),
    }
}

fn plots(found: &AllFound) -> Vec<Part> {
    let name = |one: &Found| format!("{}, {} bytes", one.name, one.value_bytes);
    let curve = |one: &Found| Some((name(one), one.searched.answer()?.latencies.clone()));
    let bar = |one: &Found| {
        (
            name(one),
            vec![("per second".to_owned(), one.searched.rate())],
        )
    };
    vec![
        Part::Plot(Plot::Bars {
            title: "Highest rates".to_owned(),
            label: "operations a second".to_owned(),
            groups: found.all.iter().map(bar).collect(),
        }),
        Part::Plot(Plot::Percentiles {
            title: "Latency at the highest rate".to_owned(),
            series: found.all.iter().filter_map(curve).collect(),
        }),
    ]
}

fn step_json(held: &Held, is_met: bool) -> Value {
    let errors = held.errors.iter().map(|(name, (count, last))| {
        let error = json!({ "count": count, "last_message": last });
        ((*name).to_owned(), error)
    });
    let errors: serde_json::Map<_, _> = errors.collect();
    json!({
        "rate": held.rate, "seconds": held.seconds, "operations": held.operations(),
        "errors": held.errors_total(), "errors_by_code": errors, "met": is_met,
        "fell_behind": held.is_overrun, "client_was_late": held.is_late(),
        "latency_us": Latency::from(&held.latencies),
        "lateness_us": Latency::from(&held.lateness),
    })
}

fn all(args: &Args, found: &AllFound) -> Value {
    let searches = found.all.iter().map(|one| {
        let steps = one.searched.steps.iter();
        json!({
            "workload": one.name.to_string(),
            "value_bytes": one.value_bytes,
            "operations_per_second": one.searched.rate(),
            "latency_us": one.searched.answer().map(|held| Latency::from(&held.latencies)),
            "client_was_limit": one.searched.is_own_limit(),
            "client_cpu_seconds": one.own_us() as f64 / 1e6,
            "server_cpu_seconds": one.server().map(|server| server.cpu_us as f64 / 1e6),
            "server_rss_bytes": one.server().map(|server| server.rss_bytes),
            "steps": steps.map(|(held, is_met)| step_json(held, *is_met)).collect::<Vec<_>>(),
        })
    });
    let question = found.asked.as_ref().map(|(model, asked)| {
        let most = found.kubernetes();
        json!({
            "nodes": model.nodes, "pods": model.pods, "changes_per_second": model.changes,
            "operations_per_second": asked, "writes_per_second": model.writes_per_second(),
            "object_bytes": model.bytes(), "fits": spare(*asked, most) >= 0.0,
            "spare": spare(*asked, most), "answer": answer(model, *asked, most),
        })
    });
    json!({
        "objective": args.objective.text(),
        "hold_seconds": args.hold.as_secs_f64(),
        "searches": searches.collect::<Vec<_>>(),
        "question": question,
        "met": found.is_met(),
        "ended_early": found.is_cut,
    })
}
