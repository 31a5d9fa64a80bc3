//! Looking an endpoint over before taking charge of it (PROTOCOL 7.3 and 7.4): what is asked. What follows from the answers
//! is in `findings`.

mod findings;

use std::collections::HashMap;

use foretoken_protocol::{Dial, Preflight, Refused};
use foretoken_types::{EndpointId, Failure};

use super::client::{Client, Pipeline, Reply, command};
use super::info::Info;
use super::keys::{Keys, PROBE};
use super::probe::{SENTINEL_CHANNEL, read_info};
use super::value::Value;

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

/// A command that the user may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lacking {
    name: &'static str,
    /// Whether the store can't be managed without it.
    needed: bool,
}

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
    let info = read_info(&mut replies, SECTIONS.len())?;
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
    let lacking = permissions(client, keys, authenticated).await?;
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

/// Which of our commands the user may not run.
///
/// They are queued in a transaction that is discarded: permissions are checked when a command is queued, and nothing is
/// executed. A user who may not even open a transaction is told so first, since what follows would then be executed.
async fn permissions(client: &mut Client, keys: &Keys, authenticated: bool) -> Result<Vec<Lacking>, Refused> {
    let mut lacking = Vec::new();
    let mut note = |replies: super::client::Replies, optional: &[&str]| {
        for reply in replies {
            let refused = reply.value.error().is_some_and(|text| {
                text.starts_with("NOPERM") || text.to_ascii_lowercase().contains("unknown command")
            });
            if refused {
                lacking.push(Lacking { name: reply.name, needed: !optional.contains(&reply.name) });
            }
        }
    };
    let opened = async {
        note(client.ask(&command("MULTI", &[]).command("EXEC", &[])).await?, &[]);
        // `EXEC` may have been refused and the transaction be open still: begin anew on another connection.
        client.close();
        let reply = client.ask(&command("MULTI", &[])).await?.take()?;
        if reply.value.error().is_some() {
            return Ok(());
        }
        let (epoch, owner, followers) = (keys.epoch.as_str(), keys.owner.as_str(), keys.followers.as_str());
        let all = Pipeline::default()
            .command("WATCH", &[owner])
            .command("UNWATCH", &[])
            .command("GET", &[epoch])
            .command("SET", &[epoch, "0"])
            .command("SETRANGE", &[PROBE, "0", ""])
            .command("DEL", &[owner])
            .command("ZADD", &[followers, "0", "-"])
            .command("ZREVRANGE", &[followers, "0", "0"])
            .command("ZREMRANGEBYSCORE", &[followers, "0", "0"])
            .command("PEXPIRE", &[followers, "1"])
            .command("TIME", &[])
            .command("REPLICAOF", &["NO", "ONE"])
            .command("CLIENT PAUSE", &["1", "WRITE"])
            .command("CLIENT UNPAUSE", &[])
            .command("CLIENT KILL", &["TYPE", "normal", "SKIPME", "yes"])
            .command_if(authenticated, "CONFIG SET", &["masterauth", "-"])
            .command("CONFIG GET", &["save"])
            .command("PUBSUB NUMSUB", &[SENTINEL_CHANNEL])
            .command("DISCARD", &[]);
        note(client.ask_next(&all).await?, &["CONFIG GET", "PUBSUB NUMSUB"]);
        Ok(())
    }
    .await;
    client.close();
    opened.map(|()| lacking)
}
