//! Reading, writing and comparing configurations.

use std::collections::BTreeMap;
use std::path::Path;

use foretoken_types::Address;

use crate::fault::Faults;
use crate::model::{Config, Gate};
use crate::read;
use crate::validate;
use crate::write::{Entry, Writer};

/// Largest file that is read: a thousand times a real one.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Where people find every key, and those of a gate.
const REFERENCE: &str = "config/foretoken.toml";
const GATE_REFERENCE: &str = "docs/gate.md";

/// What the command line gives for a first try without a file.
#[derive(Clone, Debug, Default)]
pub struct Quick {
    /// Where clients connect.
    pub listen: String,
    /// Where health, metrics and the API are served besides the Unix socket.
    pub admin: Option<String>,
    /// URL of the primary.
    pub primary: String,
    /// URLs of the mirrors.
    pub mirrors: Vec<String>,
    /// `writers = "this-sidecar"`.
    pub sole_writer: bool,
    /// Where state is kept.
    pub state_dir: Option<std::path::PathBuf>,
}

/// What differs between two configurations, by the paths of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Applied by a reload.
    pub applied: Vec<String>,
    /// Applied by the next start.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// Reads a configuration from its text. `origin` names it in faults; relative paths stay as they are.
    ///
    /// # Errors
    /// Every fault in one go, with line, key, relation and remedy.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Faults> {
        Self::parse_at(text, origin, Path::new(""))
    }

    fn parse_at(text: &str, origin: &str, base: &Path) -> Result<Self, Faults> {
        let (config, mut findings) = read::document::<Self>(text, origin, base, REFERENCE)?;
        validate::relations(&config, &mut findings);
        match Faults::of(origin, findings.faults) {
            None => Ok(config),
            Some(faults) => Err(faults),
        }
    }

    /// Reads a configuration file. Relative paths in it count from its directory.
    ///
    /// # Errors
    /// As [`Config::parse`]; also when the file can't be read.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let (text, origin) = text_of(path)?;
        Self::parse_at(&text, &origin, path.parent().unwrap_or(Path::new("")))
    }

    /// The configuration of a first try over one store called `redis`.
    ///
    /// # Errors
    /// As [`Config::parse`], without lines: nobody has written the text that the arguments amount to.
    pub fn quick(quick: &Quick) -> Result<Self, Faults> {
        use std::fmt::Write as _;
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("a String takes every write");
        if let Some(dir) = &quick.state_dir {
            line(format!("state_dir = {}", quoted(&dir.display().to_string())));
        }
        if let Some(admin) = &quick.admin {
            line(format!("[admin]\nlisten = {}", quoted(admin)));
        }
        line("[[store]]\nname = \"redis\"\nprotocol = \"redis\"".to_owned());
        line(format!("listen = [{}]", quoted(&quick.listen)));
        if quick.sole_writer {
            line("writers = \"this-sidecar\"".to_owned());
        }
        line(format!(
            "[[store.endpoint]]\nname = \"primary\"\nrole = \"primary\"\nurl = {}",
            quoted(&quick.primary)
        ));
        for (number, url) in quick.mirrors.iter().enumerate() {
            let number = number + 1;
            line(format!(
                "[[store.endpoint]]\nname = \"mirror-{number}\"\nrole = \"mirror\"\nurl = {}",
                quoted(url)
            ));
        }
        Self::parse(&text, "arguments").map_err(Faults::without_lines)
    }

    /// The text of a file that reads back as this configuration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        Writer::of(self).text
    }

    /// What a reload from `old` to `new` changes, and what of it waits for a restart.
    #[must_use]
    pub fn reloadable_changes(old: &Self, new: &Self) -> Changes {
        let (old, new) = (Writer::of(old).entries, Writer::of(new).entries);
        let mut changes = Changes::default();
        let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let (before, after) = (old.get(key), new.get(key));
            if before == after {
                continue;
            }
            // A store or endpoint that comes or goes does so as a whole, and takes a restart; a key of one that stays may, and
            // a service may as a whole.
            let stays = |entry: &Entry| {
                let has = |entries: &BTreeMap<String, Entry>| {
                    entries.values().any(|other| other.table == entry.table)
                };
                has(&old) && has(&new)
            };
            let live = before.or(after).is_some_and(|entry| entry.live && (entry.free || stays(entry)));
            if live { changes.applied.push(key.clone()) } else { changes.needs_restart.push(key.clone()) }
        }
        changes
    }

    /// Where the admin API listens over TCP, if it does.
    #[must_use]
    pub const fn admin_listen(&self) -> Option<&Address> {
        self.admin.listen.as_ref()
    }
}

impl Gate {
    /// Reads the configuration file of a gate. Relative paths in it count from its directory.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let (text, origin) = text_of(path)?;
        let (gate, mut findings) =
            read::document::<Self>(&text, &origin, path.parent().unwrap_or(Path::new("")), GATE_REFERENCE)?;
        validate::gate(&gate, &mut findings);
        match Faults::of(&origin, findings.faults) {
            None => Ok(gate),
            Some(faults) => Err(faults),
        }
    }
}

/// The text of a file and its name in faults.
fn text_of(path: &Path) -> Result<(String, String), Faults> {
    let origin = path.display().to_string();
    let unreadable = |why: String| Faults::whole(&origin, why, "give the path of a readable file");
    let size = std::fs::metadata(path).map_err(|error| unreadable(format!("can't be read: {error}")))?.len();
    if size > FILE_MAX {
        return Err(unreadable(format!("has {size} bytes, more than {FILE_MAX}")));
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| unreadable(format!("can't be read: {error}")))?;
    Ok((text, origin))
}
