//! Marker, owner record and followers: what sidecars write into a store to know of each other.
//!
//! Compare-and-set is `WATCH` and not a script: an ACL may well forbid scripts.

use std::time::Duration;

use foretoken_protocol::{Claim, Refused};
use foretoken_types::{Epoch, Failure, InstanceId};

use super::client::{Client, Pipeline, Replies, command, unexpected};
use super::keys::Keys;
use super::value::Value;

/// How often a record may change under our hands before we give up; two instances that start at once need one retry.
const ATTEMPTS: u32 = 4;

/// Milliseconds for `PX`: 0 is refused by the server.
fn millis(life: Duration) -> String {
    life.as_millis().max(1).to_string()
}

/// Whether a transaction was executed; `false` when a watched key had changed.
fn executed(replies: Replies) -> Result<bool, Refused> {
    let mut last = None;
    for reply in replies {
        // The first error tells why; the EXECABORT that follows it does not.
        last = Some((reply.name, reply.ok()?));
    }
    match last {
        Some((_, Value::Nil)) => Ok(false),
        Some((name, Value::Array(items))) => match items.iter().find_map(Value::error) {
            Some(text) => Err(super::client::refusal(name, text)),
            None => Ok(true),
        },
        _ => Err(unexpected("EXEC")),
    }
}

/// Watches the owner record and returns who holds it.
async fn watch(client: &mut Client, keys: &Keys) -> Result<Option<String>, Refused> {
    let mut replies = client.ask(&command("WATCH", &[&keys.owner]).command("GET", &[&keys.owner])).await?;
    replies.take()?.ok()?;
    match replies.take()?.ok()? {
        Value::Nil => Ok(None),
        value => value.text().map(Some).ok_or_else(|| unexpected("GET")),
    }
}

fn contended() -> Refused {
    Refused::new(Failure::Other, "the owner record keeps changing while it is being written")
}

/// [`foretoken_protocol::Control::claim`].
pub(super) async fn claim(
    client: &mut Client,
    keys: &Keys,
    instance: &InstanceId,
    life: Duration,
) -> Result<Claim, Refused> {
    // A failure may leave the record watched, and the next transaction must not fail for that.
    let claimed = try_claim(client, keys, instance, life).await;
    claimed.inspect_err(|_| client.close())
}

async fn try_claim(
    client: &mut Client,
    keys: &Keys,
    instance: &InstanceId,
    life: Duration,
) -> Result<Claim, Refused> {
    for _ in 0..ATTEMPTS {
        let condition = match watch(client, keys).await? {
            None => "NX",
            Some(holder) if holder == instance.as_str() => "XX",
            Some(holder) => {
                client.ask_next(&command("UNWATCH", &[])).await?.take()?.ok()?;
                return Ok(Claim::HeldBy(InstanceId::new(holder)));
            }
        };
        let write = command("MULTI", &[])
            .command("SET", &[&keys.owner, instance.as_str(), condition, "PX", &millis(life)])
            .command("EXEC", &[]);
        if executed(client.ask_next(&write).await?)? {
            return Ok(Claim::Held);
        }
    }
    Err(contended())
}

/// [`foretoken_protocol::Control::release`].
pub(super) async fn release(client: &mut Client, keys: &Keys, instance: &InstanceId) -> Result<(), Refused> {
    try_release(client, keys, instance).await.inspect_err(|_| client.close())
}

async fn try_release(client: &mut Client, keys: &Keys, instance: &InstanceId) -> Result<(), Refused> {
    for _ in 0..ATTEMPTS {
        if watch(client, keys).await?.as_deref() != Some(instance.as_str()) {
            client.ask_next(&command("UNWATCH", &[])).await?.take()?.ok()?;
            return Ok(());
        }
        let delete = command("MULTI", &[]).command("DEL", &[&keys.owner]).command("EXEC", &[]);
        if executed(client.ask_next(&delete).await?)? {
            return Ok(());
        }
    }
    Err(contended())
}

/// [`foretoken_protocol::Control::register_follower`].
pub(super) async fn register_follower(
    client: &mut Client,
    keys: &Keys,
    instance: &InstanceId,
    life: Duration,
) -> Result<(), Refused> {
    let time = client.ask(&command("TIME", &[])).await?.take()?.ok()?;
    let part = |at: usize| time.items().get(at).and_then(Value::number).ok_or_else(|| unexpected("TIME"));
    let now_ms = part(0)?.saturating_mul(1000).saturating_add(part(1)? / 1000);
    let end_ms = now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
    let key = keys.followers.as_str();
    // NX, then GT: GT alone takes a key without expiry for one that lives for ever.
    let pipeline = Pipeline::default()
        .command("MULTI", &[])
        .command("ZADD", &[key, &end_ms.to_string(), instance.as_str()])
        .command("ZREMRANGEBYSCORE", &[key, "-inf", &now_ms.to_string()])
        .command("PEXPIRE", &[key, &millis(life), "NX"])
        .command("PEXPIRE", &[key, &millis(life), "GT"])
        .command("EXEC", &[]);
    if executed(client.ask(&pipeline).await?)? { Ok(()) } else { Err(unexpected("EXEC")) }
}

/// [`foretoken_protocol::Control::mark`].
pub(super) async fn mark(client: &mut Client, keys: &Keys, epoch: Epoch) -> Result<(), Refused> {
    client.ask(&command("SET", &[&keys.epoch, &epoch.to_string()])).await?.take()?.ok().map(drop)
}
