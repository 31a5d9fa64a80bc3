//! Redis: wire, commands, sessions, upstreams, probes and roles.
#![warn(missing_docs)]
