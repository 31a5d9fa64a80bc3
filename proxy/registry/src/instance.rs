//! The sidecar's own name.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;

use foretoken_types::InstanceId;

use crate::{Error, Result};

/// Sixteen random bytes, in hexadecimal.
pub(crate) fn random() -> Result<InstanceId> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::NoRandomness)?;
    let hex = bytes.iter().fold(String::with_capacity(32), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
        hex
    });
    Ok(InstanceId::new(hex))
}
