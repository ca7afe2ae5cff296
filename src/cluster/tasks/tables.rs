//! Renders tables from sums, with the same insights as one machine.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::shared_storage::{NewFile, child};

use crate::cluster::job::{ListenersJob, Slice, SongsJob, StagedTables, TableSources};
use crate::cluster::sums::{IdRange, each_listener};
use crate::cluster::tasks::sums_files::OpenSums;
use crate::cluster::tasks::{Tasks, damaged, io_error, parse};
use crate::insights::query::Weeks;
use crate::insights::{Cut, Insight};
use crate::ledger::Ledger;
use crate::ledger::run::Run;
use crate::model::SongId;
use crate::model::dictionary::Dictionaries;
use crate::model::sorted_ids::SortedIds;
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::time::civil::Week;

/// The sums of all songs.
pub(super) struct SongSums {
    files: Vec<OpenSums>,
    /// For each file, the ids of its songs in the dictionary of the job.
    numbers: Vec<Vec<SongId>>,
}

impl Tasks {
    /// Renders the tables of a range of listeners, each to a slice.
    pub(super) fn listeners(&self, job: &ListenersJob) -> Result<BTreeMap<String, Slice>, ClusterError> {
        let range: IdRange<'_> = (job.from.as_bytes(), job.to.as_deref().map(str::as_bytes));
        let cut = self.cut(&job.sources, |ledger, dictionaries, sums| {
            self.add_listeners(ledger, dictionaries, sums, range)
        })?;
        let folder = parse(&job.folder)?;
        let mut slices = BTreeMap::new();
        for mut insight in enabled(&job.sources, true) {
            insight.refresh(&cut);
            let url = child(&folder, insight.name());
            let mut file = NewFile::create(&url, Path::new("."))?;
            // A slice has no header. Without rows, an insight renders a message or only its header.
            let header = insight.about().header();
            let (mut has_header, mut has_rows) = (false, true);
            let mut written = Ok(());
            let rows = insight.render(&cut, &mut |lines| {
                let rows = if has_header {
                    lines
                } else {
                    lines.strip_prefix(header.as_bytes()).unwrap_or_default()
                };
                has_rows &= has_header || lines.starts_with(header.as_bytes());
                has_header = true;
                if written.is_ok() {
                    written = file.write_all(rows);
                }
            });
            written.map_err(|source| ClusterError::with_source(ErrorKind::Io, &url, source))?;
            if has_rows && rows > 0 {
                self.runtime.block_on(file.store())?;
                slices.insert(insight.name().to_owned(), Slice { url: url.into(), rows });
            }
        }
        Ok(slices)
    }

    /// Renders the tables of songs, and stages them in the output folder.
    pub(super) fn songs(&self, job: &SongsJob) -> Result<StagedTables, ClusterError> {
        let sources = &job.sources;
        let weeks = Weeks::new(sources.latest.map(|(_, local)| local), Week(sources.current_week));
        let week = sources.insights.top_songs_this_week.week.resolve(weeks);
        let cut = self.cut(sources, |ledger, _, sums| self.add_week(ledger, sums, week))?;
        let disk = self.disk_of(&job.target)?;
        let mut staged = StagedTables { tag: self.new_tag(), ..StagedTables::default() };
        for mut insight in enabled(sources, false) {
            insight.refresh(&cut);
            let folders = TableFolders::of(Path::new(&job.target.output), insight.name());
            let folders = folders.tagged(staged.tag.clone());
            let render = &mut |emit: &mut dyn FnMut(&[u8])| insight.render(&cut, emit);
            let snapshot = Snapshot::write(&disk, &folders, insight.name(), job.target.formats, render);
            let entry = snapshot.map_err(|error| io_error(&error))?.keep();
            staged.tables.insert(insight.name().to_owned(), entry);
        }
        let plays = |song: SongId| cut.ledger.song_plays().total(song).plays;
        let unmatched =
            cut.ledger.song_plays().songs().filter(|&song| !cut.catalog.contains(song)).map(plays);
        staged.unmatched = unmatched.sum();
        Ok(staged)
    }

    /// A cut of the sums of all songs. `add` adds other sums, such as those of listeners.
    pub(super) fn cut(
        &self,
        sources: &TableSources,
        add: impl FnOnce(&mut Ledger, &Dictionaries, &SongSums) -> Result<(), ClusterError>,
    ) -> Result<Cut, ClusterError> {
        let dictionaries = Dictionaries::default();
        let catalog = self.catalog(&sources.catalog, &dictionaries)?;
        let mut ledger = Ledger::new(sources.config.night_window());
        let files: Vec<_> = sources.sums.iter().map(|file| self.open_sums(file)).collect::<Result<_, _>>()?;
        let (mut numbers, mut plays) = (Vec::new(), 0);
        for file in &files {
            let songs = file.songs()?;
            let ids = dictionaries.songs.intern_all(songs.iter().map(|(id, _)| *id));
            let table = ledger.tables_mut().song_plays;
            ids.iter().zip(&songs).for_each(|(&song, (_, total))| table.add_saved(song, *total));
            plays += songs.iter().map(|(_, total)| total.plays).sum::<u64>();
            numbers.push(ids);
        }
        let sums = SongSums { files, numbers };
        add(&mut ledger, &dictionaries, &sums)?;
        ledger.restore(plays, sources.latest);
        let (mut user_order, mut song_order) = (SortedIds::default(), SortedIds::default());
        user_order.extend(&dictionaries.users.read());
        song_order.extend(&dictionaries.songs.read());
        Ok(Cut {
            period: None,
            changes: Arc::new(ledger.everything()),
            ledger: Arc::new(ledger),
            catalog: Arc::new(catalog),
            new_catalog: true,
            dictionaries: Arc::new(dictionaries),
            user_order: Arc::new(user_order),
            song_order: Arc::new(song_order),
            current_week: Week(sources.current_week),
            threads: 1,
        })
    }

    /// Adds the sums of the listeners in a range.
    pub(super) fn add_listeners(
        &self,
        ledger: &mut Ledger,
        dictionaries: &Dictionaries,
        sums: &SongSums,
        range: IdRange<'_>,
    ) -> Result<(), ClusterError> {
        let mut sources = Vec::new();
        for (file, numbers) in sums.files.iter().zip(&sums.numbers) {
            let numbers = numbers.iter().map(|song| song.0).collect();
            sources.push(self.listeners_of(file, range, numbers)?);
        }
        let tables = ledger.tables_mut();
        let mut run = Run::default();
        let read = each_listener(&sources, range, |id, nights, songs| {
            let user = dictionaries.users.intern(id);
            let key = u64::from(user.0) << 32;
            for &(song, plays) in songs {
                run.append(key | u64::from(song), plays);
            }
            if nights > 0 {
                tables.nights.add_saved(user, nights);
            }
        });
        read.map_err(damaged("the sums of listeners"))?;
        tables.listens.restore(run);
        Ok(())
    }

    /// Adds the plays of a week.
    fn add_week(&self, ledger: &mut Ledger, sums: &SongSums, week: Option<Week>) -> Result<(), ClusterError> {
        let Some(week) = week else { return Ok(()) };
        let mut plays: BTreeMap<SongId, u64> = BTreeMap::new();
        for (file, numbers) in sums.files.iter().zip(&sums.numbers) {
            self.each_of_week(file, week, |song, more| {
                if let Some(&song) = numbers.get(song as usize) {
                    *plays.entry(song).or_default() += more;
                }
            })?;
        }
        let table = ledger.tables_mut().song_plays;
        for (song, plays) in plays {
            table.restore_week(week, song, plays);
        }
        Ok(())
    }
}

/// The enabled snapshots whose rows belong to listeners, or all other enabled snapshots.
fn enabled(sources: &TableSources, of_listeners: bool) -> impl Iterator<Item = Box<dyn Insight>> {
    let all = sources.insights.enabled_snapshots().into_iter();
    all.filter(move |insight| insight.about().is_by_listener() == of_listeners)
}
