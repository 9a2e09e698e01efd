//! The report of a run: what was measured as tables, plots and JSON.

use loadgen::machine::device::Device;
use loadgen::report::{self, Part, Plot, Report, Table, Tone, number};
use serde_json::{Value, json};
use tests::target::Kind;

use super::disk::Disk;
use super::results::{Judged, Measured, Round, Spread};
use super::run::{Early, Ended, Life, Plan, Side};
use super::sample::Figure;
use super::workload::{KEYS, RANGE_KEYS, VALUE_BYTES};

/// Figures whose ratios are plotted, and what better is.
const PLOTTED: [(Figure, &str); 4] = [
    (Figure::Throughput, "Operations a second: more is better"),
    (Figure::P50, "Median latency: less is better"),
    (Figure::P99, "99th percentile of latency: less is better"),
    (
        Figure::ServerCpu,
        "Server CPU for an operation: less is better",
    ),
];

/// The whole report.
#[must_use]
pub fn report(plan: &Plan, ended: &Ended) -> Report {
    let mut parts: Vec<Part> = warnings(ended).into_iter().map(Part::Warning).collect();
    parts.push(Part::Heading(format!("Ratios, {}", ratio_name(plan))));
    parts.push(Part::Text(
        "Each marker is the median of the rounds' ratios, its line reaches from the lowest to the \
         highest round, and a short upright line is what is aimed at."
            .to_owned(),
    ));
    parts.extend(plots(plan, ended).into_iter().map(Part::Plot));
    parts.extend(tables(plan, ended));
    parts.push(Part::Heading("Loads".to_owned()));
    parts.push(Part::Table(loads(plan)));
    Report {
        command: "side-by-side",
        title: format!("{} side by side", names(plan).join(" and ")),
        verdict: verdict(ended, plan),
        facts: facts(plan),
        parts,
        json: json(plan, ended),
    }
}

/// The names of the servers with their versions.
pub(super) fn names(plan: &Plan) -> [String; 2] {
    let shown = |side: &Side| format!("{} {}", side.name, side.version);
    plan.sides.each_ref().map(shown)
}

fn ratio_name(plan: &Plan) -> String {
    let [a, b] = plan.sides.each_ref().map(|side| side.name.as_str());
    format!("{a} / {b}")
}

/// What a reader must not miss.
pub(super) fn warnings(ended: &Ended) -> Vec<String> {
    let early = match &ended.early {
        None => return Vec::new(),
        Some(Early::Stopped) => "The run was ended before its time".to_owned(),
        Some(Early::Failed(why)) => format!("The run ended early: {}", why.trim()),
    };
    vec![format!("{early}; this is what was measured before.")]
}

fn facts(plan: &Plan) -> Vec<(String, String)> {
    let mut facts = vec![("Disk".to_owned(), disk(plan))];
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(shards) = shards(plan) {
        fact("Shards", shards.to_string());
    }
    fact("Rounds", plan.settings.rounds.to_string());
    let [measured, before] = [plan.settings.duration, plan.settings.warm_up].map(|span| {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        number::latency(nanos)
    });
    fact(
        "Measured",
        format!("{measured} of each load after {before}"),
    );
    let (keys, range) = (number::count(KEYS), number::count(RANGE_KEYS));
    fact(
        "Keys",
        format!("{keys} of 32 B with values of {VALUE_BYTES} B; a range has {range}"),
    );
    fact("Seed", plan.settings.seed.to_string());
    facts
}

/// What the servers write to.
pub(super) fn disk(plan: &Plan) -> String {
    Device::behind(&plan.settings.dir).map_or("unknown".to_owned(), |device| device.summary())
}

/// Stoa's shards, where it is one of both.
pub(super) fn shards(plan: &Plan) -> Option<u16> {
    match plan.sides[0].kind {
        Kind::Stoa(shards) => Some(shards),
        Kind::Etcd | Kind::EtcdAt(_) => None,
    }
}

/// A heading, what was done and the tables for each kind of disk that was measured.
pub(super) fn tables(plan: &Plan, ended: &Ended) -> Vec<Part> {
    let mut parts = Vec::new();
    for (disk, _) in &plan.disks {
        if ended.results.on(*disk).next().is_none() {
            continue;
        }
        parts.push(Part::Heading(disk.title().to_owned()));
        parts.push(Part::Text(disk.about(plan.settings.throttle)));
        parts.push(Part::Table(figures(plan, ended, *disk)));
        parts.extend(bars(ended, *disk).map(Part::Table));
        parts.push(Part::Text(lives(ended, *disk)));
    }
    parts
}

/// `62,626 (61,020–63,500)`: the median, the lowest and the highest round.
fn cell(spread: Option<Spread>) -> String {
    let Some(spread) = spread else {
        return "–".to_owned();
    };
    let [median, lowest, highest] =
        [spread.median, spread.lowest, spread.highest].map(number::plain);
    if lowest == highest {
        median
    } else {
        format!("{median} ({lowest}–{highest})")
    }
}

fn figures(plan: &Plan, ended: &Ended, disk: Disk) -> Table {
    let row = |(measured, figure): (Measured<'_>, Figure)| {
        vec![
            measured.workload.name.to_owned(),
            figure.label().to_owned(),
            cell(measured.side(0, figure)),
            cell(measured.side(1, figure)),
            cell(measured.ratio(figure)),
        ]
    };
    let all = ended.results.on(disk);
    let all = all.flat_map(|measured| Figure::ALL.map(|figure| (measured, figure)));
    let [a, b] = plan.sides.each_ref().map(|side| side.name.clone());
    Table {
        title: "Median of the rounds (lowest–highest)".to_owned(),
        columns: vec!["load".into(), "figure".into(), a, b, ratio_name(plan)],
        rows: all.map(row).collect(),
    }
}

fn bars(ended: &Ended, disk: Disk) -> Option<Table> {
    let row = |(measured, judged): (Measured<'_>, Judged)| {
        let figure = judged.bar.1;
        vec![
            format!("{} {}", measured.workload.name, figure.name()),
            aim(&judged),
            cell(judged.ratio),
            if judged.is_reached { "yes" } else { "NO" }.to_owned(),
        ]
    };
    let rows: Vec<_> = judged(ended, disk).into_iter().map(row).collect();
    let columns = ["aimed at", "aim", "ratio", "reached"].map(str::to_owned);
    (!rows.is_empty()).then(|| Table {
        title: "What was aimed at".to_owned(),
        columns: columns.to_vec(),
        rows,
    })
}

fn judged(ended: &Ended, disk: Disk) -> Vec<(Measured<'_>, Judged)> {
    let of = |measured: Measured<'_>| measured.judged().collect::<Vec<_>>();
    let all = ended.results.on(disk);
    all.flat_map(|m| of(m).into_iter().map(move |j| (m, j)))
        .collect()
}

fn aim(judged: &Judged) -> String {
    let word = if judged.bar.1.is_more_better() {
        "at least"
    } else {
        "at most"
    };
    format!("{word} {}", number::plain(judged.bar.2))
}

/// How the servers lived on `disk`: their starts, and what was counted.
fn lives(ended: &Ended, disk: Disk) -> String {
    let on_disk: Vec<&Life> = ended
        .lives
        .iter()
        .filter(|l| l.disk == disk.name())
        .collect();
    let mut servers: Vec<&str> = on_disk.iter().map(|life| life.server.as_str()).collect();
    servers.sort_unstable();
    servers.dedup();
    let mut said = Vec::new();
    for server in servers.into_iter().rev() {
        let of = || on_disk.iter().filter(|life| life.server == server);
        let starts = Spread::of(of().map(|life| life.start_seconds));
        let mut text = format!("{server} served {} s after its start", cell(starts));
        let mut profiles: Vec<&str> = of().filter_map(|life| life.profile.as_deref()).collect();
        profiles.sort_unstable();
        profiles.dedup();
        if !profiles.is_empty() {
            text += &format!(" with the profile {}", profiles.join(" or "));
        }
        let writes = of().filter_map(|life| Some(life.disk_writes? as f64 / life.seconds));
        if let Some(writes) = Spread::of(writes) {
            text += &format!(" and wrote {} times a second", cell(Some(writes)));
        }
        said.push(text);
    }
    let mib = |life: &&Life| {
        let wrote = life.beside?;
        Some(wrote.bytes as f64 / f64::from(1 << 20) / (wrote.millis as f64 / 1e3))
    };
    if let Some(rate) = Spread::of(on_disk.iter().filter_map(mib)) {
        said.push(format!(
            "the other process wrote {} MiB/s",
            cell(Some(rate))
        ));
    }
    said.join("; ") + "."
}

fn loads(plan: &Plan) -> Table {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for load in plan.disks.iter().flat_map(|(_, loads)| loads) {
        let row = vec![
            load.name.to_owned(),
            load.about.to_owned(),
            load.clients_text(),
        ];
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    Table {
        title: String::new(),
        columns: ["load", "what is asked", "clients"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    }
}

fn plots(plan: &Plan, ended: &Ended) -> Vec<Plot> {
    let plot = |(figure, title): (Figure, &str)| {
        let spread = |measured: Measured<'_>| {
            let ratio = measured.ratio(figure)?;
            let mut bars = measured.workload.bars_on(measured.disk);
            Some(report::Spread {
                name: measured.workload.name.to_owned(),
                lowest: ratio.lowest,
                middle: ratio.median,
                highest: ratio.highest,
                aim: bars.find(|bar| bar.1 == figure).map(|bar| bar.2),
            })
        };
        let series = |(disk, _): &(Disk, _)| {
            let spreads: Vec<_> = ended.results.on(*disk).filter_map(spread).collect();
            (format!("{} disk", disk.name()), spreads)
        };
        Plot::Spreads {
            title: title.to_owned(),
            label: ratio_name(plan),
            series: plan.disks.iter().map(series).collect(),
        }
    };
    PLOTTED.map(plot).to_vec()
}

fn verdict(ended: &Ended, plan: &Plan) -> Option<(Tone, String)> {
    let on = |(disk, _): &(Disk, _)| judged(ended, *disk);
    let all: Vec<_> = plan.disks.iter().flat_map(on).collect();
    let missed: Vec<String> = all
        .iter()
        .filter(|(_, judged)| !judged.is_reached)
        .map(|(measured, judged)| {
            let ratio = judged.ratio.map(|ratio| number::plain(ratio.median));
            format!(
                "{} {} on the {} disk is {} ({})",
                measured.workload.name,
                judged.bar.1.name(),
                measured.disk.name(),
                ratio.as_deref().unwrap_or("not measured"),
                aim(judged)
            )
        })
        .collect();
    match (all.len(), missed.as_slice()) {
        (0, _) => None,
        (bars, []) => Some((Tone::Good, format!("all {bars} aims are reached"))),
        (bars, _) => {
            let text = format!("{} of {bars} aims missed: ", missed.len());
            Some((Tone::Fair, text + &missed.join("; ")))
        }
    }
}

fn json(plan: &Plan, ended: &Ended) -> Value {
    let side = |side: &Side| json!({ "name": side.name, "version": side.version });
    let disk = |(disk, _): &(Disk, _)| {
        let loads: Vec<Value> = ended
            .results
            .on(*disk)
            .map(|m| load_json(plan, m))
            .collect();
        json!({ "disk": disk.name(), "about": disk.about(plan.settings.throttle), "loads": loads })
    };
    json!({
        "sides": plan.sides.each_ref().map(side),
        "shards": shards(plan),
        "device": Device::behind(&plan.settings.dir).ok(),
        "rounds": plan.settings.rounds,
        "duration_seconds": plan.settings.duration.as_secs_f64(),
        "warm_up_seconds": plan.settings.warm_up.as_secs_f64(),
        "seed": plan.settings.seed,
        "throttle_writes_per_second": plan.settings.throttle,
        "is_whole": ended.early.is_none(),
        "disks": plan.disks.iter().map(disk).collect::<Vec<_>>(),
        "lives": ended.lives,
    })
}

fn load_json(plan: &Plan, measured: Measured<'_>) -> Value {
    let [a, b] = plan.sides.each_ref().map(|side| side.name.as_str());
    let round = |(number, sides): (usize, &Round)| {
        let [first, second] = sides;
        json!({ "round": number + 1, a: first, b: second })
    };
    let figure = |figure: Figure| {
        json!({
            "figure": figure.key(),
            a: measured.side(0, figure),
            b: measured.side(1, figure),
            "ratio": measured.ratio(figure),
        })
    };
    let bar = |judged: Judged| {
        let word = if judged.bar.1.is_more_better() {
            "at_least"
        } else {
            "at_most"
        };
        json!({ "figure": judged.bar.1.key(), word: judged.bar.2, "ratio": judged.ratio,
                "reached": judged.is_reached })
    };
    let workload = measured.workload;
    json!({
        "load": workload.name,
        "workload": workload.operation.name(),
        "clients": workload.clients,
        "connections": workload.conns,
        "rounds": measured.rounds.iter().enumerate().map(round).collect::<Vec<_>>(),
        "figures": Figure::ALL.map(figure),
        "bars": measured.judged().map(bar).collect::<Vec<_>>(),
    })
}
