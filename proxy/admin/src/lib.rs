//! The admin listener: health, metrics, stores and switchovers.
#![warn(missing_docs)]
