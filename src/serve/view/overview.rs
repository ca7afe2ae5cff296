//! The overview of an epoch, computed from the tables in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::catalog::GenreId;
use crate::insights::{
    genre_counts::GenreCounts, genre_loyalty_scores, happy_recommendations, night_owl_users,
    top_songs_this_week,
};
use crate::ledger::LedgerReader;
use crate::model::{SongId, UserId};
use crate::serve::overview::{
    DashboardCharts, GenrePlays, ListenTimes, Loyalty, Overview, SongCount, TopSongs, Unavailable,
};
use crate::serve::view::View;
use crate::serve::view::page::{Query, Row};

/// Maximum number of listeners in the loyalty chart. If there are more listeners, the chart counts every
/// n-th listener, so that computing the chart never takes more than a few hundredths of a second.
const MAX_SAMPLE: usize = 20_000;
/// Number of songs in a chart.
const CHART_SONGS: usize = 10;
/// Maximum number of recommendations for which the chart is drawn. The recommendations are counted
/// again for every epoch, so counting must be fast.
const MAX_RECOMMENDATIONS: u64 = 100_000;

impl View {
    /// The overview and its charts. The first call for an epoch computes them.
    ///
    /// # Errors
    /// If the plays or a table of the period cannot be read.
    pub fn charts(&self) -> io::Result<Arc<DashboardCharts>> {
        if let Some(charts) = self.charts.get() {
            return Ok(Arc::clone(charts));
        }
        let charts = Arc::new(self.overview()?.into());
        Ok(Arc::clone(self.charts.get_or_init(|| charts)))
    }

    fn overview(&self) -> io::Result<Overview> {
        // The caller tries again with the next epoch if a table has been replaced.
        for table in self.tables.values() {
            table.check()?;
        }
        let ledger = self.ledger()?;
        let count = |insight: &'static str| {
            let rows = self.entry(insight).map(|entry| entry.rows).ok_or_else(|| self.absent(insight))?;
            // Without loyal listeners, the only row of `genre_loyalty_scores` is a message.
            let is_message =
                rows == 1 && self.table(insight).is_some_and(|table| matches!(table.message(), Ok(Some(_))));
            Ok(if is_message { 0 } else { rows })
        };
        Ok(Overview {
            epoch: self.snapshot.manifest.epoch,
            top_songs: self.top_songs(),
            genres: Ok(self.genres(ledger)),
            hours: Ok(*ledger.hours().plays()),
            night: self.snapshot.night,
            loyalty: Ok(self.loyalty(ledger)),
            listen_times: Ok(listen_times(ledger)),
            recommended: self.recommended(),
            listeners: Ok(self.listeners()?),
            night_owls: count(night_owl_users::NAME),
            loyal: count(genre_loyalty_scores::NAME),
        })
    }

    /// The reason why a snapshot is not published.
    pub fn absent(&self, insight: &str) -> Unavailable {
        Unavailable(match self.period() {
            Some(_) => format!("{insight} is disabled, or not kept for periods, by the settings"),
            None => format!("{insight} is disabled by the settings"),
        })
    }

    fn top_songs(&self) -> Result<TopSongs, Unavailable> {
        let table =
            self.table(top_songs_this_week::NAME).ok_or_else(|| self.absent(top_songs_this_week::NAME))?;
        let page = table.page(&Query { limit: CHART_SONGS, ..Query::default() });
        let page = page.map_err(|cause| Unavailable(format!("the table cannot be read: {cause}")))?;
        let song = |row: &Row| self.song_count(row.bytes(0), row.text(1).parse().unwrap_or_default());
        let week = || self.snapshot.week.map(|week| week.to_string());
        let period = self.period().map_or_else(week, |period| Some(period.to_string()));
        Ok(TopSongs { period, songs: page.rows.iter().map(song).collect() })
    }

    fn recommended(&self) -> Result<Vec<SongCount>, Unavailable> {
        const NAME: &str = happy_recommendations::NAME;
        let table = self.table(NAME).ok_or_else(|| self.absent(NAME))?;
        if table.entry().rows > MAX_RECOMMENDATIONS {
            return Err(Unavailable(
                "too many recommendations to count for every epoch; `music-insights report` counts them"
                    .to_owned(),
            ));
        }
        let page = table.page(&Query { limit: usize::MAX, ..Query::default() });
        let page = page.map_err(|cause| Unavailable(format!("the table cannot be read: {cause}")))?;
        let mut listeners: BTreeMap<&[u8], u64> = BTreeMap::new();
        for row in &page.rows {
            *listeners.entry(row.bytes(1)).or_default() += 1;
        }
        let mut songs: Vec<(&[u8], u64)> = listeners.into_iter().collect();
        songs.sort_by_key(|&(_, count)| Reverse(count));
        Ok(songs.into_iter().take(CHART_SONGS).map(|(id, count)| self.song_count(id, count)).collect())
    }

    fn song_count(&self, id: &[u8], count: u64) -> SongCount {
        let song = self.song(id).map(|song| self.metadata(song)).unwrap_or_default();
        SongCount {
            song_id: String::from_utf8_lossy(id).into_owned(),
            title: song.title,
            artist: song.artist,
            count,
        }
    }

    fn genres(&self, ledger: &LedgerReader) -> Vec<GenrePlays> {
        let catalog = &self.snapshot.catalog.catalog;
        let mut plays = vec![0; catalog.genre_count().max(1)];
        let played = (0..).map(SongId).zip(ledger.song_totals());
        for (song, total) in played.filter(|&(song, _)| catalog.contains(song)) {
            plays[catalog.genre(song).index()] += total.plays;
        }
        let name = |genre: usize| match genre {
            0 => String::new(),
            _ => String::from_utf8_lossy(catalog.genre_name(GenreId::from_index(genre))).into_owned(),
        };
        let genres = plays.into_iter().enumerate().filter(|&(_, plays)| plays > 0);
        genres.map(|(genre, plays)| GenrePlays { genre: name(genre), plays }).collect()
    }

    fn loyalty(&self, ledger: &LedgerReader) -> Loyalty {
        let mut loyalty = Loyalty::new(self.snapshot.threshold);
        let users = self.snapshot.user_order.ids().len();
        let step = users.div_ceil(MAX_SAMPLE).max(1);
        let (mut counts, mut plays) = (GenreCounts::default(), Vec::new());
        for user in (0..users as u32).step_by(step).map(UserId) {
            ledger.listens_of(user).read(&mut plays);
            counts.count(&plays, &self.snapshot.catalog.catalog);
            if counts.total() > 0 {
                loyalty.add(counts.most(), counts.total());
            }
        }
        loyalty.sampled = step > 1;
        loyalty
    }
}

fn listen_times(ledger: &LedgerReader) -> ListenTimes {
    let mut times = ListenTimes::default();
    for total in ledger.song_totals().iter().filter(|total| total.plays > 0) {
        times.add(total.millis as f64 / 1000.0 / total.plays as f64);
    }
    times
}
