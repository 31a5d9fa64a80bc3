//! Looking an endpoint over before taking charge of it (PROTOCOL 7.3 and 7.4): what is asked. What follows from the answers
//! is in `findings`.

mod findings;
mod permissions;

use std::collections::HashMap;

use foretoken_protocol::{Dial, Preflight, Refused};
use foretoken_types::{EndpointId, Failure};

use super::client::{Client, Pipeline, Reply};
use super::info::Info;
use super::keys::{Keys, PROBE};
use super::probe::{SENTINEL_CHANNEL, read_info};
use super::value::Value;
use permissions::Lacking;

/// Settings that are looked at.
const SETTINGS: [&str; 9] = [
    "save",
    "appendfsync",
    "replica-serve-stale-data",
    "replica-read-only",
    "repl-backlog-size",
    "min-replicas-to-write",
    "protected-mode",
    "masteruser",
    "masterauth",
];

/// All answers.
#[derive(Debug)]
struct Facts<'a> {
    info: Info,
    /// As far as `CONFIG GET` is permitted. A password is only told to be set (`***`).
    settings: HashMap<&'static str, String>,
    /// Clients subscribed as Sentinels are.
    sentinels: i64,
    /// Why the write probe was refused, if it was.
    refusal: Option<String>,
    /// Commands that may not be run.
    lacking: Vec<Lacking>,
    /// Whether we use a password, and so the replication link needs one too.
    authenticated: bool,
    endpoints: &'a [Dial],
    this: &'a EndpointId,
}

/// [`foretoken_protocol::Control::preflight`].
pub(super) async fn preflight(
    client: &mut Client,
    keys: &Keys,
    endpoints: &[Dial],
    this: &EndpointId,
) -> Result<Preflight, Refused> {
    const SECTIONS: [&str; 4] = ["server", "replication", "persistence", "memory"];
    let sections = SECTIONS.iter().fold(Pipeline::default(), |all, section| all.command("INFO", &[section]));
    let settings = SETTINGS.iter().fold(sections, |all, setting| all.command("CONFIG GET", &[setting]));
    let all = settings.command("PUBSUB NUMSUB", &[SENTINEL_CHANNEL]).command("SETRANGE", &[PROBE, "0", ""]);
    let mut replies = client.ask(&all).await?;
    // Where there is no other endpoint nobody copies this one.
    let copied = endpoints.len() > 1;
    let info = match read_info(&mut replies, SECTIONS.len()) {
        // It names one command; who has to grant them wants to hear of all.
        Err(refused) if refused.failure == Failure::Credentials => {
            let lacking = permissions::lacking(client, keys, copied).await?;
            let all = permissions::needed(&lacking).map(|all| Refused::new(Failure::Credentials, all));
            return Err(all.unwrap_or(refused));
        }
        info => info?,
    };
    if info.is_set("loading") {
        return Err(Refused::new(Failure::NotServing, "it is loading its data; ask again when it has done"));
    }
    let mut settings = HashMap::new();
    for name in SETTINGS {
        if let Some(value) = setting(name, replies.take()?) {
            settings.insert(name, value);
        }
    }
    let sentinels = replies.take()?.value.items().get(1).and_then(Value::number).unwrap_or(0);
    let refusal = replies.take()?.value.error().map(str::to_owned);
    let authenticated = client.credentials.is_some();
    let lacking = permissions::lacking(client, keys, copied).await?;
    let facts = Facts { info, settings, sentinels, refusal, lacking, authenticated, endpoints, this };
    let (server, version) = facts.info.version();
    Ok(Preflight { server, version, findings: findings::all(&facts) })
}

/// The value in a reply to `CONFIG GET`; `None` when it is not permitted or the setting is unknown.
fn setting(name: &str, reply: Reply) -> Option<String> {
    let Value::Array(mut items) = reply.value else { return None };
    let mut value = items.pop().filter(|_| items.len() == 1)?;
    if name != "masterauth" {
        return value.text();
    }
    match &mut value {
        Value::Bulk(password) if !password.is_empty() => {
            zeroize::Zeroize::zeroize(password);
            Some("***".to_owned())
        }
        _ => Some(String::new()),
    }
}
