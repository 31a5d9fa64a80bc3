//! Where epochs, intents and the instance id live, in memory and on disk.
#![warn(missing_docs)]
