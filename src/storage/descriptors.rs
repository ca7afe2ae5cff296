//! The limit on open files, and how it is shared.
//!
//! Every log, connection and table that is open needs a file descriptor. The parts of the program that may
//! hold many of them each get a share of the limit, so that the rest of the program always finds some.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that is assumed if the system has none.
const UNLIMITED: u64 = 1 << 20;
/// The largest share of one part of the program. More open files would not make it faster.
const MAX_SHARE: usize = 256;
/// The smallest share. With a lower limit than 64 descriptors, the program may not work.
const MIN_SHARE: usize = 8;
/// On macOS, the soft limit must not exceed this number, even if the hard limit does (`OPEN_MAX`).
const MACOS_LIMIT: u64 = 10_240;

/// Number of descriptors in the reserve. They are enough to finish a flush.
const RESERVE: usize = 8;

/// Spare descriptors. The limit belongs to the process, and so does the reserve.
static SPARE: Mutex<Reserve> = Mutex::new(Reserve { files: Vec::new(), is_used: false });

/// Open files that only keep their descriptors from being used by others.
#[derive(Debug)]
struct Reserve {
    files: Vec<File>,
    is_used: bool,
}

/// Fills the reserve. If there are too few descriptors for it, the reserve still counts as used.
pub fn fill_reserve() {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    while spare.files.len() < RESERVE {
        match File::open("/dev/null") {
            Ok(file) => spare.files.push(file),
            Err(_) => break,
        }
    }
    spare.is_used = spare.files.len() < RESERVE;
}

/// Gives the reserve to an operation that found no descriptor. The reader of logs must then close some of them,
/// and fill the reserve again. Otherwise, the writer of tables could wait for descriptors while the reader of
/// logs holds them and waits for the writer.
pub fn use_reserve() {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    spare.files.clear();
    spare.is_used = true;
}

/// Whether the reserve was used since it was filled.
pub fn is_reserve_used() -> bool {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).is_used
}

/// Raises the soft limit of this process to its hard limit. If this is not possible, the limit stays as it
/// is.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current else { return };
    let wanted = match maximum {
        _ if cfg!(target_os = "macos") => Some(maximum.map_or(MACOS_LIMIT, |hard| hard.min(MACOS_LIMIT))),
        hard => hard,
    };
    if wanted.is_none_or(|wanted| wanted > current) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum });
    }
}

/// Number of descriptors that one part of the program may hold: the limit divided by `parts`, within sensible
/// bounds.
pub fn share(parts: usize) -> usize {
    share_of(getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED), parts)
}

fn share_of(limit: u64, parts: usize) -> usize {
    (limit as usize / parts).clamp(MIN_SHARE, MAX_SHARE)
}

/// Whether an operation failed because too many files are open, in this process or on the whole machine.
/// `io::ErrorKind` has no names for these errors.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_follows_the_limit_within_bounds() {
        let shares = [20, 128, 256, 1024, 4096, u64::from(u32::MAX)].map(|limit| share_of(limit, 4));
        assert_eq!(shares, [8, 32, 64, 256, 256, 256]);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert!(current == maximum || cfg!(target_os = "macos"));
    }

    #[test]
    fn a_used_reserve_can_be_filled_again() {
        use_reserve();
        assert!(is_reserve_used());
        fill_reserve();
        assert!(!is_reserve_used());
        use_reserve();
        fill_reserve();
        assert!(!is_reserve_used());
    }

    #[test]
    fn only_a_shortage_of_descriptors_is_one() {
        assert!(is_shortage(&io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())));
        assert!(!is_shortage(&io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error())));
        assert!(!is_shortage(&io::ErrorKind::NotFound.into()));
    }
}
