//! The engine with operations of paper.
#![allow(clippy::unwrap_used)]

use clap::Parser;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::super::source::Called;
use super::*;
use crate::client::Options;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Operations that are answered when told so, and fail every so often.
struct Paper {
    answers: Cell<bool>,
    fails_every: u64,
    told: Notify,
    made: Cell<u64>,
}

struct One(Rc<Paper>);

impl Source for Paper {
    type Client = One;

    fn client(self: &Rc<Self>, _: &Rc<Slot>, _: u64) -> One {
        One(self.clone())
    }
}

impl Caller for One {
    async fn call(&mut self, due: Instant) -> Called {
        while !self.0.answers.get() {
            self.0.told.notified().await;
        }
        self.0.made.set(self.0.made.get() + 1);
        let fails = self.0.made.get().is_multiple_of(self.0.fails_every);
        let refused = Status::new(Status::RESOURCE_EXHAUSTED, "full");
        Called {
            name: "paper",
            result: if fails { Err(refused) } else { Ok(Some(due)) },
        }
    }
}

const LENGTH: Duration = Duration::from_millis(100);

/// Clients of such operations, which have begun to count.
async fn clients(answers: bool, fails_every: u64, schedule: &Schedule) -> Rc<Clients<Paper>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let line = Line::parse_from(["test", "--endpoints", &endpoint]);
    let slot = Slot::open(&Rc::new(line.options), 0).await.unwrap();
    let paper = Rc::new(Paper {
        answers: Cell::new(answers),
        fails_every,
        told: Notify::new(),
        made: Cell::new(0),
    });
    let record = Rc::new(Record::new());
    record.begin(Instant::now(), LENGTH, schedule);
    Clients::new(&paper, &record, vec![slot])
}

async fn follow(clients: &Rc<Clients<Paper>>, schedule: &Schedule, most: usize) -> Driven {
    let driven = clients.follow(schedule, Instant::now(), LENGTH, Some(most), Stop::deaf());
    driven.await.unwrap()
}

#[tokio::test]
async fn all_that_is_due_is_made_and_failures_are_counted_by_their_code() {
    let test = async {
        let schedule = Schedule::Rate(1000.0);
        let clients = clients(true, 10, &schedule).await;
        // All of the schedule is in the measured time.
        let from = Instant::now();
        clients.record.begin(from, LENGTH, &schedule);
        let driven = clients.follow(&schedule, from, LENGTH, Some(1000), Stop::deaf());
        assert_eq!(driven.await.unwrap(), Driven::ToTheEnd);
        clients.finish(Duration::from_secs(20)).await;
        assert_eq!(clients.record.all().len(), 90);
        let full = (10, "full".to_owned());
        assert_eq!(clients.record.errors.borrow()["RESOURCE_EXHAUSTED"], full);
        assert_eq!(clients.record.lateness.borrow().len(), 100);
        assert_eq!(clients.on_their_way(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_rate_is_given_up_when_ever_more_have_no_answer() {
    let test = async {
        let schedule = Schedule::Rate(10_000.0);
        let clients = clients(false, u64::MAX, &schedule).await;
        let driven = follow(&clients, &schedule, 300).await;
        assert!(matches!(driven, Driven::GivenUp(_)), "{driven:?}");
        assert_eq!(clients.on_their_way(), 301);
        clients.finish(Duration::from_millis(1)).await;
        let errors = clients.record.errors.borrow();
        assert_eq!(errors["DEADLINE_EXCEEDED"].0, 301, "{errors:?}");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn clients_that_have_their_answer_make_the_next_operation() {
    let test = async {
        let schedule = Schedule::Rate(1000.0);
        let clients = clients(false, u64::MAX, &schedule).await;
        follow(&clients, &schedule, 1000).await;
        assert_eq!(clients.count(), 100, "each waits for an answer");
        clients.source.answers.set(true);
        clients.source.told.notify_waiters();
        while clients.on_their_way() > 0 {
            tokio::task::yield_now().await;
        }
        follow(&clients, &schedule, 1000).await;
        clients.finish(Duration::from_secs(20)).await;
        assert_eq!(clients.count(), 100, "nobody new was needed");
        assert_eq!(clients.source.made.get(), 200);
    };
    LocalSet::new().run_until(test).await;
}
