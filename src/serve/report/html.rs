//! The HTML of the report. The document contains everything that it needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::insights::{about, name_in_period, top_songs_this_week};
use crate::publish::manifest::Manifest;
use crate::serve::charts::{ChartMode, STYLE, clean, count, percent};
use crate::serve::overview::{Chart, Unavailable};
use crate::serve::report::Report;
use crate::serve::report::tables::Table;

/// The stylesheet of the report. The charts have their own stylesheet.
const STYLE_SHEET: &str = include_str!("report.css");
/// Maximum number of characters of a cell. Longer cells are shortened.
const MAX_CELL_CHARS: usize = 120;

/// The report as one HTML document.
pub fn to_html(report: &Report) -> String {
    let style = format!("{STYLE}{STYLE_SHEET}");
    let hash = STANDARD.encode(Sha256::digest(&style));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    let manifest = &report.manifest;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title {
                    "music-insights, "
                    @if let Some(period) = &report.period { (clean(&period.period)) ", " }
                    "epoch " (manifest.epoch)
                }
                style { (PreEscaped(&style)) }
            }
            body {
                header {
                    h1 { "Music insights" @if let Some(period) = &report.period { ": " (clean(&period.period)) } }
                    p class="range" { (range(&report.range)) }
                    (figures(report))
                    p class="origin" {
                        "Epoch " (count(manifest.epoch)) ", published by " code { (clean(&manifest.producer)) }
                        " at " time datetime=(clean(&manifest.generated_at)) { (clean(&utc_time(&manifest.generated_at))) }
                        ", from " (files(manifest)) "."
                    }
                    @if report.period.is_none() { (rejected(manifest)) }
                }
                main {
                    div class="charts" {
                        @for chart in report.overview.charts(ChartMode::Inline) { (chart_section(&chart)) }
                    }
                    h2 { "Tables" }
                    @for (name, table) in &report.tables { (table_section(report, name, table)) }
                }
            }
        }
    };
    document.into_string()
}

fn range(range: &Result<(String, String), Unavailable>) -> Markup {
    html! {
        @match range {
            Ok((first, last)) => { "Matched plays from " time { (first) } " to " time { (last) } },
            Err(Unavailable(reason)) => { "Time range unavailable: " (clean(reason)) },
        }
    }
}

/// The figures at the top of the report.
fn figures(report: &Report) -> Markup {
    let (totals, overview) = (&report.manifest.totals, &report.overview);
    let rejected: u64 = totals.rejected.values().sum();
    let (plays, unmatched) = match &report.period {
        Some(period) => {
            let matched = overview.hours.as_ref().map(|hours| hours.iter().sum());
            (period.plays, matched.map(|matched: u64| period.plays.saturating_sub(matched)).ok())
        }
        None => (totals.plays(), Some(totals.unmatched)),
    };
    let share = |part: &Result<u64, Unavailable>| match (part, &overview.listeners) {
        (Ok(part), Ok(all)) if part <= all && *all > 0 => percent(*part, *all),
        _ => String::new(),
    };
    let text =
        |number: &Result<u64, Unavailable>| number.as_ref().map_or("–".to_owned(), |&number| count(number));
    let figure = |name: &str, value: &str, hint: &str| {
        html! {
            div {
                dt { (name) }
                dd { (value) @if !hint.is_empty() { " " small { (hint) } } }
            }
        }
    };
    html! {
        dl class="facts" {
            (figure("Plays", &count(plays), ""))
            (figure("Listeners", &text(&overview.listeners), "with plays of songs that have a genre"))
            (figure("Songs", &count(report.manifest.catalog.songs), "in the catalog"))
            (figure("Night owls", &text(&overview.night_owls), &share(&overview.night_owls)))
            (figure("Loyal listeners", &text(&overview.loyal), &share(&overview.loyal)))
            @if let Some(unmatched) = unmatched {
                (figure("Unmatched plays", &count(unmatched), &percent(unmatched, plays)))
            }
            @if report.period.is_none() {
                @if let Some(outside) = totals.outside {
                    (figure("Plays outside the dates", &count(outside), &report.manifest.dates().to_string()))
                }
                (figure("Rows read", &count(totals.rows), ""))
                (figure("Rejected rows", &count(rejected), &percent(rejected, totals.rows)))
            }
        }
    }
}

/// Turns `2025-03-20T01:09:00.123Z` into `2025-03-20 01:09:00 UTC`. Any other text stays unchanged.
fn utc_time(text: &str) -> String {
    match (text.split_once('T'), text.strip_suffix('Z')) {
        (Some((date, time)), Some(_)) if time.len() >= 8 && time.is_ascii() => {
            format!("{date} {} UTC", &time[..8])
        }
        _ => text.to_owned(),
    }
}

fn files(manifest: &Manifest) -> String {
    match manifest.totals.inputs {
        1 => "1 file".to_owned(),
        inputs => format!("{} files", count(inputs)),
    }
}

/// Tables that count rejected rows by reason.
fn rejected(manifest: &Manifest) -> Markup {
    let reasons = |title: &str, reasons: &std::collections::BTreeMap<String, u64>| {
        html! {
            @if !reasons.is_empty() {
                table class="reasons" {
                    caption { (title) }
                    thead { tr { th scope="col" { "Reason" } th scope="col" class="number" { "Rows" } } }
                    tbody {
                        @for (reason, rows) in reasons {
                            tr { th scope="row" { code { (clean(reason)) } } td class="number" { (count(*rows)) } }
                        }
                    }
                }
            }
        }
    };
    html! {
        (reasons("Rejected log rows", &manifest.totals.rejected))
        (reasons("Rejected catalog rows", &manifest.catalog.rejected))
    }
}

fn chart_section(chart: &Chart) -> Markup {
    html! {
        section id=(chart.name) {
            h2 { (clean(&chart.title)) }
            @match &chart.svg {
                Ok(svg) => {
                    (PreEscaped(svg))
                    (numbers(chart))
                },
                Err(Unavailable(reason)) => { p class="absent" { (clean(reason)) } },
            }
        }
    }
}

/// The values of a chart as a table.
fn numbers(chart: &Chart) -> Markup {
    html! {
        @if chart.numbers.iter().any(|(_, number)| *number > 0) {
            details {
                summary { "Numbers" }
                table {
                    caption { (clean(&chart.title)) }
                    tbody {
                        @for (name, number) in &chart.numbers {
                            tr { th scope="row" { bdi { (clean(name)) } } td class="number" { (count(*number)) } }
                        }
                    }
                }
            }
        }
    }
}

fn table_section(report: &Report, name: &'static str, table: &Result<Table, Unavailable>) -> Markup {
    let title = match about(name) {
        Some(about) if about.name == top_songs_this_week::NAME && report.period.is_some() => "Top songs",
        Some(about) => about.title,
        None => "",
    };
    let name = if report.period.is_some() { name_in_period(name) } else { name };
    html! {
        section class="table" {
            h3 { @if !title.is_empty() { (title) " " } code { (name) } }
            @match table {
                Ok(table) => { (rows(name, table, &report.output)) },
                Err(Unavailable(reason)) => { p class="absent" { (clean(reason)) } },
            }
        }
    }
}

fn rows(name: &str, table: &Table, output: &str) -> Markup {
    let more = table.total.saturating_sub(table.rows.len() as u64);
    let is_number =
        |cell: &str| !cell.is_empty() && cell.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
    html! {
        @if table.rows.is_empty() {
            p class="absent" { "No rows" }
        } @else {
            div class="wide" tabindex="0" role="region" aria-label=(format!("Rows of {name}")) {
                table {
                    caption { (caption(table)) }
                    thead { tr { @for column in &table.columns { th scope="col" { (clean(column)) } } } }
                    tbody {
                        @for row in &table.rows {
                            tr { @for cell in row {
                                td class=[is_number(cell).then_some("number")] { bdi { (shortened(cell)) } }
                            } }
                        }
                    }
                }
            }
            @if more > 0 { p class="more" { (count(more)) " more in " code { (clean(output)) "/" (name) "/" } } }
        }
    }
}

/// `First 8 of 1,000 rows`, or only the number of rows if the report shows all of them.
fn caption(table: &Table) -> String {
    let rows = |rows: u64| if rows == 1 { "1 row".to_owned() } else { format!("{} rows", count(rows)) };
    match table.rows.len() as u64 {
        shown if shown < table.total => format!("First {} of {}", count(shown), rows(table.total)),
        _ => rows(table.total),
    }
}

/// A cell, shortened with an ellipsis if it is long.
fn shortened(cell: &str) -> String {
    let text = clean(cell);
    match text.char_indices().nth(MAX_CELL_CHARS) {
        Some((end, _)) => text[..end].to_owned() + "…",
        None => text,
    }
}
