//! gRPC calls by method and code, under the names of grpc-go's Prometheus interceptor. The gRPC
//! server bumps them by the index of the method in the list given at the start.

use super::cell::Counter;
use super::page::Page;

/// A method as the labels name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodLabels {
    /// `etcdserverpb.KV`.
    pub service: &'static str,
    /// `Range`.
    pub method: &'static str,
    /// `unary`, `client_stream`, `server_stream` or `bidi_stream`.
    pub kind: &'static str,
}

/// Names of the codes 0 to 16, as grpc-go spells them.
pub const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const UNKNOWN: usize = 2;

/// One core's calls.
#[derive(Debug)]
pub struct GrpcMetrics {
    labels: &'static [MethodLabels],
    methods: Vec<MethodCounters>,
}

#[derive(Debug, Default)]
struct MethodCounters {
    started: Counter,
    received: Counter,
    sent: Counter,
    handled: [Counter; CODES.len()],
}

impl GrpcMetrics {
    /// Zeroes for these methods.
    pub fn new(labels: &'static [MethodLabels]) -> Self {
        Self {
            labels,
            methods: labels.iter().map(|_| MethodCounters::default()).collect(),
        }
    }

    /// `by` calls of the method with this index began. An index outside the list counts nothing.
    pub fn started(&self, method: usize, by: u64) {
        if let Some(counters) = self.methods.get(method) {
            counters.started.add(by);
        }
    }

    /// `by` calls ended with this code; a number that is no code counts as Unknown.
    pub fn handled(&self, method: usize, code: u32, by: u64) {
        if let Some(counters) = self.methods.get(method) {
            let code = usize::try_from(code).unwrap_or(UNKNOWN);
            counters
                .handled
                .get(code)
                .unwrap_or(&counters.handled[UNKNOWN])
                .add(by);
        }
    }

    /// `by` messages came in.
    pub fn message_received(&self, method: usize, by: u64) {
        if let Some(counters) = self.methods.get(method) {
            counters.received.add(by);
        }
    }

    /// `by` messages went out.
    pub fn message_sent(&self, method: usize, by: u64) {
        if let Some(counters) = self.methods.get(method) {
            counters.sent.add(by);
        }
    }
}

/// Writes the calls of all cores together. Methods nobody called are shown as zero, so that a
/// rate over them exists; codes that never came up are left out, except OK.
pub fn render<'a>(cores: impl Iterator<Item = &'a GrpcMetrics> + Clone, page: &mut Page) {
    let Some(labels) = cores.clone().next().map(|core| core.labels) else {
        return;
    };
    type Pick = fn(&MethodCounters) -> &Counter;
    let plain: [(&str, &str, Pick); 3] = [
        ("grpc_server_started_total", "Calls begun.", |m| &m.started),
        (
            "grpc_server_msg_received_total",
            "Messages received.",
            |m| &m.received,
        ),
        ("grpc_server_msg_sent_total", "Messages sent.", |m| &m.sent),
    ];
    for (name, help, pick) in plain {
        page.head(name, help, "counter");
        for (i, method) in labels.iter().enumerate() {
            let sum: u64 = cores.clone().map(|core| pick(&core.methods[i]).get()).sum();
            page.sample(name, &method.pairs(), sum);
        }
    }
    let name = "grpc_server_handled_total";
    page.head(name, "Calls ended, whatever their code.", "counter");
    for (i, method) in labels.iter().enumerate() {
        for (code, code_name) in CODES.iter().enumerate() {
            let sum: u64 = cores
                .clone()
                .map(|core| core.methods[i].handled[code].get())
                .sum();
            if sum > 0 || code == 0 {
                let [kind, service, name_of_method] = method.pairs();
                page.sample(
                    name,
                    &[("grpc_code", code_name), name_of_method, service, kind],
                    sum,
                );
            }
        }
    }
}

impl MethodLabels {
    fn pairs(&self) -> [(&str, &str); 3] {
        [
            ("grpc_type", self.kind),
            ("grpc_service", self.service),
            ("grpc_method", self.method),
        ]
    }
}
