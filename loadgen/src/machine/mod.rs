//! What was measured on: host, kernel, processors, memory, versions. What a result needs so that
//! it can be repeated and compared.

pub mod device;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::report::number;

/// The machine that this process runs on. What could not be found out is none.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Its name, where a report was asked to tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The distribution, such as `Debian GNU/Linux 12 (bookworm)`.
    pub system: Option<String>,
    /// The kernel's release, as `uname -r` says.
    pub kernel: String,
    /// The instruction set, such as `x86_64`.
    pub architecture: String,
    /// The processor's name.
    pub cpu_model: Option<String>,
    /// Processors that this process may use.
    pub cpus: usize,
    /// Processors of the machine.
    pub cpus_online: Option<usize>,
    /// Cores of the machine, each counted once however many threads it has.
    pub cores: Option<usize>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Whether it is a virtual machine.
    pub is_virtual: Option<bool>,
    /// What the firmware calls it, such as `KVM` or `PowerEdge R640`.
    pub product: Option<String>,
    /// What sets the clock of the processors; several if they differ.
    pub cpu_governor: Option<String>,
    /// When it was booted, RFC 3339.
    pub booted: Option<String>,
}

/// Words in the firmware's names that only virtual machines have.
const VIRTUAL_PRODUCTS: [&str; 9] = [
    "kvm",
    "qemu",
    "vmware",
    "virtualbox",
    "bochs",
    "xen",
    "virtual machine",
    "google compute engine",
    "openstack",
];

impl Machine {
    /// Reads it.
    #[must_use]
    pub fn read() -> Machine {
        Machine::read_below(Path::new("/"))
    }

    /// Reads `/proc`, `/sys` and `/etc` below `root`; the rest is this process's.
    fn read_below(root: &Path) -> Machine {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let uname = rustix::system::uname();
        let cpuinfo = text("proc/cpuinfo").unwrap_or_default();
        let product = product(text);
        Machine {
            host: None,
            system: text("etc/os-release").as_deref().and_then(pretty_name),
            kernel: uname.release().to_string_lossy().into(),
            architecture: uname.machine().to_string_lossy().into(),
            cpu_model: field(&cpuinfo, "model name").map(str::to_owned),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get()),
            cpus_online: Some(
                cpuinfo
                    .lines()
                    .filter(|line| is_field(line, "processor"))
                    .count(),
            )
            .filter(|&n| n > 0),
            cores: cores(&cpuinfo),
            memory_bytes: text("proc/meminfo").as_deref().and_then(memory),
            is_virtual: is_virtual(&cpuinfo, product.as_deref()),
            product,
            cpu_governor: governors(&root.join("sys/devices/system/cpu")),
            booted: text("proc/stat").as_deref().and_then(booted),
        }
    }

    /// The same with the host's name.
    #[must_use]
    pub fn with_host(mut self) -> Machine {
        let uname = rustix::system::uname();
        self.host = Some(uname.nodename().to_string_lossy().into());
        self
    }

    /// Name and value of all that is known, for people.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let memory = self.memory_bytes.map(number::bytes);
        let kind = match (self.is_virtual, &self.product) {
            (Some(true), Some(product)) => Some(format!("virtual ({product})")),
            (Some(true), None) => Some("virtual".to_owned()),
            (Some(false), Some(product)) => Some(format!("not virtual ({product})")),
            (Some(false), None) => Some("not virtual".to_owned()),
            (None, product) => product.clone(),
        };
        let usable = self.cpus_online.map_or(self.cpus.to_string(), |online| {
            format!("{} of {online}", self.cpus)
        });
        let facts = [
            ("Host", self.host.clone()),
            ("System", self.system.clone()),
            (
                "Kernel",
                Some(format!("{} {}", self.kernel, self.architecture)),
            ),
            ("Processor", self.cpu_model.clone()),
            ("Processors used", Some(usable)),
            ("Cores", self.cores.map(|cores| cores.to_string())),
            ("Memory", memory),
            ("Machine", kind),
            ("CPU governor", self.cpu_governor.clone()),
            ("Booted", self.booted.clone()),
        ];
        let known = |(name, value): (_, Option<String>)| value.map(|value| (name, value));
        facts.into_iter().filter_map(known).collect()
    }
}

fn is_field(line: &str, name: &str) -> bool {
    line.split(':').next().is_some_and(|key| key.trim() == name)
}

/// The first value of `name` in text of the form `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| is_field(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn pretty_name(os_release: &str) -> Option<String> {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

/// A core is a pair of package and core in the package.
fn cores(cpuinfo: &str) -> Option<usize> {
    let processors = cpuinfo.split("\n\n");
    let pair = |text: &str| {
        let package = field(text, "physical id")?.to_owned();
        Some((package, field(text, "core id")?.to_owned()))
    };
    let cores: BTreeSet<_> = processors.filter_map(pair).collect();
    Some(cores.len()).filter(|&n| n > 0)
}

fn memory(meminfo: &str) -> Option<u64> {
    let kib = field(meminfo, "MemTotal")?.strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn booted(stat: &str) -> Option<String> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let since = Duration::from_secs(seconds.trim().parse().ok()?);
    // A clock that was never set is a date too far away to be written.
    let at = UNIX_EPOCH
        .checked_add(since)
        .filter(|_| since.as_secs() < 1 << 36)?;
    Some(humantime::format_rfc3339_seconds(at).to_string())
}

/// Maker and product of x86 firmware, or the model of a device tree.
fn product(text: impl Fn(&str) -> Option<String>) -> Option<String> {
    let dmi = |name: &str| text(&format!("sys/class/dmi/id/{name}"));
    let parts = [dmi("sys_vendor"), dmi("product_name")];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|p| p.trim().to_owned())
        .collect();
    let named = parts.join(" ");
    if !named.trim().is_empty() {
        return Some(named.trim().to_owned());
    }
    let model = text("proc/device-tree/model")?;
    Some(model.trim_end_matches('\0').trim().to_owned())
}

/// x86 processors say it; elsewhere the firmware may, and else nobody does.
fn is_virtual(cpuinfo: &str, product: Option<&str>) -> Option<bool> {
    let product = product.map(str::to_lowercase);
    if product.is_some_and(|p| VIRTUAL_PRODUCTS.iter().any(|word| p.contains(word))) {
        return Some(true);
    }
    let flags = field(cpuinfo, "flags")?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

fn governors(cpus: &Path) -> Option<String> {
    let entries = std::fs::read_dir(cpus).ok()?.flatten();
    let of = |dir: &Path| std::fs::read_to_string(dir.join("cpufreq/scaling_governor")).ok();
    let all = entries.filter_map(|entry| of(&entry.path()));
    let all: BTreeSet<String> = all.map(|text| text.trim().to_owned()).collect();
    let all = all.into_iter().collect::<Vec<_>>().join(", ");
    Some(all).filter(|all| !all.is_empty())
}
