//! Tests against made-up `/proc`, `/sys` and `/etc`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::Machine;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

const CPU: &str = "processor\t: 0\nmodel name\t: Fast CPU 9000\nphysical id\t: 0\n\
core id\t\t: 0\nflags\t\t: fpu vme\n\nprocessor\t: 1\nmodel name\t: Fast CPU 9000\n\
physical id\t: 0\ncore id\t\t: 0\nflags\t\t: fpu vme\n\nprocessor\t: 2\n\
physical id\t: 1\ncore id\t\t: 0\n";

#[test]
fn a_bare_machine_is_described() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "proc/cpuinfo", CPU);
    put(
        root,
        "proc/meminfo",
        "MemTotal:       16384 kB\nMemFree: 1 kB\n",
    );
    put(root, "proc/stat", "cpu 1 2\nbtime 1700000000\n");
    put(
        root,
        "etc/os-release",
        "NAME=x\nPRETTY_NAME=\"Some Linux 1\"\n",
    );
    put(root, "sys/class/dmi/id/sys_vendor", "Maker\n");
    put(root, "sys/class/dmi/id/product_name", "Model 7\n");
    for (cpu, governor) in [("cpu0", "powersave\n"), ("cpu1", "performance\n")] {
        let path = format!("sys/devices/system/cpu/{cpu}/cpufreq/scaling_governor");
        put(root, &path, governor);
    }
    let machine = Machine::read_below(root);
    assert_eq!(machine.cpu_model.as_deref(), Some("Fast CPU 9000"));
    assert_eq!((machine.cpus_online, machine.cores), (Some(3), Some(2)));
    assert_eq!(machine.memory_bytes, Some(16 << 20));
    assert_eq!(machine.system.as_deref(), Some("Some Linux 1"));
    assert_eq!(machine.is_virtual, Some(false));
    assert_eq!(machine.product.as_deref(), Some("Maker Model 7"));
    assert_eq!(
        machine.cpu_governor.as_deref(),
        Some("performance, powersave")
    );
    assert_eq!(machine.booted.as_deref(), Some("2023-11-14T22:13:20Z"));
}

#[test]
fn a_virtual_machine_is_known_by_its_processor_or_its_firmware() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "proc/cpuinfo", "flags : fpu hypervisor\n");
    assert_eq!(Machine::read_below(root.path()).is_virtual, Some(true));
    let root = tempfile::tempdir().unwrap();
    put(
        root.path(),
        "sys/class/dmi/id/product_name",
        "Standard PC (QEMU)\n",
    );
    assert_eq!(Machine::read_below(root.path()).is_virtual, Some(true));
}

#[test]
fn what_is_not_there_is_not_told() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::read_below(root.path());
    assert_eq!(machine.is_virtual, None);
    assert_eq!(machine.memory_bytes, None);
    assert!(machine.cpus > 0 && !machine.kernel.is_empty());
    let names: Vec<_> = machine.facts().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["Kernel", "Processors used"]);
}

#[test]
fn the_host_is_named_only_on_request() {
    let named = |machine: &Machine| serde_json::to_value(machine).unwrap().get("host").is_some();
    assert!(!named(&Machine::read()));
    assert!(named(&Machine::read().with_host()));
}
