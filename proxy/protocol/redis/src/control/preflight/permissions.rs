//! Which of our commands the user may not run. None of them is executed to find out.

use foretoken_protocol::Refused;

use super::super::client::{Client, Pipeline, Replies, Reply, command};
use super::super::keys::{Keys, PROBE};
use super::super::probe::SENTINEL_CHANNEL;

/// Commands without which the store can be managed.
const OPTIONAL: [&str; 2] = ["CONFIG GET", "PUBSUB NUMSUB"];

/// A command that the user may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    pub(super) name: &'static str,
    /// Whether the store can't be managed without it.
    pub(super) needed: bool,
}

/// Asks for them. `copied`: whether other endpoints may copy this one, which they do as our user when we have one.
///
/// They are queued in a transaction that is discarded: permissions are checked when a command is queued, and nothing is
/// executed. A user who may not even open a transaction is told so first, since what follows would then be executed.
pub(super) async fn lacking(client: &mut Client, keys: &Keys, copied: bool) -> Result<Vec<Lacking>, Refused> {
    let asked = ask(client, keys, copied).await;
    client.close();
    asked
}

async fn ask(client: &mut Client, keys: &Keys, copied: bool) -> Result<Vec<Lacking>, Refused> {
    let mut lacking = Vec::new();
    let mut note = |replies: Replies| {
        let refused = replies.into_iter().filter(is_refused).map(|reply| reply.name);
        lacking.extend(refused.map(|name| Lacking { name, needed: !OPTIONAL.contains(&name) }));
    };
    let authenticated = client.credentials.is_some();
    let copied = copied && authenticated;
    let may_copy = if copied { may_copy(client).await? } else { None };
    note(client.ask(&command("MULTI", &[]).command("EXEC", &[])).await?);
    // `EXEC` may have been refused and the transaction be open still: begin anew on another connection.
    client.close();
    let opened = client.ask(&command("MULTI", &[])).await?.take()?.value.error().is_none();
    if opened {
        note(client.ask_next(&all(keys, authenticated, copied)).await?);
    }
    if may_copy == Some(false) {
        lacking.push(Lacking { name: "PSYNC", needed: true });
    }
    Ok(lacking)
}

/// What is sent over control connections, and by the end `DISCARD`.
fn all(keys: &Keys, authenticated: bool, copied: bool) -> Pipeline {
    let (epoch, owner, followers) = (keys.epoch.as_str(), keys.owner.as_str(), keys.followers.as_str());
    Pipeline::default()
        .command("INFO", &["server"])
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
        .command_if(copied, "REPLCONF", &["capa", "eof"])
        .command("CONFIG GET", &["save"])
        .command("PUBSUB NUMSUB", &[SENTINEL_CHANNEL])
        .command("DISCARD", &[])
}

/// Whether a mirror that authenticates as our user may copy the server. `PSYNC` can't be queued, and to send it would begin a
/// copy: the server is asked what it would say. `None`: it does not tell, before version 7 or for want of a permission.
async fn may_copy(client: &mut Client) -> Result<Option<bool>, Refused> {
    let Some(credentials) = &client.credentials else { return Ok(None) };
    let user = credentials.user.clone().unwrap_or_else(|| "default".to_owned());
    let told = client.ask(&command("ACL DRYRUN", &[&user, "PSYNC", "?", "-1"])).await?.take()?;
    // Who may not is told so in a sentence, which is no error.
    Ok(told.value.text().map(|text| text == "OK"))
}

fn is_refused(reply: &Reply) -> bool {
    reply.value.error().is_some_and(|text| {
        // The refusal of an `EXEC` is told as the reason why its transaction was discarded.
        let told = text.strip_prefix("EXECABORT Transaction discarded because of: ").unwrap_or(text);
        told.starts_with("NOPERM") || told.to_ascii_lowercase().contains("unknown command")
    })
}

/// What is needed and lacks, in a sentence; `None` when nothing does.
pub(super) fn needed(lacking: &[Lacking]) -> Option<String> {
    let names: Vec<_> = lacking.iter().filter(|lacking| lacking.needed).map(|lacking| lacking.name).collect();
    if names.is_empty() {
        return None;
    }
    let copies = ["REPLCONF", "PSYNC"].iter().any(|name| names.contains(name));
    Some(format!(
        "the user may not run {} (all on the keys ~__ft:* where they take keys){}{}",
        names.join(", "),
        if names.contains(&"MULTI") { "; what else it may not is not seen without MULTI" } else { "" },
        if copies { "; mirrors copy as this user (masteruser), by REPLCONF and PSYNC" } else { "" },
    ))
}
