//! Compares the documentation with the program: all commands work, all links have a target, and the tables
//! of the reference are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use music_insights::model::Reason;
use music_insights::telemetry::metrics::Metrics;
use regex::Regex;

use crate::daemon::stderr;

/// Pages with commands that need the sample data of the repository. The tests copy this data.
const PAGES_WITH_SAMPLE_DATA: [&str; 1] = ["README.md"];
/// Pages with commands that need more than this program. `tests/cluster.rs` runs these commands.
const PAGES_RUN_ELSEWHERE: [&str; 1] = ["docs/how-to/run-on-a-cluster.md"];

/// The script that replaces `music-insights` in the commands of a page. If a command has no end, the script
/// stops it after some time. The command must then exit with success.
const PROGRAM: &str = r#"#!/bin/sh -eu
case " $* " in
*" --once "*) ;;
*" watch "* | *" --rate "*)
    "$PROGRAM_UNDER_TEST" "$@" &
    sleep 1.5
    kill "$!"
    wait "$!"
    exit
    ;;
esac
exec "$PROGRAM_UNDER_TEST" "$@"
"#;

/// The script that replaces `cargo` in the commands of a page. It runs the program that is already built. It
/// builds and installs nothing.
const CARGO: &str = r#"#!/bin/sh -eu
case "$*" in
"run --release -- "*)
    shift 3
    exec music-insights "$@"
    ;;
test | "install --path .") ;;
*)
    echo "the test does not know: cargo $*" >&2
    exit 1
    ;;
esac
"#;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(project().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The paths of `README.md` and of all pages below `docs`, relative to the project.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    let mut folders = vec![project().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(project()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// A fenced code block of a page.
struct Block {
    language: String,
    text: String,
    /// Whether only blank lines separate this block from the previous block.
    follows: bool,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut prose = true;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => {
                blocks.extend(open.take());
                prose = false;
            }
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), text: String::new(), follows: !prose });
            }
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => prose |= !line.trim().is_empty(),
        }
    }
    blocks
}

/// The text of a page without its fenced blocks.
fn prose(page: &str) -> String {
    let outside = page.split("```").step_by(2);
    outside.collect::<Vec<_>>().join("\n")
}

fn write_executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the `sh` blocks of a page in one shell. If a `text` block follows directly, compares it with the
/// output. Returns the number of `sh` blocks.
fn run_page(page: &str) -> usize {
    let blocks = blocks(&read(page));
    // The output of each block goes to a separate file.
    let blocks_with_numbers = (0..).zip(&blocks).filter(|(_, block)| block.language == "sh");
    let script: Vec<String> = blocks_with_numbers
        .map(|(number, block)| format!("exec > ../block-{number}\n{}", block.text))
        .collect();
    let script = script.concat();
    if script.is_empty() {
        return 0;
    }
    let folder = tempfile::tempdir().unwrap();
    let (bin, work) = (folder.path().join("bin"), folder.path().join("work"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir_all(work.join("data/incoming")).unwrap();
    write_executable(&bin.join("music-insights"), PROGRAM);
    write_executable(&bin.join("cargo"), CARGO);
    if PAGES_WITH_SAMPLE_DATA.contains(&page) {
        for name in ["data/songs_metadata.csv", "data/incoming/plays-00000.csv"] {
            fs::copy(project().join(name), work.join(name)).unwrap();
        }
    } else {
        fs::remove_dir_all(work.join("data")).unwrap();
    }

    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &script]).current_dir(&work).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSIC_INSIGHTS_")) {
        shell.env_remove(name);
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let done = shell
        .env("PATH", path)
        .env("PROGRAM_UNDER_TEST", env!("CARGO_BIN_EXE_music-insights"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{page}: {}\n{}", done.status, stderr(&done));

    for (number, pair) in blocks.windows(2).enumerate() {
        let [commands, output] = pair else { unreachable!() };
        if commands.language == "sh" && output.language == "text" && output.follows {
            let found = fs::read_to_string(folder.path().join(format!("block-{number}"))).unwrap();
            let (found, shown) = (without_speed(&found), without_speed(&output.text));
            // A page may show only the end of a long output.
            assert!(
                found.trim_end().ends_with(shown.trim_end()),
                "{page}: the page shows\n{shown}but the commands print\n{found}"
            );
        }
    }
    blocks.iter().filter(|block| block.language == "sh").count()
}

/// The text without times and speeds, because these differ between runs.
fn without_speed(text: &str) -> String {
    Regex::new(r"in [0-9.]+ s, [0-9,]+ rows/s").unwrap().replace_all(text, "in … s").into_owned()
}

#[test]
fn the_commands_of_the_readme_work_as_written() {
    assert!(run_page("README.md") >= 2);
}

#[test]
fn the_commands_of_the_documentation_work_as_written() {
    let pages = pages();
    for page in PAGES_WITH_SAMPLE_DATA.iter().chain(&PAGES_RUN_ELSEWHERE) {
        assert!(pages.iter().any(|other| other == page), "the page {page} does not exist");
    }
    let runnable = pages
        .iter()
        .filter(|page| page.as_str() != "README.md" && !PAGES_RUN_ELSEWHERE.contains(&page.as_str()));
    let with_commands = runnable.filter(|page| run_page(page) > 0).count();
    assert!(with_commands >= 5, "only {with_commands} pages have commands");
}

/// The anchors of a page. Each heading has an anchor, named as on the website of the repository.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// Resolves `..` in a path. The result must lie inside the project.
fn normalized(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, component| {
        match component {
            Component::ParentDir => assert!(path.pop(), "a link leaves the project"),
            Component::CurDir => {}
            component => path.push(component),
        }
        path
    })
}

#[test]
fn links_have_files_and_headings_as_targets() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut pages = pages();
    pages.extend(
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benches/README.md"]
            .map(str::to_owned),
    );
    let mut broken = Vec::new();
    for page in &pages {
        for found in link.captures_iter(&prose(&read(page))) {
            let target = &found[1];
            if target.starts_with("https://")
                || target.starts_with("http://")
                || target.starts_with("mailto:")
            {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => PathBuf::from(page),
                file => normalized(&Path::new(page).parent().unwrap().join(file)),
            };
            let exists = project().join(&path).exists();
            let anchored =
                anchor.is_empty() || (exists && anchors(&read(path.to_str().unwrap())).contains(anchor));
            if !exists || !anchored {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

/// The cells of all table rows of a page, without backticks.
fn table_rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()).collect()
}

#[test]
fn every_reject_reason_is_documented() {
    let page = read("docs/reference/reject-reasons.md");
    // All rows except the header rows.
    let rows = table_rows(&page).into_iter().filter(|row| row[0] != "code" && !row[0].starts_with("--"));
    let mut documented: Vec<String> = rows.map(|row| row[0].clone()).collect();
    documented.sort();
    let mut reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    reasons.sort_unstable();
    assert_eq!(documented, reasons);
}

#[test]
fn every_metric_is_documented_with_its_type() {
    let metrics = Metrics::default();
    // A metric with labels appears in the text only if it has a value.
    for labelled in [&metrics.events_rejected, &metrics.catalog_reloads, &metrics.http_requests] {
        labelled.with_label_values(&["any"]).inc();
    }
    for labelled in [&metrics.insight_rows, &metrics.queue_depth] {
        labelled.with_label_values(&["any"]).set(1);
    }
    metrics.backpressure.with_label_values(&["any"]).inc();
    let text = metrics.to_text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<String, String> =
        types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();

    let page = read("docs/reference/metrics.md");
    let rows = table_rows(&page).into_iter().filter(|row| row[0].starts_with("music_insights_"));
    let documented: BTreeMap<String, String> = rows.map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(documented, types);
}

#[test]
fn every_exit_code_is_documented() {
    let page = read("docs/reference/exit-codes.md");
    let first_table = page.lines().skip_while(|line| !line.starts_with('|'));
    let first_table: Vec<&str> = first_table.take_while(|line| line.starts_with('|')).collect();
    let digits = Regex::new(r"^\[?([0-9]+)").unwrap();
    let cells = table_rows(&first_table.join("\n"));
    let documented: BTreeSet<u16> =
        cells.iter().filter_map(|row| digits.captures(&row[0])?[1].parse().ok()).collect();
    let source = read("src/cli/exit_code.rs");
    let variant = Regex::new(r"(?m)^ +[A-Z]\w+ = ([0-9]+),$").unwrap();
    let defined = variant.captures_iter(&source).map(|found| found[1].parse().unwrap());
    // The table also lists success and the exit code after a second signal.
    let defined: BTreeSet<u16> = defined.chain([0, 130]).collect();
    assert!(defined.len() > 8, "{defined:?}");
    assert_eq!(documented, defined);
}

#[test]
fn the_changelog_keeps_its_form() {
    let changelog = read("CHANGELOG.md");
    let versions: Vec<&str> = changelog.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(versions[0].starts_with(env!("CARGO_PKG_VERSION")), "the newest entry is {}", versions[0]);
    let version =
        Regex::new(r"^[0-9]+\.[0-9]+\.[0-9]+ - (unreleased|20[0-9]{2}-[0-9]{2}-[0-9]{2})$").unwrap();
    assert!(versions.iter().all(|text| version.is_match(text)), "{versions:?}");
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    for kind in changelog.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(kinds.contains(&kind), "{kind} is not a section of Keep a Changelog");
    }
}
