//! Locks an open file or folder, and waits a short time for a lock that is about to be released.

use std::fs::{File, TryLockError};
use std::time::Duration;

/// Time between two attempts to take a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(20);
/// Number of pauses. Together, they take one second.
const PAUSES: u32 = 50;

/// Locks an open file or folder. If another process holds the lock, tries again for one second. The lock may be
/// about to be released:
///
/// - An earlier `watch` may be ending. A user who starts the next one at once should not have to try again.
/// - A process that was just started has copies of all open files of the process that started it, until it runs its
///   own program. A lock belongs to all copies. This program starts no processes, but programs that use it as a
///   library do, such as the tests.
///
/// A process that still runs holds its lock for longer.
pub(super) fn lock(file: &File) -> Result<(), TryLockError> {
    try_for_a_while(|| file.try_lock(), || std::thread::sleep(PAUSE))
}

fn try_for_a_while(
    mut attempt: impl FnMut() -> Result<(), TryLockError>,
    mut pause: impl FnMut(),
) -> Result<(), TryLockError> {
    for _ in 0..PAUSES {
        match attempt() {
            Err(TryLockError::WouldBlock) => pause(),
            result => return result,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    use crate::model::error::Error;
    use crate::model::shutdown::Shutdown;
    use crate::storage::real::RealDisk;

    #[test]
    fn a_lock_is_tried_until_it_is_released() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [first, second] = [(); 2].map(|()| File::open(file.path()).unwrap());
        first.lock().unwrap();
        let mut pauses = 0;
        let refused = try_for_a_while(|| second.try_lock(), || pauses += 1);
        assert!(matches!(refused, Err(TryLockError::WouldBlock)), "{refused:?}");
        assert_eq!(pauses, PAUSES);
        let mut pauses = 0;
        let mut release_later = || {
            pauses += 1;
            if pauses == 3 {
                first.unlock().unwrap();
            }
        };
        try_for_a_while(|| second.try_lock(), &mut release_later).unwrap();
        assert_eq!(pauses, 3);
    }

    #[test]
    fn other_errors_are_returned_at_once() {
        let failed = || Err(TryLockError::Error(std::io::ErrorKind::Unsupported.into()));
        let result = try_for_a_while(failed, || panic!("no pause is needed"));
        assert!(matches!(result, Err(TryLockError::Error(_))), "{result:?}");
    }

    #[test]
    fn a_folder_is_locked_when_a_process_with_a_copy_of_its_lock_has_ended() {
        for name in [".", ".lock"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(".lock"), "").unwrap();
            let held = File::open(folder.path().join(name)).unwrap();
            held.lock().unwrap();
            let mut other = Command::new("sleep").arg("0.1").stdin(Stdio::from(held)).spawn().unwrap();
            let disk = RealDisk::with_fsync(Shutdown::default());
            let lock = disk.lock(folder.path());
            assert!(lock.is_ok(), "{name}: {:?}", lock.err());
            assert!(other.wait().unwrap().success());
            let Err(Error::Busy(message)) = disk.lock(folder.path()) else {
                panic!("the lock was given twice")
            };
            let expected = format!("already in use by process {};", std::process::id());
            assert!(message.contains(&expected), "{message}");
        }
    }
}
