use std::path::Path;

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_arguments_make_sense() {
    Cli::command().debug_assert();
}

#[test]
fn a_first_try_and_a_file_exclude_each_other() {
    let parses = |line: &str| parse(line).is_ok();
    assert!(parses("foretoken run --config f"));
    assert!(parses("foretoken run --config f --admin-open --log-format json"));
    assert!(parses("foretoken run --primary redis://h:1"));
    assert!(parses(
        "foretoken run --listen h:0 --admin h:2 --primary redis://h:1 --mirror redis://h:2 --mirror redis://h:3"
    ));
    assert!(!parses("foretoken run --config f --primary redis://h:1"));
    assert!(!parses("foretoken run --config f --sole-writer"));
    assert!(!parses("foretoken run --config f --listen h:0"));
    assert!(!parses("foretoken check"));
    assert!(parses("foretoken status --admin /run/ft.sock --json"));
    assert!(!parses("foretoken status --admin h:1 --config f"));
    assert!(parses("foretoken status --admin https://h:1 --ca-file f --cert-file f --key-file f"));
    assert!(!parses("foretoken status --admin https://h:1 --cert-file f"));
    assert!(!parses("foretoken status --config f --ca-file f"));
    assert!(!parses("foretoken status --admin h:1 --json --ready"));
    assert!(parses("foretoken switchover cart --to b --dry-run --config f"));
}

#[test]
fn what_is_missing_is_told_with_every_way_to_give_it() {
    for line in
        ["foretoken run", "foretoken run --listen h:1", "foretoken run --mirror redis://h:1 --sole-writer"]
    {
        let told = parse(line).expect_err(line).to_string();
        assert!(told.contains("  <--config <FILE>|--primary <URL>>\n"), "{line}: {told}");
        assert!(!told.contains("  --primary <URL>\n"), "{line} asks for both: {told}");
    }
    for line in ["foretoken status", "foretoken switchover cart", "foretoken switchover cart --dry-run"] {
        let told = parse(line).expect_err(line).to_string();
        assert!(told.contains("  <--config <FILE>|--admin <ADDRESS>>\n"), "{line}: {told}");
    }
}

#[test]
fn what_is_no_log_level_is_refused() {
    for level in ["loud", "warning", "info,loud", "foretoken_app=loud"] {
        for command in ["run", "gate"] {
            let told = parse(&format!("foretoken {command} --config f --log-level {level}"))
                .expect_err(level)
                .to_string();
            assert!(told.contains(level) && told.contains("error, warn, info, debug, trace"), "{told}");
        }
    }
    assert!(parse("foretoken run --config f --log-level warn,foretoken_app=debug").is_ok());
}

/// The commands of a page: lines of its code blocks that begin with the program's name, without comments, and with the
/// lines that they go on in.
fn commands(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in page.lines() {
        let line = line.split_once(" #").map_or(line, |(command, _)| command);
        let begins = line.starts_with("    foretoken ") || line.starts_with("       foretoken ");
        if !begins && !goes_on {
            continue;
        }
        let words = line.trim().trim_end_matches('\\');
        match found.last_mut() {
            Some(command) if goes_on => command.push_str(words),
            _ => found.push(words.to_owned()),
        }
        goes_on = line.ends_with('\\');
    }
    found
}

#[test]
fn every_command_of_the_documents_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = std::fs::read_dir(root.join("docs")).expect("the folder is there");
    let pages = documents.map(|entry| entry.expect("an entry").path()).chain([root.join("README.md")]);
    let mut parsed = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(&page).expect("it is there");
        for command in commands(&text) {
            if let Err(error) = parse(&command) {
                panic!("{}: {command}\n{error}", page.display());
            }
            parsed += 1;
        }
    }
    assert!(parsed >= 8, "only {parsed} commands");
}
