//! Counts calls and bytes of one core, for the metrics page. `call`, `stream` and `net` count,
//! `metrics` reads. Plain cells: nothing here is shared between cores.

use std::cell::Cell;

use super::method::Method;
use super::status::Code;

/// What happened to one method.
#[derive(Debug)]
pub struct MethodCounters {
    /// Calls begun.
    pub started: Cell<u64>,
    /// Messages received.
    pub received: Cell<u64>,
    /// Messages sent.
    pub sent: Cell<u64>,
    handled: [Cell<u64>; Code::ALL.len()],
}

impl MethodCounters {
    /// Calls ended with `code`.
    pub fn handled(&self, code: Code) -> u64 {
        self.handled[code as usize].get()
    }
}

/// Counters of one core.
#[derive(Debug)]
pub struct Counters {
    methods: Vec<MethodCounters>,
    /// Bytes of messages received.
    pub received_bytes: Cell<u64>,
    /// Bytes of messages sent.
    pub sent_bytes: Cell<u64>,
    /// Connections open now.
    pub connections: Cell<u64>,
    /// Connections taken since the start.
    pub connections_total: Cell<u64>,
    /// Connections closed at once because there were too many.
    pub connections_refused: Cell<u64>,
}

/// Adds to a cell.
pub fn bump(cell: &Cell<u64>, by: u64) {
    cell.set(cell.get().wrapping_add(by));
}

impl Default for Counters {
    fn default() -> Self {
        let zero = || MethodCounters {
            started: Cell::default(),
            received: Cell::default(),
            sent: Cell::default(),
            handled: std::array::from_fn(|_| Cell::default()),
        };
        Self {
            methods: Method::ALL.iter().map(|_| zero()).collect(),
            received_bytes: Cell::default(),
            sent_bytes: Cell::default(),
            connections: Cell::default(),
            connections_total: Cell::default(),
            connections_refused: Cell::default(),
        }
    }
}

impl Counters {
    /// Counters of one method.
    pub fn method(&self, method: Method) -> &MethodCounters {
        &self.methods[method as usize]
    }

    /// All methods, in order.
    pub fn rows(&self) -> impl Iterator<Item = (Method, &MethodCounters)> {
        Method::ALL.iter().copied().zip(&self.methods)
    }

    pub(super) fn finish(&self, method: Method, code: Code) {
        bump(&self.method(method).handled[code as usize], 1);
    }
}
