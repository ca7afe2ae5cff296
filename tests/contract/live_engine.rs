//! Runs the stages of `watch` inside the test process, without files.

use std::collections::HashMap;
use std::sync::Arc;

use futures::executor::block_on;
use music_insights::catalog::{Catalog, load};
use music_insights::engine::workers::{EnrichedMessage, EnrichedWorker};
use music_insights::ingest::decode::{Decoder, header};
use music_insights::insights::enriched_logs::{self, EnrichedLogs};
use music_insights::insights::pass::{self, PassTable};
use music_insights::insights::{self, Cut, Insight, Once};
use music_insights::ledger::Ledger;
use music_insights::ledger::user_index::UserIndex;
use music_insights::model::dialect::CatalogDialect;
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::sorted_ids::SortedIds;
use music_insights::model::{Batch, Chunk, Content, Input, InputId, Position, SongId, Span, Text, UserId};
use music_insights::publish::OutputFormats;
use music_insights::publish::append_only::AppendOnlyWriter;
use music_insights::settings::Settings;
use music_insights::state::unmatched::{UnmatchedFile, UnmatchedPlays};
use music_insights::storage::real::RealDisk;
use music_insights::time::civil::Week;
use music_insights::time::date_range::DateRange;
use tokio::sync::{mpsc, oneshot};

use crate::engine::HEADER;
use crate::files::{Files, files_under};

/// The six snapshot insights of a `watch`. The engine takes batches. A cut refreshes and renders the
/// insights.
pub(crate) struct Live {
    decoder: Decoder,
    now: i64,
    ledger: Arc<Ledger>,
    catalog: Arc<Catalog>,
    new_catalog: bool,
    user_order: Arc<SortedIds<UserId>>,
    song_order: Arc<SortedIds<SongId>>,
    insights: Vec<Box<dyn Insight>>,
    settings: insights::Settings,
}

impl Live {
    /// Creates an engine without plays.
    pub(crate) fn new(settings: &Settings, now: i64, catalog: &[u8]) -> Self {
        let decoder = decoder(settings);
        let mut live = Self {
            decoder,
            now,
            ledger: Arc::new(Ledger::new(settings.night_window())),
            catalog: Arc::default(),
            new_catalog: true,
            user_order: Arc::default(),
            song_order: Arc::default(),
            insights: settings.insights.enabled_snapshots(),
            settings: settings.insights.clone(),
        };
        live.take_catalog(catalog);
        live
    }

    /// Sets the catalog of the next cut.
    pub(crate) fn take_catalog(&mut self, file: &[u8]) {
        self.catalog = read_catalog(file, &self.decoder);
        self.new_catalog = true;
    }

    /// Adds whole lines.
    pub(crate) fn take_rows(&mut self, lines: &[u8]) {
        let batch = decode(&self.decoder, self.now, lines);
        Arc::make_mut(&mut self.ledger).observe(&batch);
    }

    /// Makes a cut. Returns the files of all insights, and the names of the files that `refresh` reports as
    /// changed.
    pub(crate) fn cut(&mut self, now: i64) -> (Files, Vec<String>) {
        let changes = Arc::make_mut(&mut self.ledger).cut();
        let dictionaries = &self.decoder.dictionaries;
        Arc::make_mut(&mut self.user_order).extend(&dictionaries.users.read());
        Arc::make_mut(&mut self.song_order).extend(&dictionaries.songs.read());
        let cut = Cut {
            period: None,
            ledger: Arc::clone(&self.ledger),
            changes: Arc::new(changes),
            catalog: Arc::clone(&self.catalog),
            new_catalog: std::mem::take(&mut self.new_catalog),
            dictionaries: Arc::clone(dictionaries),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: Week::of_day(self.decoder.zone.local_date(now)),
            threads: 2,
        };
        let (mut files, mut claimed) = (Files::new(), Vec::new());
        for insight in &mut self.insights {
            let name = format!("{}/part-00000.csv", insight.name());
            if insight.refresh(&cut) {
                claimed.push(name.clone());
            }
            let mut text = Vec::new();
            let rows = insight.render(&cut, &mut |lines| text.extend_from_slice(lines));
            assert_eq!(rows as usize, lines_of(&text) - 1, "{name}: `render` returns a wrong number of rows");
            files.insert(name, text);
        }
        assert!(self.once(&cut) == files, "an insight renders other rows if it renders them only once");
        (files, claimed)
    }

    /// The files of new insights that keep no rows.
    fn once(&self, cut: &Cut) -> Files {
        let mut insights = self.settings.enabled_snapshots();
        let (mut files, mut tables, mut texts) = (Files::new(), Vec::new(), Vec::new());
        for insight in &mut insights {
            let (about, mut text) = (insight.about(), Vec::new());
            let name = format!("{}/part-00000.csv", about.name);
            let rows = match insight.once(cut) {
                Once::Table(insight) => insight.render(cut, &mut |lines| text.extend_from_slice(lines)),
                Once::Songs(rows) => pass::render_songs(cut, rows, &about.header(), &mut |lines| {
                    text.extend_from_slice(lines);
                }),
                Once::Listeners(rows) => {
                    tables.push(PassTable { rows, header: about.header() });
                    texts.push((name, text));
                    continue;
                }
            };
            assert_eq!(rows as usize, lines_of(&text) - 1, "{name}");
            files.insert(name, text);
        }
        let index = UserIndex::of_listens(cut.ledger.listens());
        let rows = pass::render(cut, &index, &tables, |table, lines| texts[table].1.extend_from_slice(lines));
        for ((name, text), rows) in texts.into_iter().zip(rows) {
            assert_eq!(rows as usize, lines_of(&text) - 1, "{name}");
            files.insert(name, text);
        }
        files
    }
}

fn decoder(settings: &Settings) -> Decoder {
    Decoder {
        dictionaries: Arc::new(Dictionaries::default()),
        zone: settings.timezone.0.clone(),
        max_future: settings.input.max_future.0.as_secs() as i64,
        dialect: settings.dialect(),
        dates: DateRange::default(),
    }
}

fn decode(decoder: &Decoder, now: i64, lines: &[u8]) -> Batch {
    decoder.decode(Chunk {
        input: Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }),
        span: Span { from: 0, to: lines.len() as u64, first_line: 2 },
        position: Position::default(),
        read_at: now,
        content: Content::Lines(
            Arc::new(header::default_layout(HEADER.as_bytes()).unwrap()),
            Text::new(lines.to_vec(), lines.len()),
        ),
    })
}

fn read_catalog(file: &[u8], decoder: &Decoder) -> Arc<Catalog> {
    let rows = block_on(load::parse(file, &CatalogDialect::default())).expect("the catalog has all columns");
    Arc::new(rows.catalog(&decoder.dictionaries))
}

/// Collects the messages to the worker of `enriched_logs` in a `watch`.
pub(crate) struct Enriching {
    decoder: Decoder,
    now: i64,
    first: Arc<Catalog>,
    messages: Vec<EnrichedMessage>,
}

impl Enriching {
    /// Starts without plays.
    pub(crate) fn new(settings: &Settings, now: i64, catalog: &[u8]) -> Self {
        let decoder = decoder(settings);
        let first = read_catalog(catalog, &decoder);
        Self { decoder, now, first, messages: Vec::new() }
    }

    /// Adds whole lines.
    pub(crate) fn take_rows(&mut self, lines: &[u8]) {
        self.messages.push(EnrichedMessage::Batch(Arc::new(decode(&self.decoder, self.now, lines)), None));
    }

    /// Makes a cut with a new catalog.
    pub(crate) fn cut(&mut self, catalog: &[u8]) {
        let catalog = read_catalog(catalog, &self.decoder);
        let answer = oneshot::channel().0;
        self.messages.push(EnrichedMessage::Cut { catalog, answer });
    }

    /// Runs the worker on all messages, and returns its files.
    pub(crate) fn files(self, settings: &Settings) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let roll_bytes = settings.insights.enriched_logs.roll_bytes.0;
        let log =
            AppendOnlyWriter::begin(&RealDisk::without_fsync(), &output, enriched_logs::HEADER, roll_bytes)
                .unwrap();
        let unmatched = UnmatchedPlays::resume(
            &RealDisk::without_fsync(),
            &folder.path().join("state"),
            &UnmatchedFile::default(),
            HashMap::new(),
        )
        .unwrap();
        let insight = EnrichedLogs::new(self.first);
        let task = EnrichedWorker::new(
            insight,
            log,
            Some(unmatched),
            Arc::clone(&self.decoder.dictionaries),
            OutputFormats::default(),
        );
        let (sender, messages) = mpsc::channel(self.messages.len().max(1));
        for message in self.messages {
            sender.try_send(message).unwrap();
        }
        drop(sender);
        task.run(messages).unwrap();
        files_under(&output)
    }
}

/// The number of line feeds.
pub(crate) fn lines_of(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}
