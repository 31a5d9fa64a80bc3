//! Why an endpoint is suspect or down.

use std::fmt;
use std::time::Duration;

/// What speaks against an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// Nobody listens on fresh connections, and every mirror that could be asked has lost its link.
    RefusedAndLinkDown,
    /// Nobody listens on fresh connections, and there is no mirror to ask.
    Refused,
    /// It says of itself that it loads its data.
    Loading,
    /// Results of class U in a row, over more than one signal (probe, fresh connection, live traffic).
    Failures {
        /// How many; a refused connection counts twice.
        weight: u32,
        /// From how many signals.
        signals: u32,
    },
    /// A probe has had no answer, over all attempts since the last one that had.
    ProbeUnanswered(Duration),
    /// A request of live traffic has had no answer, and no probe since then had one.
    RequestUnanswered(Duration),
    /// Replies stopped that had come regularly.
    Silence {
        /// Phi (Hayashibara et al. 2004).
        phi: f64,
    },
}

impl Evidence {
    /// A name for logs and status.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RefusedAndLinkDown => "refused_and_link_down",
            Self::Refused => "refused",
            Self::Loading => "loading",
            Self::Failures { .. } => "failures",
            Self::ProbeUnanswered(_) => "probe_unanswered",
            Self::RequestUnanswered(_) => "request_unanswered",
            Self::Silence { .. } => "silence",
        }
    }

    /// Whether it needs no confirmation.
    pub(crate) const fn is_conclusive(&self) -> bool {
        matches!(self, Self::RefusedAndLinkDown | Self::Refused)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefusedAndLinkDown => f.write_str("it refuses connections and its mirrors have lost it"),
            Self::Refused => f.write_str("it refuses connections and there is no mirror to ask"),
            Self::Loading => f.write_str("it loads its data"),
            Self::Failures { weight, signals } => {
                write!(f, "{weight} failures in a row from {signals} signals")
            }
            Self::ProbeUnanswered(age) => write!(f, "a probe unanswered for {} ms", age.as_millis()),
            Self::RequestUnanswered(age) => write!(f, "a request unanswered for {} ms", age.as_millis()),
            Self::Silence { phi } => write!(f, "replies stopped (phi {phi:.1})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_has_a_name_for_machines_and_words_for_people() {
        let half = Duration::from_millis(500);
        for (evidence, name, words) in [
            (
                Evidence::RefusedAndLinkDown,
                "refused_and_link_down",
                "it refuses connections and its mirrors have lost it",
            ),
            (Evidence::Refused, "refused", "it refuses connections and there is no mirror to ask"),
            (Evidence::Loading, "loading", "it loads its data"),
            (Evidence::Failures { weight: 3, signals: 2 }, "failures", "3 failures in a row from 2 signals"),
            (Evidence::ProbeUnanswered(half), "probe_unanswered", "a probe unanswered for 500 ms"),
            (Evidence::RequestUnanswered(half), "request_unanswered", "a request unanswered for 500 ms"),
            (Evidence::Silence { phi: 8.06 }, "silence", "replies stopped (phi 8.1)"),
        ] {
            assert_eq!((evidence.as_str(), evidence.to_string().as_str()), (name, words));
        }
    }
}
