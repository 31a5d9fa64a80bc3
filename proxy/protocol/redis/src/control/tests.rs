//! Against real servers, each started by its own test on a free port.

mod access;
mod figures;
mod hostile;
mod ownership;
mod preflight;
mod probes;
mod roles;
mod support;
mod trouble;
