//! The one configuration file: parsed, defaulted, validated.
#![warn(missing_docs)]
