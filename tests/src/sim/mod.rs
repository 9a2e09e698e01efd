//! The simulator: the production engine in one thread, from one seed, with virtual time and a disk
//! that loses, tears and reorders what was not made durable. The cases in `tests/cases/sim.rs` and
//! the program `sim` call [`run::run`].
//!
//! | file | job |
//! |---|---|
//! | `random` | streams of random numbers, one for each use |
//! | `executor` | tasks in an order of the seed's choosing, timers on virtual time |
//! | `raft_rt`, `clock` | that executor as openraft's runtime and the engine's outside |
//! | `node` | one life of a node: its cores, the mail between them |
//! | `workload`, `client` | what clients ask, and asking it |
//! | `model`, `exec` | what must be true of the answers |
//! | `audit` | asking a recovered node whether it is |
//! | `faults` | the promises of durability that can be broken, by name |
//! | `world`, `run` | lives, crashes and audits of one run |

pub mod audit;
pub mod client;
pub mod clock;
pub mod exec;
pub mod executor;
pub mod faults;
pub mod model;
pub mod node;
pub mod raft_rt;
pub mod random;
pub mod run;
pub mod workload;
pub mod world;
