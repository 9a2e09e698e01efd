//! What `stoa-loadgen`'s HTML report looks like in a real browser: headless Chromium renders a
//! report of made-up data at the width of a phone and of a desktop. A script that only the test
//! adds measures where everything lies; pictures are kept for people to look at.
#![allow(clippy::unwrap_used)]

#[path = "loadgen_report/browser.rs"]
mod browser;
#[path = "loadgen_report/sample.rs"]
mod sample;

use std::process::Command;

use browser::{Browser, Scheme};
use tests::node::loadgen;
use tests::target::disk_dir;

/// Pixels of a phone, of a window that is just wide enough for the large plots, and of a desktop.
const WIDTHS: [u32; 3] = [375, 841, 1280];

#[test]
fn a_report_is_readable_on_a_phone_and_on_a_desktop() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let html = sample::report().html(&sample::run()).unwrap();
    for width in WIDTHS {
        // First, so that one can see what the measuring complains of.
        for scheme in [Scheme::Light, Scheme::Dark] {
            browser.picture("report", &html, width, scheme);
        }
        let found = browser.measure("report", &html, width);
        assert_eq!(found, Vec::<String>::new(), "at {width} px");
    }
}

#[test]
fn long_names_and_extreme_values_break_no_report() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let html = sample::extreme().html(&sample::run()).unwrap();
    for width in WIDTHS {
        browser.picture("extreme", &html, width, Scheme::Light);
        let found = browser.measure("extreme", &html, width);
        assert_eq!(found, Vec::<String>::new(), "at {width} px");
    }
}

/// What a real run writes: of two directories, so that everything stands side by side.
#[test]
fn a_report_of_real_disks_is_readable_on_a_phone_and_on_a_desktop() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let out = tempfile::tempdir_in(disk_dir()).unwrap();
    let html = out.path().join("disk.html");
    let mut command = Command::new(loadgen().unwrap());
    command
        .args(["disk", "--duration", "2s", "--html"])
        .arg(&html);
    for _ in 0..2 {
        command.arg("--dir").arg(out.path());
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Whatever its verdict on a busy machine is.
    let is_judged = matches!(output.status.code(), Some(0 | 3));
    assert!(is_judged, "{}: {said}", output.status);
    let html = std::fs::read_to_string(html).unwrap();
    for width in WIDTHS {
        browser.picture("disk", &html, width, Scheme::Light);
        let found = browser.measure("disk", &html, width);
        assert_eq!(found, Vec::<String>::new(), "at {width} px");
    }
}

/// A measuring script that finds nothing proves nothing unless it finds what is there.
#[test]
fn the_measuring_sees_what_is_wrong() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let html = sample::report().html(&sample::run()).unwrap();
    let broken = |from: &str, to: &str| {
        assert!(html.contains(from), "{from}");
        browser.measure("broken", &html.replace(from, to), 375)
    };
    let sees = |found: Vec<String>, word: &str| {
        assert!(
            found.iter().any(|line| line.contains(word)),
            "{word}: {found:?}"
        );
    };
    let text = "text-anchor=\"end\">percentile<";
    sees(
        broken(text, "text-anchor=\"start\">percentile<"),
        "outside its plot",
    );
    sees(
        broken(".scroll { overflow-x: auto;", ".scroll {"),
        "wider than the screen",
    );
    sees(
        broken(
            "svg text { font",
            "svg text { stroke-width: 0; } svg .tick { transform: \
        translateX(30px) scale(1.6); } svg text { font",
        ),
        "overlaps",
    );
    sees(
        broken(".narrow { display: block; }", ".narrow { display: none; }"),
        "shows no plot",
    );
    let twice = ".wide { display: none; }";
    sees(broken(twice, ""), "too small");
}
