//! Who may ask over HTTP/1, as etcd's access control has it: the hosts by whose names the node may
//! be called (which keeps a page of another site from reaching it through a DNS answer of its own
//! making), and the origins whose scripts may read the answers. One for each kind of listener.

use std::collections::BTreeSet;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Response;

/// The word for every host or every origin.
const ALL: &str = "*";

/// What a script is told besides its origin.
const CORS: [(HeaderName, &str); 2] = [
    (
        http::header::ACCESS_CONTROL_ALLOW_HEADERS,
        "accept, content-type, authorization",
    ),
    (
        http::header::ACCESS_CONTROL_ALLOW_METHODS,
        "POST, GET, OPTIONS, PUT, DELETE",
    ),
];

/// The rules of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Origins by their text; none answers no script.
    origins: BTreeSet<String>,
    /// Hosts by their names; none lets everybody in.
    hosts: Option<BTreeSet<String>>,
    /// Whether there is a JSON gateway.
    pub has_gateway: bool,
    /// Whether OPTIONS is answered for every path.
    pub answers_options: bool,
}

impl Access {
    /// The rules of `--cors`, `--host-whitelist` and `--enable-grpc-gateway`.
    pub fn new(origins: &[String], hosts: &[String], has_gateway: bool) -> Self {
        let all = hosts.is_empty() || hosts.iter().any(|host| host == ALL);
        Self {
            origins: origins.iter().cloned().collect(),
            hosts: (!all).then(|| hosts.iter().cloned().collect()),
            has_gateway,
            answers_options: true,
        }
    }

    /// etcd's rules where nothing else is asked for.
    pub fn open() -> Self {
        Self::new(&[ALL.to_owned()], &[], true)
    }

    /// The rules of a listener for pages alone: neither gateway nor scripts, and any name.
    pub fn pages() -> Self {
        Self {
            origins: BTreeSet::new(),
            hosts: None,
            has_gateway: false,
            answers_options: false,
        }
    }

    /// The refusal, if the host that the request names is not among those let in.
    pub fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let hosts = self.hosts.as_ref()?;
        let named = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = without_port(named.unwrap_or_default());
        if hosts.contains(host) {
            return None;
        }
        let text = format!(
            "The name in the Host header, {host:?}, is not one that this node may be called by.\n\
             If it is right, add it to --host-whitelist. The list keeps pages of other sites from \
             reaching\nthe node under a name of theirs (DNS rebinding, CVE-2018-5702).\n"
        );
        Some(Response::text(StatusCode::MISDIRECTED_REQUEST, text).nosniff())
    }

    /// The headers that let a script of the request's origin read the answer.
    pub fn cors(&self, request: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let origin = match self.origins.contains(ALL) {
            true => Some(HeaderValue::from_static(ALL)),
            false => request
                .get(ORIGIN)
                .filter(|origin| origin.to_str().is_ok_and(|o| self.origins.contains(o)))
                .cloned(),
        };
        let Some(origin) = origin else {
            return Vec::new();
        };
        let mut headers: Vec<_> = CORS
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        headers.push((http::header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        headers
    }
}

/// A host's name or address without the port, and then without the brackets of an address: as Go
/// splits the two, which leaves alone what has no port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((address, port)) if !port.contains(']') => {
            match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
                Some(inner) => inner,
                None if address.contains(':') => host,
                None => address,
            }
        }
        _ => host,
    }
}
