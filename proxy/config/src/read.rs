//! From text to sections, with every fault on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::fault::{Fault, Faults};
use crate::section::{Facts, Kind, Section, Spec};
use crate::suggest;
use crate::value::{Mismatch, Setting, Text as _, declared, unexpected};

/// Most tables of a kind: more stores than one sidecar serves, more mirrors than a primary feeds.
const TABLES_MAX: usize = 64;

/// Where keys are, and what people call them.
///
/// Inside, a key is known by its place (`store[0].lease.guard`); people see the name (`store.cache.lease.guard`).
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Place>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: Option<usize>,
    pub(crate) label: String,
}

impl Places {
    pub(crate) fn put(&mut self, path: &str, line: Option<usize>, label: &str) {
        self.0.insert(path.to_owned(), Place { line, label: label.to_owned() });
    }

    /// Where `path` is, or would be: a key that is not there is at the head of its table.
    pub(crate) fn find(&self, path: &str) -> Place {
        let mut known = path;
        loop {
            if let Some(place) = self.0.get(known) {
                let label = format!("{}{}", place.label, &path[known.len()..]);
                return Place { line: place.line, label };
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = &known[..end],
                None => return Place { line: None, label: path.to_owned() },
            }
        }
    }
}

/// What reading found beside the values.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) places: Places,
    pub(crate) faults: Vec<Fault>,
    /// Paths whose values are not what the file says, because that was faulty.
    broken: BTreeSet<String>,
}

impl Findings {
    /// Whether the value at `path` is what the file says, so that it can be compared with others.
    pub(crate) fn sound(&self, path: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !self.broken.iter().any(|broken| within(broken, path) || within(path, broken))
    }

    pub(crate) fn fault(&mut self, path: &str, problem: String, remedy: String) {
        let Place { line, label } = self.places.find(path);
        self.faults.push(Fault { line, key: label, problem, remedy });
    }
}

/// What is read: which keys there are, and where people find them.
struct Document {
    spec: fn() -> Spec,
    reference: &'static str,
}

/// Line numbers of byte offsets.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

/// Reads a whole file. Relative paths in it count from `base`; `reference` lists every key.
///
/// # Errors
/// When it is not TOML: what is in it can't be told then. All other faults are in the findings.
pub(crate) fn document<S: Section>(
    text: &str,
    origin: &str,
    base: &Path,
    reference: &'static str,
) -> Result<(S, Findings), Faults> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors.into_iter().map(|error| Fault {
        line: error.span().map(|span| lines.at(span.start)),
        key: String::new(),
        problem: format!("is not TOML: {}", error.message().replace('\n', ", ")),
        remedy: "mend the syntax; other faults are looked for afterwards".to_owned(),
    });
    if let Some(faults) = Faults::of(origin, faults.collect()) {
        return Err(faults);
    }
    let mut findings = Findings::default();
    let mut reader = Reader {
        document: &Document { spec: S::spec, reference },
        lines: &lines,
        base,
        findings: &mut findings,
        table: Some(table.get_ref()),
        path: String::new(),
        label: String::new(),
    };
    let section = reader.section();
    Ok((section, findings))
}

/// One table on the way.
pub(crate) struct Reader<'a, 't> {
    document: &'a Document,
    lines: &'a Lines,
    base: &'a Path,
    findings: &'a mut Findings,
    /// `None` when the file has no such table: everything is as declared.
    table: Option<&'t DeTable<'t>>,
    path: String,
    label: String,
}

impl<'t> Reader<'_, 't> {
    /// The value at the key, or the declared one.
    pub(crate) fn default<T: Setting>(&mut self, facts: Facts) -> T {
        self.optional(facts).unwrap_or_else(|| declared::<T>(facts.text).based(self.base))
    }

    /// The value at the key; a fault when there is none.
    pub(crate) fn required<T: Setting>(&mut self, facts: Facts) -> T {
        let path = join(&self.path, facts.name);
        self.optional(facts).unwrap_or_else(|| {
            if self.findings.broken.insert(path.clone()) {
                let remedy = format!("add a line such as: {} = {}", facts.name, facts.text);
                self.findings.fault(&path, "is missing".to_owned(), remedy);
            }
            declared(facts.text)
        })
    }

    /// The value at the key, if there is one.
    pub(crate) fn optional<T: Setting>(&mut self, facts: Facts) -> Option<T> {
        let path = join(&self.path, facts.name);
        let value = self.take(&path, facts.name)?;
        let read = T::read(value).and_then(|read: T| within_range(&read, facts).map(|()| read));
        match read {
            Ok(read) => Some(read.based(self.base)),
            Err(Mismatch { problem, remedy }) => {
                let remedy =
                    remedy.unwrap_or_else(|| format!("write it like {} = {}", facts.name, facts.text));
                self.findings.broken.insert(path.clone());
                self.findings.fault(&path, problem, remedy);
                None
            }
        }
    }

    /// The section at the key; all defaults when there is none.
    pub(crate) fn table<S: Section>(&mut self, facts: Facts) -> S {
        let path = join(&self.path, facts.name);
        let label = join(&self.label, facts.name);
        let table = self.take(&path, facts.name).and_then(|value| self.as_table(&path, &label, value));
        self.child(table, path, label)
    }

    /// The section at the key, if there is one.
    pub(crate) fn optional_table<S: Section>(&mut self, facts: Facts) -> Option<S> {
        let path = join(&self.path, facts.name);
        let label = join(&self.label, facts.name);
        let value = self.take(&path, facts.name)?;
        let table = self.as_table(&path, &label, value)?;
        Some(self.child(Some(table), path, label))
    }

    /// The sections at the key, if there are any.
    pub(crate) fn optional_tables<S: Section>(&mut self, facts: Facts) -> Vec<S> {
        match self.table {
            Some(table) if table.contains_key(facts.name) => self.tables(facts),
            _ => Vec::new(),
        }
    }

    /// The sections at the key; a fault when there is none.
    pub(crate) fn tables<S: Section>(&mut self, facts: Facts) -> Vec<S> {
        let path = join(&self.path, facts.name);
        let head = join(&table_name(&self.path), facts.name);
        let items = match self.take(&path, facts.name) {
            Some(DeValue::Array(items)) if !items.is_empty() && items.len() <= TABLES_MAX => items,
            found => {
                let problem = match found {
                    None => "is missing".to_owned(),
                    Some(DeValue::Array(items)) => {
                        format!("is there {} times, not 1 to {TABLES_MAX}", items.len())
                    }
                    Some(DeValue::Table(_)) => "is a single table, and there may be several".to_owned(),
                    Some(other) => unexpected("tables", other).problem,
                };
                self.findings.broken.insert(path.clone());
                self.findings.fault(&path, problem, format!("write it under the head [[{head}]]"));
                return Vec::new();
            }
        };
        let mut names = BTreeSet::new();
        let mut sections = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let name = item.get_ref().get("name").and_then(|name| name.get_ref().as_str());
            // The same check as for the name itself; what is no name is told apart by its place.
            let name =
                name.filter(|name| foretoken_types::StoreId::parse(name).is_ok() && names.insert(*name));
            let label = join(&self.label, &format!("{}[{index}]", facts.name));
            let label = name.map_or(label, |name| join(&join(&self.label, facts.name), name));
            self.findings.places.put(&path, Some(self.lines.at(item.span().start)), &label);
            let table = self.as_table(&path, &label, item.get_ref());
            sections.push(self.child(table, path, label));
        }
        sections
    }

    /// Looks the key up and notes where it is.
    fn take(&mut self, path: &str, name: &str) -> Option<&'t DeValue<'t>> {
        let (key, value) = self.table?.get_key_value(name)?;
        self.findings.places.put(path, Some(self.lines.at(key.span().start)), &join(&self.label, name));
        Some(value.get_ref())
    }

    fn as_table(&mut self, path: &str, label: &str, value: &'t DeValue<'t>) -> Option<&'t DeTable<'t>> {
        let table = value.as_table();
        if table.is_none() {
            let problem = match value {
                DeValue::Array(_) => "is there as a list of tables, and there can be only one".to_owned(),
                other => unexpected("a table", other).problem,
            };
            self.findings.broken.insert(path.to_owned());
            let name = label.rsplit('.').next().unwrap_or(label);
            let head = join(&table_name(path.rsplit_once('.').map_or("", |(outer, _)| outer)), name);
            self.findings.fault(path, problem, format!("write it under the head [{head}]"));
        }
        table
    }

    fn child<S: Section>(&mut self, table: Option<&'t DeTable<'t>>, path: String, label: String) -> S {
        let Self { document, lines, base, .. } = *self;
        Reader { document, lines, base, findings: self.findings, table, path, label }.section()
    }

    fn section<S: Section>(&mut self) -> S {
        let section = S::read(self);
        if let Some(table) = self.table {
            let spec = S::spec();
            for key in
                table.keys().filter(|key| !spec.keys.iter().any(|known| known.facts.name == key.get_ref()))
            {
                self.unknown(key, &spec);
            }
        }
        section
    }

    fn unknown(&mut self, key: &Spanned<DeString<'_>>, spec: &Spec) {
        let name: &str = key.get_ref();
        let remedy = match suggest::nearest(name, spec.keys.iter().map(|known| known.facts.name)) {
            Some(near) => format!("did you mean {near}?"),
            None => match suggest::sections_with(name, (self.document.spec)()).as_slice() {
                [] => format!("remove it; {} lists every key", self.document.reference),
                sections => format!("move it under {}", sections.join(" or ")),
            },
        };
        let shown = shown(name);
        self.findings.faults.push(Fault {
            line: Some(self.lines.at(key.span().start)),
            key: join(&self.label, &shown),
            problem: "is not a key".to_owned(),
            remedy,
        });
    }
}

/// A key as far as it makes sense to print it.
fn shown(name: &str) -> String {
    const SHOWN: usize = 64;
    name.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

fn within_range<T: Setting>(value: &T, facts: Facts) -> Result<(), Mismatch> {
    let Some((low, high)) = facts.range else { return Ok(()) };
    let size = value.measure();
    if size < declared::<T>(low).measure() || size > declared::<T>(high).measure() {
        let problem = format!("{} is outside of {low} to {high}", value.write());
        return Err(Mismatch::with_remedy(problem, format!("the default is {}", facts.text)));
    }
    Ok(())
}

pub(crate) fn join(outer: &str, name: &str) -> String {
    if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") }
}

/// `store[0].endpoint[1].tls` as the head of a table has it: `store.endpoint.tls`.
fn table_name(path: &str) -> String {
    path.split('.').map(|part| part.split('[').next().unwrap_or(part)).collect::<Vec<_>>().join(".")
}

/// Every table in `spec` with its head as it stands in a file: `[log]`, `[[store]]`, `[store.tls]`.
pub(crate) fn heads(spec: Spec) -> Vec<(String, Spec)> {
    let mut heads = Vec::new();
    let mut open = vec![(String::new(), spec)];
    while let Some((path, mut spec)) = open.pop() {
        for key in std::mem::take(&mut spec.keys) {
            let inner = join(&path, key.facts.name);
            match key.kind {
                Kind::Table(spec) | Kind::OptionalTable(spec) => open.push((inner, spec)),
                Kind::Tables(spec) | Kind::OptionalTables(spec) => open.push((inner, spec)),
                Kind::Value(..) => spec.keys.push(key),
            }
        }
        heads.push((path, spec));
    }
    heads
}

#[cfg(test)]
mod tests;
