//! Runs the fuzz targets on their corpus, and on mutations of the corpus.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 5] = [
    ("decode", targets::decode),
    ("json_lines", targets::json_lines),
    ("timestamp", targets::timestamp),
    ("catalog", targets::catalog),
    ("checkpoint", targets::checkpoint),
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = fs::read_dir(&folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

#[test]
fn the_corpus_causes_no_panic() {
    for (name, target) in TARGETS {
        for bytes in corpus(name) {
            target(&bytes);
        }
    }
}

#[test]
fn mutations_of_the_corpus_cause_no_panic() {
    let cases = if std::env::var("LONG_TESTS").is_ok_and(|value| value == "1") { 50_000 } else { 1_000 };
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let change =
            (any::<proptest::sample::Index>(), 0_usize..40, proptest::collection::vec(any::<u8>(), 0..6));
        let strategy = (proptest::sample::select(corpus), proptest::collection::vec(change, 1..5));
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
        runner
            .run(&strategy, |(mut bytes, changes)| {
                for (at, removed, inserted) in changes {
                    let from = at.index(bytes.len() + 1);
                    let to = bytes.len().min(from + removed);
                    bytes.splice(from..to, inserted);
                }
                target(&bytes);
                Ok(())
            })
            .unwrap();
    }
}
