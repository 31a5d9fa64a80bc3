//! `RESULTS.md`: each bench writes its own part of it and leaves the others as they are.
#![allow(dead_code, reason = "several benches use a part each")]

use std::io;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");

/// Puts `text` in the place of all that stood under `# heading`, or at the end when nothing did.
pub(crate) fn replace(heading: &str, text: &str) -> io::Result<()> {
    change(|parts| {
        let part = format!("# {heading}\n\n{}\n", text.trim());
        match parts.iter_mut().find(|part| is_under(heading, part)) {
            Some(before) => *before = part,
            None => parts.push(part),
        }
    })
}

/// Adds `text` to the end of what stands under `# heading`, which begins with `introduction` when there is nothing yet.
pub(crate) fn append(heading: &str, introduction: &str, text: &str) -> io::Result<()> {
    change(|parts| {
        let text = format!("\n{}\n", text.trim());
        match parts.iter_mut().find(|part| is_under(heading, part)) {
            Some(before) => *before = format!("{}\n{text}", before.trim_end()),
            None => parts.push(format!("# {heading}\n\n{introduction}\n{text}")),
        }
    })
}

fn is_under(heading: &str, part: &str) -> bool {
    part.lines().next().and_then(|line| line.strip_prefix("# ")) == Some(heading)
}

/// The new file stands beside the old one before it takes its place: nobody finds half of it.
fn change(edit: impl FnOnce(&mut Vec<String>)) -> io::Result<()> {
    let before = match std::fs::read_to_string(PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let mut parts = parts(&before);
    edit(&mut parts);
    let after: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    let new = format!("{PATH}.new");
    std::fs::write(&new, after.join("\n\n") + "\n")?;
    std::fs::rename(new, PATH)
}

/// A part begins with a heading of the first rank.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match parts.last_mut() {
            Some(part) if !line.starts_with("# ") => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    parts
}
