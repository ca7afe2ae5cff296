//! The checkpoint: everything that must outlive the process, committed at once.
//!
//! A *generation* is a small file that names all that belongs to a commit: the parts of the state,
//! the lengths of the logs, the settings that shape the state, and the manifest that is published
//! for it. It appears by one rename, which is the commit. *Parts* are immutable: a commit writes
//! one with what has changed since the last, and parts are merged in the background, so no flush
//! writes the whole state.
//!
//! ```text
//! data/state/generation-00000000000000000042.bin     the commit point
//!            part-0000000001-0000000032.bin          what generations 1 to 32 have changed, merged
//!            part-0000000033-0000000033.bin          … and 33 …
//!            waiting-000001.bin                      plays that wait for their song
//! ```

pub mod committer;
pub mod compact;
pub mod generation;
pub mod load;
pub mod recover;
pub mod segment;
pub mod store;
pub mod table;
