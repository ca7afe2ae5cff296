//! Puts tables and parts together in the output folder, under temporary names.

use std::collections::BTreeMap;
use std::io::{self, Read, SeekFrom};
use std::path::Path;

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::open_file::open;

use crate::cluster::job::{PartJob, RowRange, StagedPart, StagedTables, TableJob};
use crate::cluster::tasks::{Tasks, io_error, parse};
use crate::insights::{self, enriched_logs};
use crate::publish::snapshot::Snapshot;
use crate::publish::staged_part::PartWriter;
use crate::publish::table_folders::TableFolders;

/// Bytes that are copied at once. They fit into the second-level cache.
const BUFFER: usize = 256 << 10;

impl Tasks {
    /// Puts a table together from its slices.
    pub(super) fn table(&self, job: &TableJob) -> Result<StagedTables, ClusterError> {
        let disk = self.disk_of(&job.target)?;
        let tag = self.new_tag();
        let about = insights::about(&job.name).ok_or_else(|| {
            ClusterError::new(ErrorKind::Setup, format!("there is no insight {}", job.name))
        })?;
        let folders = TableFolders::of(Path::new(&job.target.output), about.name).tagged(tag.clone());
        let empty = job.insights.message(about.name).filter(|_| job.rows == 0);
        let head = empty.unwrap_or_else(|| about.header());
        let mut copied = Ok(());
        let render = &mut |emit: &mut dyn FnMut(&[u8])| {
            emit(head.as_bytes());
            copied = job.slices.iter().try_for_each(|slice| {
                let range = RowRange { url: slice.clone(), offset: 0, bytes: u64::MAX };
                self.each_lines(&range, |lines| {
                    emit(lines);
                    Ok(())
                })
            });
            // The return value is the number of lines without the header. A table without rows has a message,
            // which counts.
            job.rows + memchr::memchr_iter(b'\n', head.as_bytes()).count() as u64 - 1
        };
        let snapshot = Snapshot::write(&disk, &folders, about.name, job.target.formats, render);
        let snapshot = snapshot.map_err(|error| io_error(&error))?;
        copied?;
        Ok(StagedTables { tag, tables: BTreeMap::from([(job.name.clone(), snapshot.keep())]), unmatched: 0 })
    }

    /// Puts a part of `enriched_logs` together.
    pub(super) fn part(&self, job: &PartJob) -> Result<StagedPart, ClusterError> {
        let disk = self.disk_of(&job.target)?;
        let tag = self.new_tag();
        let folders =
            TableFolders::of(Path::new(&job.target.output), enriched_logs::NAME).tagged(tag.clone());
        let parquet = job.target.formats.parquet.then_some(enriched_logs::NAME);
        let part = PartWriter::begin(&disk, &folders, job.number, enriched_logs::HEADER, parquet);
        let mut part = part.map_err(|error| io_error(&error))?;
        for rows in &job.rows {
            self.each_lines(rows, |lines| part.write(lines).map_err(|error| io_error(&error)))?;
        }
        let (csv, parquet) = part.finish().map_err(|error| io_error(&error))?;
        Ok(StagedPart { tag, csv, parquet })
    }

    /// Passes a range of a file to `each`, in pieces of whole lines.
    fn each_lines(
        &self,
        range: &RowRange,
        mut each: impl FnMut(&[u8]) -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        let unreadable = |source: io::Error| ClusterError::with_source(ErrorKind::Io, &range.url, source);
        let mut file = open(&parse(&range.url)?, &self.runtime)?;
        file.seek(SeekFrom::Start(range.offset)).map_err(unreadable)?;
        let mut rows = file.take(range.bytes);
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            let wanted = BUFFER.max(buffer.len() * 2) - buffer.len();
            let read = rows.by_ref().take(wanted as u64).read_to_end(&mut buffer).map_err(unreadable)?;
            let whole = memchr::memrchr(b'\n', &buffer).map_or(0, |last| last + 1);
            each(&buffer[..whole])?;
            buffer.drain(..whole);
            if read == 0 {
                return if buffer.is_empty() {
                    Ok(())
                } else {
                    Err(unreadable(io::ErrorKind::UnexpectedEof.into()))
                };
            }
        }
    }
}
