//! Checks rules for the source text: the order of imports, the purity of code, the only module that changes
//! files, one name per insight, forbidden words, and sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use music_insights::insights::NAMES;

/// The rooms of `src`, in the order of imports. A room may import only rooms above it in this list.
const ORDER: &[&str] = &[
    // Foundations: no I/O, no tasks.
    "time",
    "model",
    "text",
    // Services that every room may use.
    "telemetry",
    "storage",
    // The path of the data, from the inputs to the output.
    "ingest",
    "catalog",
    "ledger",
    "insights",
    "settings",
    "publish",
    "state",
    "engine",
    "serve",
    // Built on the rooms above.
    "verify",
    "cluster",
    "generate",
    "cli",
    "main",
];

/// Code that turns text into rows. The same text must give the same rows at any time on any machine.
const PURE: &[&str] = &[
    "time/civil.rs",
    "time/window.rs",
    "time/zone.rs",
    "model/bit_set.rs",
    "model/delimiter.rs",
    "model/dictionary.rs",
    "model/mod.rs",
    "model/sorted_ids.rs",
    "model/value.rs",
    "text/",
    "ingest/decode/",
    "catalog/mod.rs",
    "ledger/",
    "insights/",
    "serve/charts/",
    "serve/overview.rs",
    "generate/",
];

/// Words that pure code must not contain.
const IMPURE: [&str; 14] = [
    "crate::time::clock",
    "tokio",
    "std::fs",
    "std::net",
    "File",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "tracing",
    "println",
    "eprint",
    "std::env",
    "std::process",
];

/// The only files that create, rename or remove files.
const WRITERS: [&str; 1] = ["storage/real.rs"];

/// Calls that create, rename or remove files.
const WRITING: [&str; 13] = [
    "fs::rename",
    "fs::write",
    "fs::copy",
    "remove_file(",
    "remove_dir",
    "File::create",
    ".create_new(true)",
    ".create(true)",
    "create_dir",
    "hard_link",
    "set_permissions",
    ".append(true)",
    "OpenOptions::",
];

/// A source file without its comments and tests.
struct Source {
    /// The path of the file inside `src`.
    path: String,
    code: String,
}

impl Source {
    /// The room of the file. `insights/mod.rs` and `insights/rows.rs` both belong to `insights`.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The module path of the file, such as `insights::rows`.
    fn full_module(&self) -> String {
        self.path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
    }

    /// The same file without its `pub use` statements.
    fn without_reexports(&self) -> Self {
        let mut code = String::new();
        let mut rest = self.code.as_str();
        while let Some(start) = rest.find("pub use ") {
            code.push_str(&rest[..start]);
            rest = rest[start..].split_once(';').map_or("", |(_, rest)| rest);
        }
        code.push_str(rest);
        Self { path: self.path.clone(), code }
    }

    /// All paths that follow `crate::`, each in full: `insights::{Cut, rows::Rows}` gives
    /// `insights::Cut` and `insights::rows::Rows`.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for start in self.code.match_indices("crate::").map(|(at, text)| at + text.len()) {
            // No path follows `$crate` or `pub(crate)`.
            spell_out(&self.code[start..], "", &mut found);
        }
        found
    }
}

/// Collects the paths at the beginning of `text`. Returns the number of bytes that the paths take up.
fn spell_out(text: &str, prefix: &str, found: &mut BTreeSet<String>) -> usize {
    let end = text.find(|char: char| !char.is_alphanumeric() && !"_:".contains(char)).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !path.ends_with("::") || !text[end..].starts_with('{') {
        found.insert(path.trim_end_matches(':').to_owned());
        return end;
    }
    let mut at = end + 1;
    loop {
        at += text[at..].find(|char: char| !char.is_whitespace() && char != ',').unwrap_or(0);
        if text[at..].starts_with('}') || at >= text.len() {
            return at + 1;
        }
        at += spell_out(&text[at..], &path, found).max(1);
        if let Some(alias) = text[at..].strip_prefix(" as ") {
            let end = alias.find([',', '}']).unwrap_or(alias.len());
            at = text.len() - alias.len() + end;
        }
    }
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), sources);
        } else if Path::new(&path).extension().is_some_and(|end| end == "rs") {
            sources.push(Source { path, code: code_of(&fs::read_to_string(entry.path()).unwrap()) });
        }
    }
}

/// The text of a file without comments and tests. Tests are always at the end of a file.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn every_form_of_import_is_found() {
    let source = Source {
        path: "a/mod.rs".to_owned(),
        code: "use crate::b::{C, d::{E, F as G}, self};\nfn f() -> crate::h::I { crate::j() }\npub(crate) fn k() {}"
            .to_owned(),
    };
    let found: Vec<String> = source.imports().into_iter().collect();
    assert_eq!(found, ["b::C", "b::d::E", "b::d::F", "b::self", "h::I", "j"]);
    assert_eq!((source.module(), source.full_module().as_str()), ("a", "a"));
    let text = "//! crate::doc\nuse crate::a; // crate::remark\n    /// crate::doc\n#[cfg(test)]\nmod tests { crate::test }";
    assert_eq!(code_of(text), "use crate::a;\n");
}

#[test]
fn pure_code_uses_no_clock_no_files_and_no_tasks() {
    let sources = sources();
    let pure: Vec<&Source> =
        sources.iter().filter(|source| PURE.iter().any(|part| source.path.starts_with(part))).collect();
    for &part in PURE {
        assert!(
            pure.iter().any(|source| source.path.starts_with(part)),
            "src/{part} does not exist; update PURE"
        );
    }
    for source in pure {
        for word in IMPURE {
            assert!(!mentions(&source.code, word), "src/{} mentions {word}", source.path);
        }
    }
}

/// Whether the code contains `word` as a whole name (`FileId` does not contain the name `File`).
fn mentions(code: &str, word: &str) -> bool {
    let is_name = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    code.match_indices(word).any(|(at, _)| {
        // The word `println` also finds `eprintln`, and the word `eprint` also finds `eprintln`.
        let longer_before = is_name(code[..at].chars().next_back()) && word != "println";
        let longer_after = is_name(code[at + word.len()..].chars().next()) && word != "eprint";
        !longer_before && !longer_after
    })
}

/// Whether a name in the code begins with `word` (`LogFile::create` does not begin with `File::create`).
fn begins_name(code: &str, word: &str) -> bool {
    let joins = |char: char| char.is_alphanumeric() || char == '_';
    let stands_alone = |at: usize| word.starts_with('.') || !code[..at].ends_with(joins);
    code.match_indices(word).any(|(at, _)| stands_alone(at))
}

#[test]
fn rooms_import_only_rooms_above_them() {
    let sources = sources();
    let place = |module: &str| ORDER.iter().position(|&other| other == module);
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        let importer = source.module();
        let own = place(importer).unwrap_or_else(|| panic!("src/{} is not in ORDER", source.path));
        for import in source.imports() {
            let target = import.split("::").next().unwrap();
            let other = place(target).unwrap_or_else(|| {
                panic!("src/{} imports crate::{target}, which is not in ORDER", source.path)
            });
            assert!(other <= own, "src/{} imports crate::{target}, which is below it in ORDER", source.path);
        }
    }
    for &module in ORDER {
        assert!(
            sources.iter().any(|source| source.module() == module),
            "src/{module} does not exist; update ORDER"
        );
    }
}

/// Two files never import each other, neither directly nor through other files. This also holds inside a
/// room. A `mod.rs` counts as a file: a child module that `mod.rs` uses must not import from `mod.rs`.
/// Declaring or re-exporting a child module does not count as use.
#[test]
fn files_do_not_import_each_other_in_cycles() {
    let sources = sources();
    let files: BTreeSet<String> = sources.iter().map(Source::full_module).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !["lib.rs", "main.rs"].contains(&source.path.as_str())) {
        let own = source.full_module();
        // The imported file is the longest prefix of the path that names a file.
        let file_of = |import: String| {
            let ends = import.match_indices("::").map(|(at, _)| at).chain([import.len()]);
            ends.map(|end| import[..end].to_owned()).filter(|path| files.contains(path)).last()
        };
        let found = source.without_reexports().imports().into_iter().filter_map(file_of);
        imports.insert(own.clone(), found.filter(|file| *file != own).collect());
    }
    // A file without imports is part of no cycle. Remove such files until none remains.
    while let Some(free) = imports.iter().find(|(_, found)| found.is_empty()) {
        let free = free.0.clone();
        imports.remove(&free);
        for found in imports.values_mut() {
            found.remove(&free);
        }
    }
    // A file that no other file imports is part of no cycle either.
    loop {
        let imported: BTreeSet<&String> = imports.values().flatten().collect();
        let Some(root) = imports.keys().find(|file| !imported.contains(file)).cloned() else { break };
        imports.remove(&root);
    }
    assert!(imports.is_empty(), "import cycles among {imports:#?}");
}

#[test]
fn an_insight_has_one_name_everywhere() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = serde_json::to_value(music_insights::insights::Settings::default()).unwrap();
    let reference = fs::read_to_string(project.join("docs/reference/insights.md")).unwrap();
    let cases: Vec<_> =
        fs::read_dir(project.join("tests/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for name in NAMES {
        for file in [format!("src/insights/{name}.rs"), format!("src/insights/{name}.sql")] {
            assert!(project.join(&file).exists(), "{file} does not exist");
        }
        assert!(settings[name]["enabled"].is_boolean(), "the settings have no table [insights.{name}]");
        let has_section = reference.lines().any(|line| line == format!("## {name}"));
        assert!(has_section, "docs/reference/insights.md has no section for {name}");
        let has_case = cases.iter().any(|case| case.join("expected").join(name).is_dir());
        assert!(has_case, "no case in tests/cases expects {name}");
    }
}

/// Checks the insight files separately, because `cargo fmt` does not find modules that a macro declares.
#[test]
fn insight_files_are_formatted() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = NAMES.map(|name| project.join(format!("src/insights/{name}.rs")));
    let run = Command::new("rustfmt")
        .args(["--check", "--edition", "2024"])
        .args(files)
        .current_dir(project)
        .output();
    let Ok(output) = run else {
        println!("skipped: rustfmt is missing");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "run `rustfmt --edition 2024 src/insights/*.rs`\n{text}");
}

#[test]
fn only_one_module_changes_files() {
    let sources = sources();
    for source in &sources {
        let allowed = WRITERS.contains(&source.path.as_str());
        let found = WRITING.iter().find(|&&word| begins_name(&source.code, word) && !is_helper(source, word));
        assert!(allowed || found.is_none(), "src/{} mentions {}", source.path, found.unwrap());
    }
    for writer in WRITERS {
        let source = sources.iter().find(|source| source.path == writer);
        let writes = source.is_some_and(|source| WRITING.iter().any(|word| begins_name(&source.code, word)));
        assert!(writes, "src/{writer} does not change files; update WRITERS");
    }
}

/// Whether `word` is a helper function of `storage/mod.rs` that this file defines or calls.
fn is_helper(source: &Source, word: &str) -> bool {
    let name = word.trim_end_matches('(');
    let direct = [format!("fs::{name}"), format!("tokio::fs::{name}")];
    let imported = source.imports().contains(&format!("storage::{name}"));
    (imported || source.module() == "storage") && !direct.iter().any(|call| source.code.contains(call))
}

/// Extensions of text files that people read.
const TEXT: [&str; 12] =
    ["css", "html", "js", "json", "md", "py", "rs", "service", "sql", "timer", "toml", "yml"];

/// Folders and files that follow the glossary.
const WRITTEN_BY_THE_GLOSSARY: [&str; 5] = ["crates", "docs", "README.md", "src", "tests"];

/// Folders with test data. A stored state keeps the names of the version that wrote it.
const DATA: [&str; 3] = ["tests/cases", "tests/checkpoints", "tests/regressions"];

/// Collects all text files below a path. The key is the path inside the project.
fn texts(path: &Path, found: &mut BTreeMap<String, String>) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = path.strip_prefix(project).unwrap().to_str().unwrap().to_owned();
    if DATA.contains(&name.as_str()) {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            texts(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| TEXT.iter().any(|text| extension == *text)) {
        found.insert(name, fs::read_to_string(path).unwrap());
    }
}

/// Whether the line contains `word` as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(joins) && !line[at + word.len()..].starts_with(joins))
}

/// `ARCHITECTURE.md` lists the forbidden words. An entry in lower case also matches upper-case letters.
#[test]
fn forbidden_words_do_not_occur() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let architecture = fs::read_to_string(project.join("ARCHITECTURE.md")).unwrap();
    let section =
        architecture.split("\n## Forbidden words\n").nth(1).expect("ARCHITECTURE.md has the section");
    let list = section.split("```").nth(1).expect("the section has a list");
    let entries = list.lines().filter_map(|line| line.split_once(" -> "));
    let entries: Vec<(&str, &str)> = entries.collect();
    assert!(entries.len() > 10, "{entries:?}");
    let mut found = BTreeMap::new();
    for name in WRITTEN_BY_THE_GLOSSARY {
        texts(&project.join(name), &mut found);
    }
    assert!(found.len() > 200, "{} files", found.len());
    let mut hits = Vec::new();
    for (path, text) in &found {
        for (number, line) in (1..).zip(text.lines()) {
            let lower = line.to_lowercase();
            for (word, instead) in &entries {
                let any_case = word.chars().all(|char| !char.is_uppercase());
                if has_word(if any_case { &lower } else { line }, word) {
                    hits.push(format!("{path}:{number}: {word} -> {instead}"));
                }
            }
        }
    }
    assert!(hits.is_empty(), "{} forbidden words:\n{}", hits.len(), hits.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(
        lines <= 200 && readme.len() <= 16 << 10,
        "README.md has {lines} lines and {} bytes",
        readme.len()
    );
}

#[test]
fn there_are_few_rooms_and_no_long_files() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = fs::read_dir(project.join("src")).unwrap().count();
    assert!(rooms <= 20, "src has {rooms} entries");
    let mut found = BTreeMap::new();
    for name in ["crates", "src"] {
        texts(&project.join(name), &mut found);
    }
    let sources = found.iter().filter(|(path, _)| Path::new(path).extension().is_some_and(|end| end == "rs"));
    let lines = sources
        .map(|(path, text)| (path, text.split("#[cfg(test)]\nmod tests").next().unwrap().lines().count()));
    let long: Vec<_> = lines.filter(|(_, lines)| *lines > 500).collect();
    assert!(long.is_empty(), "files with more than 500 lines: {long:?}");
}
