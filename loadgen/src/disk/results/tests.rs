//! Which errors speak against a disk.

use std::io;

use super::Failure;
use crate::disk::case::{Case, Pattern};

#[test]
fn only_what_the_disk_or_its_file_system_says_speaks_against_the_disk() {
    let system = io::Error::from_raw_os_error;
    let of_the_log = io::Error::new(system(libc::EIO).kind(), "1.seg: cannot write");
    let against = [
        system(libc::EIO),
        system(libc::EROFS),
        io::Error::new(
            io::ErrorKind::WriteZero,
            "only 512 of 4096 bytes were moved",
        ),
        of_the_log,
    ];
    for error in against {
        let failure = Failure::new(Case::new(Pattern::Wal), &error);
        assert!(!failure.is_unsupported, "{error}");
    }
    let innocent = [
        system(libc::EINVAL),
        system(libc::ENOMEM),
        system(libc::EPERM),
        system(libc::ENOSYS),
        system(libc::EMFILE),
        io::Error::other("an executor cannot be pinned"),
    ];
    for error in innocent {
        let failure = Failure::new(Case::new(Pattern::Wal), &error);
        assert!(failure.is_unsupported, "{error}");
    }
}
