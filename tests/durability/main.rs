//! Crashes, power cuts, damage and failing disks. Committed data remains, and the published output is
//! correct.

#[expect(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/daemon.rs"]
mod daemon;
#[expect(dead_code, reason = "tests/contract uses the rest")]
#[path = "../common/engine.rs"]
mod engine;
#[path = "../common/files.rs"]
mod files;
#[path = "../common/medium.rs"]
mod medium;
#[path = "../common/oracle.rs"]
mod oracle;
#[expect(dead_code, reason = "tests/planted_bugs.rs uses the rest")]
#[path = "../common/power_cuts.rs"]
mod power_cuts;
#[path = "../common/sim_disk.rs"]
mod sim_disk;
#[path = "../common/size.rs"]
mod size;
#[expect(dead_code, reason = "tests/planted_bugs.rs uses the rest")]
#[path = "../common/workload.rs"]
mod workload;

mod corpus;
mod crash_points;
mod damage;
mod exact;
mod faults;
mod kills;
mod lost_output;
mod parallel;
mod power_loss;
mod restarts;
mod verify;
