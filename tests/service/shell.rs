//! Shell completions and manual pages, checked with the shells and with groff.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::daemon::{Place, stderr, stdout};

/// Runs a program on a file, and returns its output. `None` if the program is not installed.
fn check(program: &str, args: &[&str], file: &Path) -> Option<Output> {
    let output = Command::new(program).args(args).arg(file).output();
    if output.is_err() {
        println!("skipped: {program} is missing");
    }
    output.ok()
}

#[test]
fn shells_can_read_their_completion_scripts() {
    let place = Place::new("");
    for (shell, program, args) in [
        ("bash", "bash", &["-n"][..]),
        ("zsh", "zsh", &["-n"]),
        ("fish", "fish", &["--no-execute"]),
        ("elvish", "elvish", &["-compileonly"]),
        ("powershell", "pwsh", &["-NoProfile", "-File"]),
    ] {
        let script = stdout(&place.done(&["completions", shell]));
        for word in ["generate", "flush-interval", "log-format"] {
            assert!(script.contains(word), "{shell} cannot complete {word}");
        }
        place.write(shell, &script);
        if let Some(output) = check(program, args, &place.path(shell)) {
            assert!(output.status.success(), "{shell}: {}", stderr(&output));
        }
    }
    let refused = place.run(&["completions", "tcsh"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(stderr(&refused).contains("[possible values: bash, elvish, fish, powershell, zsh]"));
}

#[test]
fn bash_completes_commands_and_flags() {
    let place = Place::new("");
    place.write("script", &stdout(&place.done(&["completions", "bash"])));
    let complete = |words: &str, word: usize| {
        let text = format!(
            "source ./script; COMP_WORDS=({words}); COMP_CWORD={word}; \
             _music-insights music-insights \"${{COMP_WORDS[{word}]}}\" x; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").current_dir(place.root()).args(["-c", &text]).output().unwrap();
        stdout(&output).trim().to_owned()
    };
    assert_eq!(complete("music-insights wat", 1), "watch");
    assert_eq!(complete("music-insights watch --flush", 2), "--flush-interval");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let place = Place::new("");
    place.done(&["man", "--out", "man"]);
    let mut commands = vec![String::new()];
    let help = stdout(&place.done(&["--help"]));
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let words = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    commands.extend(words.filter_map(|line| line.split_whitespace().next()).map(|name| format!("-{name}")));
    commands.retain(|name| name != "-help");
    assert!(commands.len() > 8, "{commands:?}");
    assert_eq!(fs::read_dir(place.path("man")).unwrap().count(), commands.len());
    for command in commands {
        let page = place.path(&format!("man/music-insights{command}.1"));
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH EXAMPLES\n"), "{command}");
        for (program, args) in
            [("groff", &["-man", "-ww", "-z"][..]), ("mandoc", &["-T", "lint", "-W", "error"])]
        {
            if let Some(output) = check(program, args, &page) {
                assert!(
                    output.status.success() && output.stderr.is_empty(),
                    "{command}: {}",
                    stderr(&output)
                );
            }
        }
        let shown = stdout(
            &place.done(&["man", command.trim_start_matches('-')][..if command.is_empty() { 1 } else { 2 }]),
        );
        assert_eq!(shown, text, "the printed page differs from the written page");
    }
    let refused = place.run(&["man", "wach"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(stderr(&refused).contains("there is no command `wach`"));
}
