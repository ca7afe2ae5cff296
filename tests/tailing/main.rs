//! Logs appear, grow, rotate and disappear. `watch` reads each line once.

#[expect(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/daemon.rs"]
mod daemon;
#[path = "../common/oracle.rs"]
mod oracle;
#[path = "../common/size.rs"]
mod size;

mod archive;
mod descriptors;
mod folder_rules;
mod identity;
mod live;
mod lost_header;
mod retry_rejected;
mod rolled;
mod tail_model;
mod utf16;
