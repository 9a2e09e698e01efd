//! `stoa-loadgen capacity` against real servers: the rate that it finds held, a question is
//! answered from it, and nothing is left behind.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;
use tests::client::{Client, pb, run};
use tests::node::loadgen;
use tests::target::{Kind, Target};

fn search(target: &Target, args: &[&str]) -> (Output, Value) {
    let file = target.home().join("found.json");
    let _ = std::fs::remove_file(&file);
    let out = Command::new(loadgen().unwrap())
        .arg("capacity")
        .args([
            "--endpoints",
            &target.endpoint(),
            "--trial",
            "1s",
            "--hold",
            "2s",
        ])
        .args(["--keys", "500", "--within", "30", "--json"])
        .arg(&file)
        .args(args)
        .output()
        .unwrap();
    let json = std::fs::read(&file);
    let json = json.unwrap_or_else(|e| panic!("{e}: {out:?}"));
    (out, serde_json::from_slice(&json).unwrap())
}

fn keys_left(target: &Target) -> i64 {
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let request = pb::RangeRequest {
            key: b"\0".to_vec().into(),
            range_end: b"\0".to_vec().into(),
            count_only: true,
            ..Default::default()
        };
        client.range(&request).await.unwrap().count
    })
}

/// The objectives are wide and the rates bounded, as the machine may be busy.
#[test]
fn the_highest_rate_is_one_that_held() {
    for kind in [Kind::Stoa(2), Kind::Etcd] {
        let Some(target) = Target::start(kind, &[]).unwrap() else {
            continue;
        };
        let args = ["--workload", "put,get,range", "--value-size", "100,2000"];
        let more = ["--objective", "p50<20s,errors=0", "--max-rate", "400"];
        let (out, json) = search(&target, &[&args[..], &more].concat());
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        assert_eq!(json["met"], true);
        let searches = json["searches"].as_array().unwrap();
        assert_eq!(searches.len(), 6, "each workload with each size");
        for search in searches {
            // 100, 200, 400, and that again for the whole time.
            assert_eq!(search["operations_per_second"], 400.0, "{search}");
            let steps = search["steps"].as_array().unwrap();
            assert_eq!(steps.len(), 4, "{search}");
            let last = steps.last().unwrap();
            assert_eq!(
                (&last["met"], &last["errors"]),
                (&Value::from(true), &Value::from(0))
            );
            assert_eq!(last["operations"], 800, "all that was due in 2 s");
        }
        assert_eq!(keys_left(&target), 0, "its keys are gone");
    }
}

#[test]
fn an_objective_that_nothing_meets_is_said_so() {
    let target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let (out, json) = search(&target, &["--objective", "max<1us", "--first-rate", "4"]);
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    assert_eq!(json["searches"][0]["operations_per_second"], 0.0);
    // One at which this program was late itself may be tried twice.
    let steps = json["searches"][0]["steps"].as_array().unwrap().iter();
    let mut rates: Vec<f64> = steps.map(|step| step["rate"].as_f64().unwrap()).collect();
    rates.dedup();
    assert_eq!(rates, [4.0, 2.0, 1.0]);
    assert_eq!(json["met"], false);
}

#[test]
fn a_question_is_answered_in_words() {
    let target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let common = [
        "--objective",
        "p50<20s,errors=0",
        "--max-rate",
        "200",
        "--question",
    ];
    let ask = |question| search(&target, &[&common[..], &[question]].concat());
    let (out, json) = ask("102 nodes, 3000 pods, 4 changes a second");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    // 10 renewals, 0.34 of status, 2 replaced pods of 19 writes and 4 reads: 56.34 of 200.
    let asked = json["question"]["operations_per_second"].as_f64().unwrap();
    assert!((asked - 56.34).abs() < 0.01, "{asked}");
    let answer = "102 nodes, 3000 pods, 4 changes a second: fits with 71% to spare.";
    assert_eq!(json["question"]["answer"], answer);
    assert!(
        String::from_utf8_lossy(&out.stdout).contains(answer),
        "{out:?}"
    );
    let (out, json) = ask("5000 nodes");
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    assert_eq!(json["question"]["fits"], false);
}

#[test]
fn what_cannot_be_meant_is_refused_in_a_line() {
    for (args, words) in [
        (["--objective", "fast"], "p99<10ms,errors=0"),
        (["--question", "many nodes"], "5000 nodes, 150000 pods"),
        (["--hold", "0s"], "longer than 0s"),
        (
            ["--endpoints", "http://127.0.0.1:1"],
            "cannot connect to 127.0.0.1:1",
        ),
    ] {
        let mut command = Command::new(loadgen().unwrap());
        let out = command.arg("capacity").args(args).output().unwrap();
        assert!(!out.status.success());
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(text.contains(words), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
