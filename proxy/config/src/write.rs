//! From sections back to text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::read::join;
use crate::section::Section;
use crate::value::Setting;

/// What one configuration says about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The value as TOML.
    pub(crate) text: String,
    /// Path of the table that it is in, by names.
    pub(crate) table: String,
    /// Whether a reload applies it.
    pub(crate) live: bool,
    /// Whether a reload also applies that its table comes or goes.
    pub(crate) free: bool,
}

/// Collects values, as text and by their paths.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// TOML.
    pub(crate) text: String,
    /// Each value by its path by names, such as `store.cache.lease.guard`.
    pub(crate) entries: BTreeMap<String, Entry>,
    head: String,
    label: String,
    free: bool,
}

impl Writer {
    /// Everything in `section`.
    pub(crate) fn of<S: Section>(section: &S) -> Self {
        let mut writer: Self = Default::default();
        section.write(&mut writer);
        writer
    }

    pub(crate) fn default<T: Setting>(&mut self, name: &str, live: bool, value: &T) {
        let text = value.write();
        writeln!(self.text, "{name} = {text}").expect("a String takes every write");
        let entry = Entry { text, table: self.label.clone(), live, free: self.free };
        self.entries.insert(join(&self.label, name), entry);
    }

    pub(crate) fn required<T: Setting>(&mut self, name: &str, live: bool, value: &T) {
        self.default(name, live, value);
    }

    pub(crate) fn optional<T: Setting>(&mut self, name: &str, live: bool, value: &Option<T>) {
        if let Some(value) = value {
            self.default(name, live, value);
        }
    }

    pub(crate) fn table<S: Section>(&mut self, name: &str, _: bool, section: &S) {
        let label = join(&self.label, name);
        self.inside(name, label, ("[", "]"), section);
    }

    pub(crate) fn optional_table<S: Section>(&mut self, name: &str, live: bool, section: &Option<S>) {
        if let Some(section) = section {
            self.table(name, live, section);
        }
    }

    pub(crate) fn tables<S: Section>(&mut self, name: &str, live: bool, sections: &[S]) {
        let outer = std::mem::replace(&mut self.free, live);
        for (number, section) in sections.iter().enumerate() {
            let own = Self::of(section).entries.remove("name").map(|entry| entry.text);
            let own = own.map_or_else(|| number.to_string(), |name| name.trim_matches('"').to_owned());
            let label = join(&join(&self.label, name), &own);
            self.inside(name, label, ("[[", "]]"), section);
        }
        self.free = outer;
    }

    pub(crate) fn optional_tables<S: Section>(&mut self, name: &str, live: bool, sections: &[S]) {
        self.tables(name, live, sections);
    }

    fn inside<S: Section>(&mut self, name: &str, label: String, brackets: (&str, &str), section: &S) {
        let head = join(&self.head, name);
        writeln!(self.text, "\n{}{head}{}", brackets.0, brackets.1).expect("a String takes every write");
        let outer = (std::mem::replace(&mut self.head, head), std::mem::replace(&mut self.label, label));
        section.write(self);
        (self.head, self.label) = outer;
    }
}
