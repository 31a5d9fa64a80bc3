//! The record: what was seen, foretold and done in each step, as lines of text (docs/record.md).
//!
//! A function of values both ways: [`Entry::write`] makes a line, [`Entry::read`] gives it back, and whoever has a file does
//! the rest. The lines are CSV with the names of [`header`] above them: pandas and Python's `csv` read them as they are.
//! Nothing in them needs quotes: every word is from a closed list or a name of the configuration.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use foretoken_types::{EndpointId, StoreId};

use crate::contract::{self, Feature, HORIZONS};
use crate::features::Row;
use crate::headroom::Resource;
use crate::risk::Risk;

/// Digits of the contract's digest that stand in each line.
const DIGEST_DIGITS: usize = 12;
/// Longest line that is read: four times the longest that is written.
const LINE_MOST: usize = 4096;
/// What comes before the features, and after the risks.
const HEAD: [&str; 8] = ["unix_ms", "contract", "step_ms", "store", "endpoint", "role", "state", "epoch"];
const TAIL: [&str; 6] = ["raised", "action", "would", "why", "verdict", "change"];

/// How much of a resource was used, in its own unit: cores, bytes or connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// In use.
    pub used: f64,
    /// Where it ends; `None` when there is no limit, or none that is known.
    pub limit: Option<f64>,
}

/// A word of a closed list: `a` to `z` and `_`. Empty where there is nothing to say.
pub type Word = Cow<'static, str>;

/// One endpoint in one step.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Wall clock at the end of the step, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Time between two steps.
    pub step: Duration,
    /// The store.
    pub store: StoreId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// `primary` or `mirror`, as the sidecar has it.
    pub role: Word,
    /// State of the store.
    pub state: Word,
    /// Epoch in force.
    pub epoch: u64,
    /// The features.
    pub row: Row,
    /// Use of each resource, in the order of [`Resource::ALL`].
    pub uses: [Option<Use>; Resource::ALL.len()],
    /// What the rule says.
    pub rule: Option<Risk>,
    /// What the model says, calibrated.
    pub model: Option<Risk>,
    /// What was believed.
    pub risk: Option<Risk>,
    /// Whether the alarm is raised.
    pub raised: bool,
    /// What was done about it.
    pub action: Word,
    /// What would have been done if everything were allowed.
    pub would: Word,
    /// Why that.
    pub why: Word,
    /// What was thought of the endpoint: `up`, `suspect` or `down`.
    pub verdict: Word,
    /// The change of primary that ended in this step: its kind and its outcome, as in `failover_done`.
    pub change: Word,
}

/// Why a line was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// The number of its fields is another one: it is torn, or not from a record.
    #[error("{found} fields instead of {expected}")]
    Fields {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// It was written for another contract.
    #[error("written for another contract of features")]
    Contract,
    /// A field does not hold what it must.
    #[error("the field {0} does not hold what it must")]
    Field(&'static str),
    /// It is far too long.
    #[error("longer than {LINE_MOST} bytes")]
    Long,
}

/// Names of the columns, in order.
#[must_use]
pub fn columns() -> Vec<Cow<'static, str>> {
    let risks = ["rule", "model", "risk"].into_iter();
    let features = Feature::ALL.map(|feature| Cow::Borrowed(feature.spec().name));
    let uses = Resource::ALL.into_iter().flat_map(|resource| {
        ["used", "limit"].map(|what| Cow::Owned(format!("{}_{what}", resource.as_str())))
    });
    let risks = risks.flat_map(|who| HORIZONS.map(|steps| Cow::Owned(format!("{who}_{steps}"))));
    HEAD.map(Cow::Borrowed)
        .into_iter()
        .chain(features)
        .chain(uses)
        .chain(risks)
        .chain(TAIL.map(Cow::Borrowed))
        .collect()
}

/// The first line of a file, with its end.
#[must_use]
pub fn header() -> String {
    columns().join(",") + "\n"
}

fn short_digest() -> String {
    let mut digest = contract::digest();
    digest.truncate(DIGEST_DIGITS);
    digest
}

impl Entry {
    /// Adds the line, with its end, to `text`.
    pub fn write(&self, text: &mut String) {
        let mut fields = Fields { text, first: true };
        fields.put(self.unix_ms);
        fields.put(short_digest());
        fields.put(self.step.as_millis());
        for name in [self.store.as_str(), self.endpoint.as_str(), &self.role, &self.state] {
            fields.put(name);
        }
        fields.put(self.epoch);
        for feature in Feature::ALL {
            fields.known(self.row.get(feature));
        }
        for used in self.uses {
            fields.known(used.map(|used| used.used));
            fields.known(used.and_then(|used| used.limit));
        }
        for risk in [self.rule, self.model, self.risk] {
            let risk = risk.map(Risk::to_array);
            for place in 0..HORIZONS.len() {
                fields.known(risk.map(|risk| risk[place]));
            }
        }
        fields.put(u8::from(self.raised));
        for word in [&self.action, &self.would, &self.why, &self.verdict, &self.change] {
            fields.put(word);
        }
        text.push('\n');
    }

    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// [`BadLine`]: it is torn or from something else. The lines after it may be good.
    pub fn read(line: &str) -> Result<Self, BadLine> {
        if line.len() > LINE_MOST {
            return Err(BadLine::Long);
        }
        let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split(',').collect();
        let expected =
            HEAD.len() + Feature::ALL.len() + 2 * Resource::ALL.len() + 3 * HORIZONS.len() + TAIL.len();
        if fields.len() != expected {
            return Err(BadLine::Fields { found: fields.len(), expected });
        }
        let mut fields = fields.into_iter();
        let mut next = || fields.next().unwrap_or_default();
        let unix_ms = number(next(), "unix_ms")?;
        if next() != short_digest() {
            return Err(BadLine::Contract);
        }
        let step = Duration::from_millis(number(next(), "step_ms")?);
        let (store, endpoint) = (name(next(), "store")?.into(), name(next(), "endpoint")?.into());
        let (role, state) = (word(next(), "role")?, word(next(), "state")?);
        let epoch = number(next(), "epoch")?;
        let mut row = Row::default();
        for feature in Feature::ALL {
            row.set(feature, known(next(), feature.spec().name)?);
        }
        let mut uses = [None; Resource::ALL.len()];
        for (place, resource) in uses.iter_mut().zip(Resource::ALL) {
            let (used, limit) = (known(next(), resource.as_str())?, known(next(), resource.as_str())?);
            *place = used.map(|used| Use { used, limit });
        }
        let mut risk = |who: &'static str| {
            let mut values = [None; HORIZONS.len()];
            for value in &mut values {
                *value = known(next(), who)?;
            }
            let [Some(a), Some(b), Some(c)] = values else {
                return if values.iter().all(Option::is_none) { Ok(None) } else { Err(BadLine::Field(who)) };
            };
            #[expect(clippy::cast_possible_truncation, reason = "a probability in single precision")]
            let risk = Risk::new([a, b, c].map(|p| p as f32)).ok_or(BadLine::Field(who))?;
            Ok(Some(risk))
        };
        let (rule, model, risk) = (risk("rule")?, risk("model")?, risk("risk")?);
        let raised = match next() {
            "0" => false,
            "1" => true,
            _ => return Err(BadLine::Field("raised")),
        };
        let (action, would, why) = (word(next(), "action")?, word(next(), "would")?, word(next(), "why")?);
        let (verdict, change) = (word(next(), "verdict")?, word(next(), "change")?);
        Ok(Self {
            unix_ms,
            step,
            store,
            endpoint,
            role,
            state,
            epoch,
            row,
            uses,
            rule,
            model,
            risk,
            raised,
            action,
            would,
            why,
            verdict,
            change,
        })
    }
}

/// The lines of one file: its entries in order, with what could not be read in its place. The header, and a last line that
/// has no end because its writer was killed, are left out.
pub fn entries(text: &str) -> impl Iterator<Item = Result<Entry, BadLine>> + '_ {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let header = header();
    whole.lines().filter(move |line| *line != header.trim_end()).map(Entry::read)
}

/// Writes fields with commas between them.
struct Fields<'a> {
    text: &'a mut String,
    first: bool,
}

impl Fields<'_> {
    fn put(&mut self, value: impl std::fmt::Display) {
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        write!(self.text, "{comma}{value}").expect("a String takes every write");
    }

    /// Empty when it isn't known.
    fn known<N: std::fmt::Display>(&mut self, value: Option<N>) {
        match value {
            Some(value) => self.put(value),
            None => self.put(""),
        }
    }
}

fn number<N: FromStr>(text: &str, field: &'static str) -> Result<N, BadLine> {
    text.parse().map_err(|_| BadLine::Field(field))
}

/// A finite number that is not negative, or nothing.
fn known(text: &str, field: &'static str) -> Result<Option<f64>, BadLine> {
    if text.is_empty() {
        return Ok(None);
    }
    let value: f64 = number(text, field)?;
    if value.is_finite() && value >= 0.0 { Ok(Some(value)) } else { Err(BadLine::Field(field)) }
}

fn word(text: &str, field: &'static str) -> Result<Word, BadLine> {
    let is_word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { Ok(Cow::Owned(text.to_owned())) } else { Err(BadLine::Field(field)) }
}

fn name<'a>(text: &'a str, field: &'static str) -> Result<&'a str, BadLine> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.bytes().all(is_name) { Ok(text) } else { Err(BadLine::Field(field)) }
}

#[cfg(test)]
mod tests;
