//! The pages beside gRPC: health, liveness, readiness, version, metrics, as etcd's
//! (`server/etcdserver/api/etcdhttp`). One per core; every core answers for the node.

use std::rc::Rc;
use std::time::Duration;

use engine::env::Env;
use engine::keys::KeyRange;
use engine::shard::core::Core;
use engine::shard::request::RangeRequest;
use http::{Method, StatusCode};

use super::access::Access;
use super::publish::{self, Published};
use super::{Handler, Request, Response};
use crate::api::Api;
use crate::config::version;
use crate::grpc::conn::Node;
use crate::metrics::Metrics;
use crate::net::time::Time;
use crate::runtime::listen::LocalTime;
use crate::runtime::watchdog::StallCounts;

/// How often a core publishes what it counted.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

/// The pages of one core.
pub struct Pages<E: Env> {
    core: Rc<Core<E>>,
    metrics: Metrics,
    node: Rc<Node<Api<E>, LocalTime>>,
    published: Published,
    access: Access,
}

impl<E: Env> Pages<E> {
    /// Pages over a core and what its gRPC side counts.
    pub fn new(
        core: Rc<Core<E>>,
        metrics: Metrics,
        node: Rc<Node<Api<E>, LocalTime>>,
        stalls: StallCounts,
        access: Access,
    ) -> Self {
        publish::time_log(&core, &metrics);
        Self {
            core,
            metrics,
            node,
            published: Published::new(stalls),
            access,
        }
    }

    /// Publishes this core's counters now and then, for ever.
    pub async fn publish(self: Rc<Self>) {
        loop {
            self.publish_now().await;
            self.node.time.sleep(PUBLISH_EVERY).await;
        }
    }

    async fn publish_now(&self) {
        self.published
            .publish(&self.core, &self.metrics, &self.node.counters)
            .await;
    }

    async fn read(&self, serializable: bool) -> Result<(), String> {
        let mut request = RangeRequest::all(KeyRange::One("health".into()));
        request.serializable = serializable;
        request.limit = 1;
        self.core
            .range(request)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// etcd's `/health`: alarms, then a leader, then a read.
    async fn health(&self, query: &str) -> Response {
        let has = |wanted: &str| query.split('&').any(|pair| pair == wanted);
        let serializable = has("serializable=true");
        let reason = self
            .unhealthy(serializable, |alarm| has(&format!("exclude={alarm}")))
            .await;
        // Bumped wherever the check was asked for: a few lost counts do not matter here.
        let (status, health) = match reason {
            None => {
                self.metrics.node().health_success.inc();
                (StatusCode::OK, "true")
            }
            Some(_) => {
                self.metrics.node().health_failures.inc();
                (StatusCode::SERVICE_UNAVAILABLE, "false")
            }
        };
        let body = serde_json::json!({ "health": health, "reason": reason.unwrap_or_default() });
        Response::json(status, body.to_string())
    }

    async fn unhealthy(
        &self,
        serializable: bool,
        exclude: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match self.core.alarms().await {
            Err(error) => return Some(format!("ALARM ERROR:{error}")),
            Ok(alarms) => {
                for (_, kind) in alarms {
                    let name = match kind {
                        1 => "NOSPACE",
                        2 => "CORRUPT",
                        _ => "UNKNOWN",
                    };
                    if !exclude(name) {
                        return Some(format!("ALARM {name}"));
                    }
                }
            }
        }
        if !serializable && !self.core.desk().order.is_open() {
            return Some("RAFT NO LEADER".to_owned());
        }
        self.read(serializable)
            .await
            .err()
            .map(|error| format!("RANGE ERROR:{error}"))
    }

    /// `/livez` and `/readyz` with their checks.
    async fn checks(&self, names: &[&'static str], query: &str) -> Response {
        let mut lines = String::new();
        let mut failed = false;
        for name in names {
            if query
                .split('&')
                .any(|pair| pair == format!("exclude={name}"))
            {
                continue;
            }
            match self.check(name).await {
                Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
                Err(error) => {
                    failed = true;
                    lines.push_str(&format!("[-]{name} failed: {error}\n"));
                }
            }
        }
        let verbose = query
            .split('&')
            .any(|pair| pair == "verbose" || pair == "verbose=true");
        match (failed, verbose) {
            (true, _) => Response::text(StatusCode::SERVICE_UNAVAILABLE, lines),
            (false, true) => Response::text(StatusCode::OK, format!("{lines}ok\n")),
            (false, false) => Response::text(StatusCode::OK, "ok\n"),
        }
    }

    async fn check(&self, name: &str) -> Result<(), String> {
        match name {
            "serializable_read" => self.read(true).await,
            "linearizable_read" => self.read(false).await,
            "data_corruption" => {
                let alarms = self
                    .core
                    .alarms()
                    .await
                    .map_err(|error| error.to_string())?;
                match alarms.iter().any(|(_, kind)| *kind == 2) {
                    true => Err("alarm activated: CORRUPT".to_owned()),
                    false => Ok(()),
                }
            }
            // A node that votes is no learner, and there are no others.
            _ => Ok(()),
        }
    }

    /// What etcd shows by Go's `expvar`, but for Go's own `memstats`.
    async fn variables(&self) -> Response {
        let arguments: Vec<String> = std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let status = match self.core.status().await {
            Ok(status) => status,
            Err(error) => {
                let text = format!("{error}\n");
                return Response::text(StatusCode::SERVICE_UNAVAILABLE, text);
            }
        };
        let member = self.core.about().member;
        let leads = status.leader == member;
        let body = serde_json::json!({
            "cmdline": arguments,
            "file_descriptor_limit": files.current,
            "raft.status": {
                "id": format!("{member:x}"),
                "term": status.raft_term,
                "commit": status.raft_index,
                "applied": status.raft_applied_index,
                "lead": format!("{:x}", status.leader),
                "raftState": if leads { "StateLeader" } else { "StateFollower" },
            },
        });
        Response::json(StatusCode::OK, body.to_string())
    }

    async fn metrics_page(&self) -> Response {
        self.publish_now().await;
        let page = self.metrics.render();
        Response::new(StatusCode::OK, crate::metrics::CONTENT_TYPE, page)
    }
}

/// The checks of `/readyz`.
const READY: [&str; 4] = [
    "data_corruption",
    "serializable_read",
    "linearizable_read",
    "non_learner",
];

impl<E: Env> Handler for Pages<E> {
    fn access(&self) -> &Access {
        &self.access
    }

    async fn handle(&self, request: Request) -> Response {
        if !is_page(&request.path) {
            return Response::not_found();
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        }
        let query = request.query.as_str();
        match request.path.as_str() {
            "/health" => self.health(query).await,
            "/livez" => self.checks(&["serializable_read"], query).await,
            "/readyz" => self.checks(&READY, query).await,
            "/version" => Response::json(StatusCode::OK, version_page()),
            "/metrics" => self.metrics_page().await,
            "/debug/vars" => self.variables().await,
            path => match path.rsplit_once('/') {
                Some(("/livez", "serializable_read")) => {
                    self.checks(&["serializable_read"], query).await
                }
                Some(("/readyz", name)) => match READY.iter().find(|known| **known == name) {
                    Some(known) => self.checks(&[known], query).await,
                    None => Response::not_found(),
                },
                _ => Response::not_found(),
            },
        }
    }
}

/// The same pages on a listener for nothing else.
pub struct PagesAlone<E: Env> {
    pages: Rc<Pages<E>>,
    access: Access,
}

impl<E: Env> PagesAlone<E> {
    /// The pages of a core, to be asked for from anywhere.
    pub fn new(pages: Rc<Pages<E>>) -> Self {
        let access = Access::pages();
        Self { pages, access }
    }
}

impl<E: Env> Handler for PagesAlone<E> {
    fn access(&self) -> &Access {
        &self.access
    }

    async fn handle(&self, request: Request) -> Response {
        self.pages.handle(request).await
    }
}

/// Whether a path is a page, or may be one with a check of its own.
fn is_page(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    ["health", "livez", "readyz", "version", "metrics"].contains(&first) || path == "/debug/vars"
}

fn version_page() -> String {
    serde_json::json!({
        "etcdserver": version::ETCD,
        "etcdcluster": version::ETCD_CLUSTER,
        "storage": version::ETCD_CLUSTER,
        "stoa": version::OWN,
    })
    .to_string()
}
