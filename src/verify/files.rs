//! Compares the published files with the sizes and hashes in the manifest.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::publish::REJECTS;
use crate::publish::manifest::{Manifest, PartEntry, hash_text};
use crate::storage::READ;
use crate::text::shown;
use crate::verify::report::Report;

/// Compares all files of an output with its manifest.
pub fn compare_files(output: &Path, manifest: &Manifest, report: &mut Report) {
    let insights = manifest.insights.iter().map(|(name, entry)| (name.as_str(), entry));
    for (name, entry) in insights.chain([(REJECTS, &manifest.rejects)]) {
        for (path, part) in entry.files(output, name) {
            compare_part(&path, part, report);
        }
    }
}

/// Compares a file with its entry.
pub fn compare_part(path: &Path, part: &PartEntry, report: &mut Report) {
    match hash_of(path, part.bytes) {
        Err(cause) => report.differences.push(format!("{}: {cause}", shown(path))),
        Ok(hash) if hash != part.hash => report.differences.push(format!(
            "{}: the hash of the first {} bytes differs from the manifest",
            shown(path),
            part.bytes
        )),
        Ok(_) => {}
    }
}

/// The hash of the first `bytes` bytes of a file, in the text form of the manifest.
fn hash_of(path: &Path, bytes: u64) -> io::Result<String> {
    let mut reader = BufReader::with_capacity(READ, File::open(path)?).take(bytes);
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; READ];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hash_text(hash.digest128())),
            len => hash.update(&buffer[..len]),
        }
    }
}
