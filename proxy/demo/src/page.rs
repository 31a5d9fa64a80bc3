//! The run as one HTML file that needs nothing else: the table of promises, and all that was seen on one time axis.
//!
//! Tables are plain HTML. Plots are drawn in the browser by the script in `page/plots.js`, from JSON in the page; it writes
//! what others said only as text.

use std::fmt::Write as _;

use serde_json::Value;

use crate::record::{By, Seen};
use crate::report::{Report, Row};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/plots.js");

/// What the page is about.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) seed: u64,
    /// What was done and found.
    pub(crate) report: &'a Report,
    pub(crate) seen: &'a Seen,
    /// The sidecar's configuration.
    pub(crate) config: &'a str,
}

impl Page<'_> {
    /// The whole file.
    pub(crate) fn html(&self) -> String {
        let mut html = String::with_capacity(TEMPLATE.len() * 16);
        // One pass, so that nothing that is filled in is looked at again.
        let mut rest = TEMPLATE;
        while let Some((before, after)) = rest.split_once("{{") {
            html.push_str(before);
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            html.push_str(&self.part(name));
            rest = after;
        }
        html.push_str(rest);
        html
    }

    fn part(&self, name: &str) -> String {
        match name {
            "style" => STYLE.to_owned(),
            "script" => SCRIPT.to_owned(),
            "data" => self.data(),
            "seed" => self.seed.to_string(),
            "version" => escape(env!("CARGO_PKG_VERSION")),
            "took" => format!("{:.0} s", seconds(self.seen.took_ms)),
            "verdict" => escape(&self.report.verdict()),
            "verdict-class" => if self.report.is_kept() { "kept" } else { "broken" }.to_owned(),
            "promises" => promises(self.report),
            "details" => self.report.details().iter().fold(String::new(), |mut html, detail| {
                // Writing to a string can't fail.
                writeln!(html, "<p class=\"detail\">{}</p>", escape(detail)).ok();
                html
            }),
            "events" => events(self.seen),
            "config" => escape(self.config),
            _ => String::new(),
        }
    }

    /// JSON that is safe inside of a script element: what could end it, or begin another, is written as an escape.
    fn data(&self) -> String {
        let value = serde_json::to_value(self.seen).unwrap_or(Value::Null);
        let mut text = String::new();
        for character in value.to_string().chars() {
            match character {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    write!(text, "\\u{:04x}", u32::from(character)).ok();
                }
                other => text.push(other),
            }
        }
        text
    }
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// Text as it stands in HTML, in an element or in an attribute.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

fn promises(report: &Report) -> String {
    let mut html = String::new();
    let mut last = "";
    for Row { act, promise, measured, kept } in report.rows() {
        let name = if *act == last { "" } else { act };
        last = act;
        let (class, verdict) = match kept {
            None => ("figure", ""),
            Some(true) => ("kept", "kept"),
            Some(false) => ("broken", "BROKEN"),
        };
        let (name, promise, measured) = (escape(name), escape(promise), escape(measured));
        writeln!(
            html,
            "<tr class=\"{class}\"><th>{name}</th><td>{promise}</td><td>{measured}</td><td>{verdict}</td></tr>"
        )
        .ok();
    }
    html
}

fn events(seen: &Seen) -> String {
    let mut html = String::new();
    for event in &seen.events {
        let (class, by) = match event.by {
            By::Demo => ("demo", "done to it"),
            By::Sidecar => ("sidecar", "the sidecar"),
        };
        let (at, words) = (seconds(event.at_ms), escape(&event.words));
        writeln!(html, "<tr class=\"{class}\"><td>{at:.2} s</td><td>{by}</td><td>{words}</td></tr>").ok();
    }
    html
}

#[cfg(test)]
mod tests;
