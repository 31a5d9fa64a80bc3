//! The table at the end: what was promised, what was measured, kept or broken.

use std::fmt;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) act: &'static str,
    pub(crate) promise: String,
    pub(crate) measured: String,
    /// `None`: a figure without a promise.
    pub(crate) kept: Option<bool>,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    details: Vec<String>,
}

impl Report {
    /// A figure without a promise.
    pub(crate) fn figure(&mut self, act: &'static str, what: &str, measured: impl Into<String>) {
        self.rows.push(Row { act, promise: what.to_owned(), measured: measured.into(), kept: None });
    }

    /// A promise.
    pub(crate) fn promise(
        &mut self,
        act: &'static str,
        promise: &str,
        measured: impl Into<String>,
        kept: bool,
    ) {
        let row = Row { act, promise: promise.to_owned(), measured: measured.into(), kept: Some(kept) };
        self.rows.push(row);
    }

    /// Says more about a promise that was broken.
    pub(crate) fn detail(&mut self, words: impl Into<String>) {
        self.details.push(words.into());
    }

    /// Every line.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What is to be said about broken promises.
    pub(crate) fn details(&self) -> &[String] {
        &self.details
    }

    /// All of it in a line.
    pub(crate) fn verdict(&self) -> String {
        let promises = self.rows.iter().filter(|row| row.kept.is_some()).count();
        let broken = self.rows.iter().filter(|row| row.kept == Some(false)).count();
        if broken == 0 {
            format!("{promises} promises, all kept")
        } else {
            format!("{promises} promises, {broken} BROKEN")
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.rows.iter().all(|row| row.kept != Some(false))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: fn(&Row) -> &str| self.rows.iter().map(|row| cell(row).chars().count()).max();
        let act = width(|row| row.act).unwrap_or(0);
        let promise = width(|row| &row.promise).unwrap_or(0);
        let measured = width(|row| &row.measured).unwrap_or(0);
        writeln!(f, "{:act$}  {:promise$}  {:measured$}  ", "ACT", "PROMISE", "MEASURED")?;
        let mut last = "";
        for row in &self.rows {
            let name = if row.act == last { "" } else { row.act };
            last = row.act;
            let verdict = match row.kept {
                None => "",
                Some(true) => "kept",
                Some(false) => "BROKEN",
            };
            let line =
                format!("{name:act$}  {:promise$}  {:measured$}  {verdict}", row.promise, row.measured);
            writeln!(f, "{}", line.trim_end())?;
        }
        for detail in &self.details {
            writeln!(f, "  {detail}")?;
        }
        f.write_str(&self.verdict())
    }
}
