//! Refreshes the rows of insights that count the plays of each listener by genre.

use crate::insights::genre_counts::GenreCounts;
use crate::insights::insight::{Cut, Listener, ListenerTable};
use crate::insights::rows::Rows;
use crate::model::UserId;
use crate::text::padded::PaddedText;

/// Renders the rows of the listeners whose rows may have changed. Returns whether any row changed.
pub fn refresh_by_genres(rows: &mut Rows<UserId>, table: &impl ListenerTable, cut: &Cut) -> bool {
    let users = cut.dictionaries.users.read();
    rows.refresh(&cut.users_to_refresh(), cut.threads, || {
        let mut reader = cut.ledger.listens().reader();
        let (mut genres, mut plays, mut cell) = (GenreCounts::default(), Vec::new(), PaddedText::default());
        let users = &users;
        move |user, lines: &mut Vec<u8>| {
            reader.of(user).read(&mut plays);
            genres.count(&plays, &cut.catalog);
            cell.set_cell(users.resolve(user));
            table.push_rows(cut, &Listener { user, cell: &cell, plays: &plays, genres: &genres }, lines);
        }
    })
}
