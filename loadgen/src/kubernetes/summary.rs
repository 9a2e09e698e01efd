//! How a run is told: the verdict in words, tables, plots and JSON.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Args;
use super::model::Resource;
use super::outcome::{Found, Outcome};
use super::record::Kind;
use crate::measured;
use crate::report::{Latency, Part, Plot, Report, Table, Tone};

/// Part of a core from which on this program may have been what was measured.
const BUSY: f64 = 0.8;

/// Milliseconds of nanoseconds, for a table.
fn ms(nanos: u64) -> String {
    format!("{:.2}", nanos as f64 / 1e6)
}

/// The report of a run.
pub fn report(args: &Args, found: &Found) -> Report {
    let Some(phase) = found.phase() else {
        return Report::default();
    };
    let mut parts = warnings(found, phase);
    parts.push(Part::Table(objectives(phase)));
    if found.phases.len() > 1 {
        parts.push(Part::Table(steps(found)));
    }
    parts.push(Part::Heading("Writes".to_owned()));
    parts.push(Part::Table(writes(phase)));
    parts.push(Part::Heading("Lists, watches and other reads".to_owned()));
    parts.push(Part::Table(reads(phase)));
    parts.push(Part::Table(caches(found)));
    if !phase.errors.is_empty() {
        parts.push(Part::Table(errors(phase)));
    }
    parts.push(Part::Heading("What it cost".to_owned()));
    parts.push(Part::Table(cost(phase)));
    parts.extend(plots(phase));
    let nodes = args.nodes;
    Report {
        command: "kubernetes",
        title: if args.find_nodes {
            "For how many Kubernetes nodes the server is good".to_owned()
        } else {
            format!("Kubernetes with {nodes} nodes")
        },
        verdict: Some(verdict(args, found, phase)),
        facts: facts(args, found, phase),
        parts,
        json: all(args, found, phase),
    }
}

fn verdict(args: &Args, found: &Found, phase: &Outcome) -> (Tone, String) {
    if found.is_wrong() {
        let text = "The server broke a promise: a watch cache is not what it lists, or an \
                    acknowledged write is gone.";
        return (Tone::Bad, text.to_owned());
    }
    if found.unchecked.is_some() {
        let text = "The server did not answer in the end, so it is not known what it lost.";
        return (Tone::Bad, text.to_owned());
    }
    let nodes = phase.model.nodes;
    if args.find_nodes {
        return match found.nodes_held() {
            0 => (
                Tone::Bad,
                format!("The objectives did not hold for {nodes} nodes."),
            ),
            held => (
                Tone::Good,
                format!("The objectives held for up to {held} nodes."),
            ),
        };
    }
    if phase.is_held() {
        return (
            Tone::Good,
            format!("The objectives held for {nodes} nodes."),
        );
    }
    let missed = phase.objectives.iter().filter(|objective| !objective.held);
    let names: Vec<&str> = missed.map(|objective| objective.name.as_str()).collect();
    let names = names.join("; ");
    let text = if phase.writes() == 0 {
        "Nothing was written.".to_owned()
    } else {
        format!("The objectives did not hold for {nodes} nodes: {names}.")
    };
    (Tone::Bad, text)
}

fn warnings(found: &Found, phase: &Outcome) -> Vec<Part> {
    let mut texts = Vec::new();
    if found.is_cut {
        texts.push("The run was ended early; this is what was measured until then.".to_owned());
    }
    if let Some(why) = &found.unchecked {
        texts.push(format!(
            "The watch caches could not be held against lists of the server: {why}"
        ));
    }
    if phase.unfinished > 0 {
        texts.push(format!(
            "{} lists were not whole when the run ended; they count with the time they had taken.",
            phase.unfinished
        ));
    }
    let busy = phase.own_us as f64 / 1e6 / phase.seconds;
    let late = phase.lateness.value_at_quantile(0.99);
    if busy > BUSY {
        texts.push(format!(
            "This program used {:.0}% of a core, and it has one: it may have been the bottleneck.",
            busy * 100.0
        ));
    } else if late > 20_000_000 {
        texts.push(format!(
            "This program was up to {} ms late (99th percentile); that is part of the latencies.",
            ms(late)
        ));
    }
    texts.into_iter().map(Part::Warning).collect()
}

fn facts(args: &Args, found: &Found, phase: &Outcome) -> Vec<(String, String)> {
    let progress = if found.has_progress {
        "from the watch cache, with requested progress"
    } else {
        "from the server: an apiserver does not trust this version's notices of progress"
    };
    let model = &phase.model;
    let facts = [
        ("server", found.version.clone()),
        ("endpoints", args.client.endpoints.join(", ")),
        ("pods", model.pods.to_string()),
        ("changes of pods a second", format!("{:.1}", model.changes)),
        ("apiservers", args.apiservers.to_string()),
        ("bytes of all objects", model.bytes().to_string()),
        ("seconds to make them", format!("{:.1}", found.fill_seconds)),
        ("seconds measured", format!("{:.1}", phase.seconds)),
        ("consistent reads", progress.to_owned()),
        ("seed", args.seed.to_string()),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table {
        title: title.to_owned(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        rows,
    }
}

fn yes(held: bool) -> String {
    if held { "yes" } else { "no" }.to_owned()
}

fn objectives(phase: &Outcome) -> Table {
    let row = |o: &super::outcome::Objective| {
        let digits = usize::from(o.unit == "ms") * 2;
        let (name, unit) = (&o.name, o.unit);
        vec![
            if unit.is_empty() {
                name.clone()
            } else {
                format!("{name}, {unit}")
            },
            format!("{:.0}", o.limit),
            format!("{:.digits$}", o.measured),
            yes(o.held),
        ]
    };
    let rows = phase.objectives.iter().map(row).collect();
    table("Objectives", &["of", "limit", "measured", "held"], rows)
}

fn steps(found: &Found) -> Table {
    let row = |phase: &Outcome| {
        let writes = phase.all_of(|kind| matches!(kind, Kind::Write(_)));
        vec![
            phase.model.nodes.to_string(),
            format!("{:.0}", phase.writes() as f64 / phase.seconds),
            ms(writes.value_at_quantile(0.99)),
            phase.errors_total().to_string(),
            yes(phase.is_held()),
        ]
    };
    let columns = ["nodes", "writes/s", "p99 ms", "errors", "held"];
    table(
        "Numbers of nodes tried",
        &columns,
        found.phases.iter().map(row).collect(),
    )
}

fn latencies(of: &Histogram<u64>) -> [String; 4] {
    [
        ms(of.value_at_quantile(0.5)),
        ms(of.value_at_quantile(0.99)),
        ms(of.value_at_quantile(0.999)),
        ms(of.max()),
    ]
}

fn writes(phase: &Outcome) -> Table {
    let mut rows = Vec::new();
    for (resource, verb, expected) in phase.model.writes() {
        let Some(of) = phase.latencies.get(&(Kind::Write(verb), resource)) else {
            continue;
        };
        let mut row = vec![
            format!("{} of {resource}", verb.name()),
            format!("{expected:.1}"),
            format!("{:.1}", phase.rate(resource, verb)),
        ];
        row.extend(latencies(of));
        rows.push(row);
    }
    let all = phase.all_of(|kind| matches!(kind, Kind::Write(_)));
    let rate = |per_second: f64| format!("{per_second:.1}");
    let mut row = vec!["all".to_owned(), rate(phase.model.writes_per_second())];
    row.push(rate(all.len() as f64 / phase.seconds));
    row.extend(latencies(&all));
    rows.push(row);
    let columns = [
        "what",
        "planned/s",
        "done/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
    ];
    table(
        "From when they were due to their acknowledgement",
        &columns,
        rows,
    )
}

fn reads(phase: &Outcome) -> Table {
    let mut rows = Vec::new();
    for ((kind, resource), of) in &phase.latencies {
        if matches!(kind, Kind::Write(_)) {
            continue;
        }
        let mut row = vec![
            format!("{} of {resource}", kind.name()),
            of.len().to_string(),
        ];
        row.extend(latencies(of));
        rows.push(row);
    }
    let columns = ["what", "count", "p50 ms", "p99 ms", "p99.9 ms", "max ms"];
    table(
        "Watch lag: from the acknowledgement to the event in a cache",
        &columns,
        rows,
    )
}

fn caches(found: &Found) -> Table {
    let row = |(number, (past, compactions)): (usize, &(super::apiserver::Past, u64))| {
        let own = found
            .caches
            .iter()
            .filter(|cache| cache.apiserver == number);
        let objects: usize = own.clone().map(|cache| cache.objects).sum();
        let wrong = own.clone().find(|cache| !cache.equal);
        let wrong = wrong.map(|cache| format!("no: {}: {}", cache.resource, cache.difference));
        vec![
            number.to_string(),
            objects.to_string(),
            past.events.to_string(),
            past.lists.to_string(),
            past.resumes.to_string(),
            past.gaps.to_string(),
            compactions.to_string(),
            wrong.unwrap_or_else(|| "yes".to_owned()),
        ]
    };
    let rows = found.apiservers.iter().enumerate().map(row).collect();
    let columns = [
        "apiserver",
        "objects",
        "events",
        "lists",
        "resumed watches",
        "gaps",
        "compactions",
        "caches as listed",
    ];
    table("Watch caches", &columns, rows)
}

fn errors(phase: &Outcome) -> Table {
    let row = |(name, (count, last)): (&&str, &(u64, String))| {
        vec![(*name).to_owned(), count.to_string(), last.clone()]
    };
    let rows = phase.errors.iter().map(row).collect();
    table(
        "Failed calls",
        &["code", "count", "the last one's words"],
        rows,
    )
}

/// Processor time of an operation, microseconds.
fn per_operation(cpu_us: u64, phase: &Outcome) -> f64 {
    cpu_us as f64 / phase.operations.max(1) as f64
}

fn cost(phase: &Outcome) -> Table {
    let cores = |us: u64| format!("{:.2}", us as f64 / 1e6 / phase.seconds);
    let row = |name: &str, us: u64, rss: String| {
        let each = format!("{:.1}", per_operation(us, phase));
        vec![name.to_owned(), cores(us), each, rss]
    };
    let mib = |bytes: u64| (bytes >> 20).to_string();
    let own = crate::server_process::usage("self").map_or(0, |usage| usage.rss_bytes);
    let mut rows = vec![row("this program", phase.own_us, mib(own))];
    if let Some(server) = phase.server {
        rows.push(row("the server", server.cpu_us, mib(server.rss_bytes)));
    }
    let columns = ["who", "cores", "CPU us/operation", "memory MiB"];
    table("Processor and memory", &columns, rows)
}

fn plots(phase: &Outcome) -> Vec<Part> {
    let mut curves = Vec::new();
    for resource in Resource::ALL {
        let all = phase.latencies.iter();
        let writes =
            all.filter(|((kind, of), _)| *of == resource && matches!(kind, Kind::Write(_)));
        let sum = measured::sum(writes.map(|(_, latencies)| latencies));
        if !sum.is_empty() {
            curves.push((resource.to_string(), sum));
        }
    }
    let lag = phase.all_of(|kind| kind == Kind::Lag);
    if !lag.is_empty() {
        curves.push(("watch lag".to_owned(), lag));
    }
    let points = |value: &dyn Fn(&super::record::Second) -> f64| {
        let seconds = phase.timeline.iter().enumerate();
        let points = seconds.map(|(at, second)| (at as f64, value(second)));
        points.collect::<Vec<_>>()
    };
    let over_time = |title: &str, label: &str, log, series| Plot::Timeline {
        title: title.to_owned(),
        label: label.to_owned(),
        log,
        series,
        marks: Vec::new(),
    };
    let writes = vec![("writes".to_owned(), points(&|s| s.writes as f64))];
    let slow = vec![
        (
            "writes, p99".to_owned(),
            points(&|s| s.p99.max(1000) as f64 / 1e6),
        ),
        (
            "writes, slowest".to_owned(),
            points(&|s| s.max.max(1000) as f64 / 1e6),
        ),
        (
            "watch lag, longest".to_owned(),
            points(&|s| s.lag.max(1000) as f64 / 1e6),
        ),
    ];
    let percentiles = Plot::Percentiles {
        title: "Latency of writes by resource, and watch lag".to_owned(),
        series: curves,
    };
    vec![
        Part::Plot(percentiles),
        Part::Plot(over_time(
            "Writes over time",
            "writes a second",
            false,
            writes,
        )),
        Part::Plot(over_time("Latency over time", "ms", true, slow)),
    ]
}

fn latency(of: &Histogram<u64>) -> Value {
    json!(Latency::from(of))
}

fn phase_json(phase: &Outcome) -> Value {
    let mut writes = Vec::new();
    for (resource, verb, expected) in phase.model.writes() {
        if let Some(of) = phase.latencies.get(&(Kind::Write(verb), resource)) {
            writes.push(json!({
                "resource": resource.name(), "verb": verb.name(), "count": of.len(),
                "per_second": phase.rate(resource, verb), "planned_per_second": expected,
                "latency_us": latency(of),
            }));
        }
    }
    let others = phase
        .latencies
        .iter()
        .filter(|((kind, _), _)| !matches!(kind, Kind::Write(_)));
    let reads = others.map(|((kind, resource), of)| {
        json!({"kind": kind.name(), "resource": resource.name(), "latency_us": latency(of)})
    });
    let errors = phase
        .errors
        .iter()
        .map(|(name, (n, _))| ((*name).to_owned(), json!(n)));
    json!({
        "nodes": phase.model.nodes,
        "pods": phase.model.pods,
        "changes_per_second": phase.model.changes,
        "measured_seconds": phase.seconds,
        "operations": phase.operations,
        "operations_per_second": phase.operations as f64 / phase.seconds,
        "writes": phase.writes(),
        "writes_per_second": phase.writes() as f64 / phase.seconds,
        "planned_writes_per_second": phase.model.writes_per_second(),
        "errors": phase.errors_total(),
        "errors_by_code": errors.collect::<serde_json::Map<_, _>>(),
        "missed": phase.missed,
        "conflicts": phase.conflicts,
        "lost": phase.lost,
        "latency_us": latency(&phase.all_of(|kind| matches!(kind, Kind::Write(_)))),
        "watch_lag_us": latency(&phase.all_of(|kind| kind == Kind::Lag)),
        "list_us": latency(&phase.all_of(|kind| kind == Kind::List)),
        "listed_objects": phase.listed,
        "lists_unfinished": phase.unfinished,
        "lateness_us": latency(&phase.lateness),
        "by_resource": writes,
        "reads": reads.collect::<Vec<_>>(),
        "objectives": phase.objectives,
        "held": phase.is_held(),
        "client_cpu_us_per_operation": per_operation(phase.own_us, phase),
        "server_cpu_us_per_operation": phase.server.map(|s| per_operation(s.cpu_us, phase)),
        "server_rss_bytes": phase.server.map(|s| s.rss_bytes),
    })
}

fn all(args: &Args, found: &Found, phase: &Outcome) -> Value {
    let mut all = phase_json(phase);
    let apiservers = found.apiservers.iter().map(|(past, compactions)| {
        json!({
            "events": past.events, "lists": past.lists, "resumes": past.resumes,
            "gaps": past.gaps, "compactions": compactions,
        })
    });
    let more = json!({
        "server_version": found.version,
        "seed": args.seed,
        "apiservers": apiservers.collect::<Vec<_>>(),
        "caches": found.caches,
        "caches_equal": found.unchecked.is_none() && found.caches.iter().all(|c| c.equal),
        "unchecked": found.unchecked,
        "gaps": found.gaps(),
        "nodes_held": found.nodes_held(),
        "fill_seconds": found.fill_seconds,
        "ended_early": found.is_cut,
        "steps": found.phases.iter().map(phase_json).collect::<Vec<_>>(),
    });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}
