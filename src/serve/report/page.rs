//! The page: HTML that asks nobody for anything.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::publish::manifest::Manifest;
use crate::serve::charts::{Form, STYLE, clean, count, percent};
use crate::serve::overview::{Absent, Chart, Shown};
use crate::serve::report::Report;
use crate::serve::report::tables::Table;

/// How the page looks, besides the charts.
const PAGE_STYLE: &str = include_str!("report.css");
/// Characters of a cell that are shown.
const CELL: usize = 120;

/// The report as one HTML document.
pub fn page(report: &Report) -> String {
    let style = format!("{STYLE}{PAGE_STYLE}");
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
                title { "music-insights, epoch " (manifest.epoch) }
                style { (PreEscaped(&style)) }
            }
            body {
                header {
                    h1 { "Music insights" }
                    p class="range" { (range(&report.range)) }
                    (facts(report))
                    p class="origin" {
                        "Epoch " (count(manifest.epoch)) ", published by " code { (clean(&manifest.producer)) }
                        " at " time datetime=(clean(&manifest.generated_at)) { (clean(&play_time(&manifest.generated_at))) }
                        ", from " (files(manifest)) "."
                    }
                    (rejected(manifest))
                }
                main {
                    div class="charts" {
                        @for chart in report.overview.charts(Form::Inline) { (figure(&chart)) }
                    }
                    h2 { "Tables" }
                    @for (name, table) in &report.tables { (section(name, table, &report.output)) }
                }
            }
        }
    };
    document.into_string()
}

fn range(range: &Shown<(String, String)>) -> Markup {
    html! {
        @match range {
            Ok((first, last)) => { "Plays of known songs from " time { (first) } " to " time { (last) } },
            Err(Absent(why)) => { "Time range unknown: " (clean(why)) },
        }
    }
}

/// The numbers at the top.
fn facts(report: &Report) -> Markup {
    let (totals, overview) = (&report.manifest.totals, &report.overview);
    let rejected: u64 = totals.rejected.values().sum();
    let plays = totals.rows.saturating_sub(rejected);
    let share = |part: &Shown<u64>| match (part, &overview.listeners) {
        (Ok(part), Ok(all)) if part <= all && *all > 0 => percent(*part, *all),
        _ => String::new(),
    };
    let known = |number: &Shown<u64>| number.as_ref().map_or("–".to_owned(), |&number| count(number));
    let fact = |name: &str, value: &str, hint: &str| {
        html! {
            div {
                dt { (name) }
                dd { (value) @if !hint.is_empty() { " " small { (hint) } } }
            }
        }
    };
    html! {
        dl class="facts" {
            (fact("Plays", &count(plays), ""))
            (fact("Listeners", &known(&overview.listeners), "of songs with a genre"))
            (fact("Songs", &count(report.manifest.catalog.songs), "in the catalog"))
            (fact("Night owls", &known(&overview.night_owls), &share(&overview.night_owls)))
            (fact("Loyal listeners", &known(&overview.loyal), &share(&overview.loyal)))
            (fact("Unmatched plays", &count(totals.unmatched), &percent(totals.unmatched, plays)))
            (fact("Rows read", &count(totals.rows), ""))
            (fact("Rejected rows", &count(rejected), &percent(rejected, totals.rows)))
        }
    }
}

/// `2025-03-20 01:09:00 UTC` of `2025-03-20T01:09:00.123Z`; any other text as it is.
fn play_time(text: &str) -> String {
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

/// Rejected rows by reason, if there are any.
fn rejected(manifest: &Manifest) -> Markup {
    let reasons = |title: &str, reasons: &std::collections::BTreeMap<String, u64>| {
        html! {
            @if !reasons.is_empty() {
                table class="reasons" {
                    caption { (title) }
                    thead { tr { th scope="col" { "reason" } th scope="col" class="number" { "rows" } } }
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
        (reasons("Rejected rows of the logs", &manifest.totals.rejected))
        (reasons("Rejected rows of the catalog", &manifest.catalog.rejected))
    }
}

fn figure(chart: &Chart) -> Markup {
    html! {
        section id=(chart.name) {
            h2 { (clean(&chart.title)) }
            @match &chart.svg {
                Ok(svg) => {
                    (PreEscaped(svg))
                    (numbers(chart))
                },
                Err(Absent(why)) => { p class="absent" { (clean(why)) } },
            }
        }
    }
}

/// What a chart shows, for those who cannot see it.
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

fn section(name: &str, table: &Shown<Table>, output: &str) -> Markup {
    html! {
        section class="table" {
            h3 { code { (name) } }
            @match table {
                Ok(table) => { (rows(name, table, output)) },
                Err(Absent(why)) => { p class="absent" { (clean(why)) } },
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
            p class="absent" { "no rows" }
        } @else {
            div class="wide" tabindex="0" role="region" aria-label=(format!("rows of {name}")) {
                table {
                    caption { "The first of " (count(table.total)) " rows" }
                    thead { tr { @for column in &table.columns { th scope="col" { (clean(column)) } } } }
                    tbody {
                        @for row in &table.rows {
                            tr { @for cell in row {
                                td class=[is_number(cell).then_some("number")] { bdi { (beginning(cell)) } }
                            } }
                        }
                    }
                }
            }
            @if more > 0 { p class="more" { (count(more)) " more in " code { (clean(output)) "/" (name) "/" } } }
        }
    }
}

/// What is shown of a cell.
fn beginning(cell: &str) -> String {
    let text = clean(cell);
    match text.char_indices().nth(CELL) {
        Some((end, _)) => text[..end].to_owned() + "…",
        None => text,
    }
}
