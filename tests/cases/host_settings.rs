//! `tuning/host/check`, which compares a host with the settings for Stoa: on made-up hosts whose
//! /proc, /sys and /etc are below a temporary directory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::skip;

fn directory() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("tuning/host")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap()
}

/// A host as it comes: eight processors, the first core with threads 0 and 4, a network card.
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new() -> Host {
        let host = Host {
            root: tempfile::tempdir().unwrap(),
        };
        for (name, value) in [
            ("kernel/io_uring_disabled", "2"),
            ("vm/swappiness", "60"),
            ("vm/dirty_background_bytes", "0"),
            ("vm/dirty_bytes", "0"),
            ("kernel/numa_balancing", "1"),
            ("net/core/somaxconn", "128"),
            ("net/ipv4/tcp_max_syn_backlog", "4096"),
            ("net/ipv4/tcp_slow_start_after_idle", "1"),
        ] {
            host.put(&format!("proc/sys/{name}"), value);
        }
        host.put(
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
        );
        host.processors(8);
        let cpu0 = "sys/devices/system/cpu/cpu0/topology/thread_siblings_list";
        host.put(cpu0, "0,4");
        for (irq, processors) in [(30, "5"), (31, "0"), (32, "0-7")] {
            host.put(&format!("sys/class/net/eth0/device/msi_irqs/{irq}"), "msix");
            host.put(&format!("proc/irq/{irq}/smp_affinity_list"), processors);
        }
        // An interrupt of a disk, which is nobody's to move.
        host.put("proc/irq/40/smp_affinity_list", "3");
        host
    }

    fn processors(&self, count: usize) {
        let all = "sys/devices/system/cpu";
        self.put(&format!("{all}/online"), &format!("0-{}", count - 1));
        let _ = std::fs::remove_dir_all(self.path(&format!("{all}/cpu{count}")));
        for cpu in 0..count {
            self.put(
                &format!("{all}/cpu{cpu}/cpufreq/scaling_governor"),
                "powersave",
            );
            self.put(
                &format!("{all}/cpu{cpu}/power/pm_qos_resume_latency_us"),
                "0",
            );
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Every file and what is in it.
    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut directories = vec![self.root.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    all.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        all
    }

    /// Exit code and what was said, with `answer` on standard input.
    fn check(&self, options: &[&str], answer: &str) -> (i32, String) {
        let mut child = Command::new(directory().join("check"))
            .arg("--root")
            .arg(self.root.path())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not read it.
        let _ = child.stdin.take().unwrap().write_all(answer.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }
}

#[test]
fn what_differs_is_shown_and_nothing_is_changed() {
    let host = Host::new();
    let before = host.everything();
    let (code, said) = host.check(&[], "y\n");
    assert_eq!(code, 1, "{said}");
    for line in [
        "differs  kernel.io_uring_disabled is 2, wanted 0",
        "differs  vm.swappiness is 60, wanted 1",
        "differs  net.core.somaxconn is 128, wanted 1024",
        "differs  /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor is powersave, \
         wanted performance (8 times)",
        "differs  /sys/kernel/mm/transparent_hugepage/enabled is always, wanted madvise",
        "differs  interrupt 30 of eth0 is 5, wanted 0,4",
        "differs  interrupt 32 of eth0 is 0-7, wanted 0,4",
        "missing  /etc/sysctl.d/90-stoa.conf",
        "missing  /etc/systemd/system/stoa.service.d/cpus.conf",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in\n{said}");
    }
    // More than enough is enough, and an interrupt that is where it should be stays.
    assert!(
        !said.contains("tcp_max_syn_backlog") && !said.contains("interrupt 31"),
        "{said}"
    );
    assert_eq!(host.everything(), before);
}

#[test]
fn what_differs_is_changed_when_it_is_told_so() {
    let host = Host::new();
    let (code, said) = host.check(&["--apply", "--yes"], "");
    assert_eq!(code, 0, "{said}");
    assert_eq!(host.read("proc/sys/vm/swappiness"), "1");
    assert_eq!(host.read("proc/sys/net/ipv4/tcp_max_syn_backlog"), "4096");
    for cpu in 0..8 {
        let governor = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
        assert_eq!(host.read(&governor), "performance");
    }
    let affinity = |irq: u32| host.read(&format!("proc/irq/{irq}/smp_affinity_list"));
    assert_eq!([30, 31, 32, 40].map(affinity), ["0,4", "0", "0,4", "3"]);
    assert_eq!(
        host.read("etc/systemd/system/stoa.service"),
        text("stoa.service").trim()
    );
    let pinned = host.read("etc/systemd/system/stoa.service.d/cpus.conf");
    assert!(
        pinned.ends_with("[Service]\nCPUAffinity=1-3,5-7"),
        "{pinned}"
    );
    // What may be more is not written down, where it would be made less at boot.
    let sysctl = host.read("etc/sysctl.d/90-stoa.conf");
    assert!(sysctl.contains("\nvm.swappiness = 1\n") && !sysctl.contains("net.core.somaxconn ="));
    assert_eq!(host.read("proc/sys/net/core/somaxconn"), "1024");
    // At every boot the same script says it again.
    let again = host.read("etc/systemd/system/stoa-host.service");
    let line = format!(
        "ExecStart={}/check --live --apply --yes",
        directory().display()
    );
    assert!(again.contains(&line), "{again}");
    let changed = host.everything();
    assert_eq!(host.check(&[], ""), (0, "Nothing differs.\n".to_owned()));
    assert_eq!(host.check(&["--live", "--apply", "--yes"], "").0, 0);
    assert_eq!(host.everything(), changed);
}

#[test]
fn a_question_is_asked_first_and_no_answer_is_a_no() {
    let host = Host::new();
    let before = host.everything();
    for answer in ["n\n", "", "\n", "what?\n"] {
        let (code, said) = host.check(&["--apply"], answer);
        assert!(
            code == 1 && said.ends_with("Nothing was changed.\n"),
            "{code} {said}"
        );
        assert_eq!(host.everything(), before);
    }
    assert_eq!(host.check(&["--apply"], "y\n").0, 0);
    assert_eq!(host.read("proc/sys/vm/swappiness"), "1");
}

#[test]
fn a_boot_sets_what_the_kernel_holds_and_writes_no_file() {
    let host = Host::new();
    let (code, said) = host.check(&["--live", "--apply", "--yes"], "");
    assert_eq!(code, 0, "{said}");
    assert_eq!(host.read("proc/sys/vm/swappiness"), "1");
    assert!(!host.path("etc").exists());
}

#[test]
fn few_processors_are_not_given_away() {
    let host = Host::new();
    std::fs::remove_dir_all(host.path("sys/devices/system/cpu")).unwrap();
    host.processors(4);
    let (_, said) = host.check(&[], "");
    assert!(
        !said.contains("interrupt") && !said.contains("cpus.conf"),
        "{said}"
    );
    // But on request.
    let (code, said) = host.check(&["--irq-cpus", "3", "--apply", "--yes"], "");
    assert_eq!(code, 0, "{said}");
    assert_eq!(host.read("proc/irq/30/smp_affinity_list"), "3");
    let pinned = host.read("etc/systemd/system/stoa.service.d/cpus.conf");
    assert!(pinned.ends_with("CPUAffinity=0-2"), "{pinned}");
}

#[test]
fn what_the_host_does_not_have_is_passed_over() {
    let host = Host::new();
    std::fs::remove_dir_all(host.path("proc/sys")).unwrap();
    std::fs::remove_dir_all(host.path("sys/kernel")).unwrap();
    let (_, said) = host.check(&[], "");
    assert!(
        !said.contains("vm.") && !said.contains("hugepage"),
        "{said}"
    );
    let (_, said) = host.check(&["--all"], "");
    assert!(said.contains("absent   vm.swappiness"), "{said}");
}

#[test]
fn a_file_of_somebody_else_is_left_alone() {
    let host = Host::new();
    assert_eq!(host.check(&["--apply", "--yes"], "").0, 0);
    let unit = "etc/systemd/system/stoa.service";
    host.put(unit, "[Service]\nExecStart=/opt/stoa");
    for options in [&[][..], &["--apply", "--yes"]] {
        let (code, said) = host.check(options, "");
        assert_eq!(code, 1, "{said}");
        let line = "other    /etc/systemd/system/stoa.service is there with other content";
        assert!(said.contains(line), "{said}");
        assert_eq!(host.read(unit), "[Service]\nExecStart=/opt/stoa");
    }
}

#[test]
fn what_cannot_be_changed_is_named_and_holds_up_nothing() {
    let host = Host::new();
    // The kernel refuses to move some interrupts; so does this file of its refuse to be written.
    let refusing = host.path("proc/irq/30/smp_affinity_list");
    std::fs::remove_file(&refusing).unwrap();
    symlink("/proc/sys/kernel/ostype", &refusing).unwrap();
    let (code, said) = host.check(&["--apply", "--yes"], "");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("failed   interrupt 30 of eth0"), "{said}");
    assert_eq!(host.read("proc/irq/32/smp_affinity_list"), "0,4");
    assert!(host.path("etc/systemd/system/stoa.service").exists());
}

#[test]
fn a_program_that_moves_interrupts_back_is_told_of() {
    let host = Host::new();
    assert!(!host.check(&[], "").1.contains("irqbalance"));
    host.put("proc/1234/comm", "irqbalance");
    assert!(host.check(&[], "").1.contains("irqbalance runs"));
}

#[test]
fn a_wrong_call_is_explained_in_one_line() {
    let host = Host::new();
    let before = host.everything();
    for (options, what) in [
        (&["--aply"][..], "unknown option --aply"),
        (&["--irq-cpus"], "--irq-cpus needs a value"),
        (
            &["--irq-cpus", "first", "--apply", "--yes"],
            "no list of processors: first",
        ),
        (
            &["--irq-cpus", "0-7", "--apply", "--yes"],
            "leaves no processor for Stoa",
        ),
        (
            &["--root", "/nowhere"],
            "there is no /proc and /sys below /nowhere",
        ),
    ] {
        let (code, said) = host.check(options, "");
        assert_eq!((code, said.lines().count()), (2, 1), "{options:?}: {said}");
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(host.everything(), before);
}

#[test]
fn every_setting_says_what_it_changes_and_why() {
    for name in ["sysctl.conf", "sysfs.conf", "cpus.conf"] {
        let text = text(name);
        for block in text.split("\n\n").filter(|block| block.contains(" = ")) {
            let comment = block.lines().filter(|line| line.starts_with("# "));
            let words = comment
                .map(|line| line.split_whitespace().count())
                .sum::<usize>();
            assert!(words > 15, "{name}: {block}");
        }
    }
}

#[test]
fn the_unit_restarts_after_the_codes_that_the_documents_name() {
    let root = directory().join("../..");
    let documents = std::fs::read_to_string(root.join("docs/exit-codes.md")).unwrap();
    let (_, rest) = documents.split_once("`RestartPreventExitStatus=").unwrap();
    let (codes, _) = rest.split_once('`').unwrap();
    let line = format!("\nRestartPreventExitStatus={codes}\n");
    assert!(text("stoa.service").contains(&line), "{line}");
}

#[test]
fn systemd_understands_the_units() {
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).output();
        output.ok().map(|output| {
            let said = [&output.stdout[..], &output.stderr].concat();
            (output.status.success(), String::from_utf8(said).unwrap())
        })
    };
    if analyze(&["--version"]).is_none() {
        skip::skip("no systemd-analyze found (Debian's package systemd)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // What the units start is not on this machine, and is not what is looked at.
    let units = [
        ("stoa.service", "/usr/local/bin/stoa"),
        ("stoa-host.service", "@HERE@/check"),
    ];
    for (name, program) in units {
        let unit = text(name);
        assert!(unit.contains(program), "{name}");
        let path = dir.path().join(name);
        std::fs::write(&path, unit.replace(program, "/bin/true")).unwrap();
        let verdict = analyze(&["verify", path.to_str().unwrap()]).unwrap();
        assert_eq!(verdict, (true, String::new()), "{name}");
    }
    let (_, allowed) = analyze(&["syscall-filter", "@aio"]).unwrap();
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        assert!(
            allowed.contains(call) && text("stoa.service").contains(call),
            "{call}"
        );
    }
}
