//! Where the cores meet while the node starts: core 0 reads the disk and deals out the shares,
//! gathers what every core found, and says when to begin and when to serve. Also carries the
//! word to take leave of the clients, and to stop when all cores have.

use engine::shard::boot::{Beginning, CoreImage, Report};
use flume::{Receiver, Sender};

/// Room in each queue: more words than any core is ever sent before it takes one.
const ROOM: usize = 4096;

/// What core 0 says, in this order.
#[derive(Debug)]
pub(super) enum Word {
    /// This core's share of what is on the disk.
    Share(Box<CoreImage>),
    /// What exists: stage it and run.
    Begin(Beginning),
    /// The order is open.
    Serve,
    /// No core has clients any more.
    Stop,
}

/// One core's seat at the meeting.
pub(super) struct Seat {
    /// From core 0.
    pub words: Receiver<Word>,
    /// To core 0: what was found, once prepared.
    pub report: Sender<Report>,
    /// To core 0: this core runs.
    pub running: Sender<()>,
    /// To the node: this core listens.
    pub serving: Sender<()>,
    /// The word to take leave.
    pub stop: Receiver<()>,
    /// To core 0: this core has no clients any more.
    pub left: Sender<()>,
    /// Core 0's side.
    pub chair: Option<Chair>,
}

/// Core 0's side.
pub(super) struct Chair {
    /// To each core.
    pub words: Vec<Sender<Word>>,
    /// From every core.
    pub reports: Receiver<Report>,
    /// From every core.
    pub running: Receiver<()>,
    /// From every core.
    pub left: Receiver<()>,
}

/// The meeting, as the node's main thread sees it.
pub(super) struct Meeting {
    seats: Vec<Seat>,
    serving: Receiver<()>,
    cores: u16,
    stop: Vec<Sender<()>>,
}

/// Tells all cores to stop.
pub(super) struct Stopper(Vec<Sender<()>>);

impl Stopper {
    /// Says it.
    pub fn stop(&self) {
        for core in &self.0 {
            // A core that is gone has stopped.
            let _ = core.send(());
        }
    }
}

impl Meeting {
    /// A meeting of `cores` cores.
    pub fn new(cores: u16) -> Self {
        let (report, reports) = flume::bounded(ROOM);
        let (running, runs) = flume::bounded(ROOM);
        let (serving, serves) = flume::bounded(ROOM);
        let (left, leaves) = flume::bounded(ROOM);
        let (words, ears): (Vec<_>, Vec<_>) = (0..cores).map(|_| flume::bounded(ROOM)).unzip();
        let (stop, stops): (Vec<_>, Vec<_>) = (0..cores).map(|_| flume::bounded(ROOM)).unzip();
        let mut chair = Some(Chair {
            words,
            reports,
            running: runs,
            left: leaves,
        });
        let seat = |(words, stop)| Seat {
            words,
            report: report.clone(),
            running: running.clone(),
            serving: serving.clone(),
            stop,
            left: left.clone(),
            chair: chair.take(),
        };
        let seats = ears.into_iter().zip(stops).map(seat).collect();
        Self {
            seats,
            serving: serves,
            cores,
            stop,
        }
    }

    /// The cores' seats, core 0 first. Once.
    pub fn seats(&mut self) -> Vec<Seat> {
        std::mem::take(&mut self.seats)
    }

    /// What stops the cores.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Calls `ready` when every core listens; not if one ends before.
    pub fn wait_ready(&self, ready: impl FnOnce()) {
        for _ in 0..self.cores {
            if self.serving.recv().is_err() {
                return;
            }
        }
        ready();
    }
}
