//! The checkpoint: all data that must outlive the process, in one atomic commit.
//!
//! A *generation* is a small file that lists the content of a commit: the segments, the committed lengths
//! of the append-only tables, the settings that the state depends on, and the manifest. One rename makes
//! the generation visible. This rename is the commit.
//! *Segments* are immutable: each commit writes one segment with the changes since the previous commit.
//! Segments are merged in the background, so no flush writes the whole state.
//!
//! ```text
//! data/state/generation-00000000000000000042.bin     the commit
//!            segment-0000000001-0000000032.bin       the changes of generations 1 to 32, merged
//!            segment-0000000033-0000000033.bin       the changes of generation 33
//!            unmatched-000001.bin                    plays of songs that are not in the catalog
//! ```

pub mod committer;
pub mod compact;
pub mod generation;
pub mod load;
pub mod merge;
pub mod pace;
pub mod periods;
pub mod recover;
pub mod segment;
pub mod store;
pub mod table;
