//! One look at an endpoint, in one round trip.

use std::time::Duration;

use foretoken_protocol::{Dial, Place, Refused};
use foretoken_types::{Epoch, Failure, Home, InstanceId, Observation, OwnerClaim, Persistence};
use tokio::time::Instant;

use super::client::{Client, Pipeline, Replies, Reply, command, quoted, refusal};
use super::info::Info;
use super::keys::{Keys, PROBE};
use super::value::Value;

/// For how long the answer of `CONFIG GET save` is good: it changes when an operator changes it.
const SAVE_REFRESH: Duration = Duration::from_secs(10);
/// Index of the last follower that is looked at, those that live longest first: 64 of them, and one changes everything.
const FOLLOWERS_LAST: &str = "63";
/// The channel over which Sentinels find each other: each is subscribed to it on every server that it watches.
pub(super) const SENTINEL_CHANNEL: &str = "__sentinel__:hello";

/// What is remembered between looks.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When `save` was asked for, and whether snapshots are scheduled (`None`: not permitted).
    save: Option<(Instant, Option<bool>)>,
}

/// A key's value, when it could be read.
fn marker(reply: Reply) -> Result<Option<Value>, Refused> {
    match reply.value.error() {
        None => Ok(Some(reply.value)),
        // The server is up, but does not show its data now: LOADING while it reads its file, MASTERDOWN on a mirror without
        // `replica-serve-stale-data`, MOVED and CLUSTERDOWN in cluster mode. WRONGTYPE: the application made a key of that
        // name, which is no record of ours.
        Some(text)
            if ["LOADING ", "MASTERDOWN ", "MOVED ", "CLUSTERDOWN ", "WRONGTYPE "]
                .iter()
                .any(|p| text.starts_with(p)) =>
        {
            Ok(None)
        }
        Some(text) => Err(refusal(reply.name, text)),
    }
}

/// Why the write probe was refused, with what would mend it; `None`: it passed.
///
/// `SETRANGE key 0 ""` creates nothing, changes nothing and moves no offset, but is refused whenever a write would be.
fn refused(reply: &Reply) -> Result<Option<String>, Refused> {
    match reply.value.error() {
        None => Ok(None),
        // Type errors come after every check of the server's state.
        Some(text) if text.starts_with("WRONGTYPE ") => Ok(None),
        Some(text) => match refusal(reply.name, text) {
            refused if refused.failure == Failure::Credentials => Err(refused),
            _ => Ok(Some(format!("{}{}", quoted(text), remedy(text)))),
        },
    }
}

/// What an operator can do about writes that are refused.
fn remedy(text: &str) -> &'static str {
    match text.split(' ').next() {
        Some("OOM") => "; raise maxmemory, delete keys, or let some be evicted (maxmemory-policy)",
        Some("MISCONF") => "; see the server's log and give its disk room",
        Some("NOREPLICAS") => "; fewer mirrors keep up than min-replicas-to-write asks for",
        _ => "",
    }
}

/// Followers whose time has not passed at the server's clock; all of them when the server does not tell its time.
fn living(followers: &[Value], now_ms: Option<i64>) -> u32 {
    let expiries = followers.chunks_exact(2).map(|pair| pair[1].number().unwrap_or(i64::MAX));
    let count = expiries.filter(|expiry| now_ms.is_none_or(|now| *expiry > now)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether snapshots are scheduled, from the reply to `CONFIG GET save`.
fn saves(reply: &Value) -> Option<bool> {
    reply.items().get(1)?.text().map(|schedule| !schedule.trim().is_empty())
}

/// [`foretoken_protocol::Control::observe`].
pub(super) async fn observe(
    client: &mut Client,
    memory: &mut Memory,
    keys: &Keys,
    endpoints: &[Dial],
    probe_writes: bool,
) -> Result<Observation, Refused> {
    let now = Instant::now();
    let ask_save = memory.save.is_none_or(|(asked, _)| now.duration_since(asked) >= SAVE_REFRESH);
    let pipeline = Pipeline::default()
        .command("INFO", &["server"])
        .command("INFO", &["replication"])
        .command("INFO", &["persistence"])
        .command("INFO", &["keyspace"])
        .command("PUBSUB NUMSUB", &[SENTINEL_CHANNEL])
        .command("GET", &[&keys.epoch])
        .command("GET", &[&keys.owner])
        .command("ZREVRANGE", &[&keys.followers, "0", FOLLOWERS_LAST, "WITHSCORES"])
        .command_if(probe_writes, "SETRANGE", &[PROBE, "0", ""])
        .command_if(ask_save, "CONFIG GET", &["save"]);
    let mut replies = client.ask(&pipeline).await?;

    let info = read_info(&mut replies, 4)?;
    let sentinels = replies.take()?.value.items().get(1).and_then(Value::number).unwrap_or(0);
    let epoch = replies.take()?;
    let loading =
        info.is_set("loading") || epoch.value.error().is_some_and(|text| text.starts_with("LOADING "));
    let epoch = marker(epoch)?.and_then(|value| value.number());
    let owner = marker(replies.take()?)?.and_then(|value| value.text());
    let followers = marker(replies.take()?)?;
    let refuses_writes = if probe_writes { refused(&replies.take()?)? } else { None };
    if ask_save {
        memory.save = Some((now, saves(&replies.take()?.value)));
    }

    let now_ms = info.number::<i64>("server_time_usec").map(|us| us / 1000);
    let scheduled = memory.save.and_then(|(_, scheduled)| scheduled).unwrap_or_else(|| info.has_saved());
    Ok(Observation {
        role: info.role(endpoints)?,
        run_id: info.get("run_id").unwrap_or_default().to_owned(),
        history: info.history()?,
        previous_history: info.previous_history(),
        position: info.position()?,
        writable: probe_writes && refuses_writes.is_none(),
        refuses_writes,
        loading,
        persistence: persistence(&info, scheduled),
        keys: info.keys(),
        replicas: info.number("connected_slaves").unwrap_or(0),
        marker: epoch.and_then(|epoch| u64::try_from(epoch).ok()).map(Epoch),
        owner: owner.map(|id| OwnerClaim { instance: InstanceId::new(id) }),
        followers: followers.map_or(0, |followers| living(followers.items(), now_ms)),
        managed_by: info.managed_by().or_else(|| (sentinels > 0).then(|| "sentinel".to_owned())),
    })
}

/// What the server keeps over a restart.
pub(super) fn persistence(info: &Info, snapshots_scheduled: bool) -> Persistence {
    if info.is_set("aof_enabled") {
        Persistence::Log
    } else if snapshots_scheduled {
        Persistence::Snapshot
    } else {
        Persistence::None
    }
}

/// The next `sections` replies, read as sections of `INFO`.
pub(super) fn read_info(replies: &mut Replies, sections: usize) -> Result<Info, Refused> {
    let mut info = Info::default();
    for _ in 0..sections {
        info.add(&replies.take()?.text()?);
    }
    Ok(info)
}

/// [`foretoken_protocol::Control::position`].
pub(super) async fn position(client: &mut Client) -> Result<Place, Refused> {
    let mut replies = client.ask(&command("INFO", &["replication"])).await?;
    let info = read_info(&mut replies, 1)?;
    Ok(Place { history: info.history()?, position: info.position()? })
}

/// [`foretoken_protocol::Control::capacity`].
pub(super) async fn capacity(client: &mut Client) -> Result<foretoken_types::Capacity, Refused> {
    const SECTIONS: [&str; 7] = ["server", "memory", "cpu", "clients", "stats", "replication", "persistence"];
    let pipeline = SECTIONS.iter().fold(Pipeline::default(), |all, section| all.command("INFO", &[section]));
    let mut replies = client.ask(&pipeline).await?;
    Ok(read_info(&mut replies, SECTIONS.len())?.capacity())
}

/// [`foretoken_protocol::Control::home`].
pub(super) async fn home(client: &mut Client) -> Result<Home, Refused> {
    let all = command("INFO", &["server"]).command("INFO", &["cpu"]).command("CONFIG GET", &["dir"]);
    let mut replies = client.ask(&all).await?;
    let info = read_info(&mut replies, 2)?;
    // A user without the permission is told so: then the directory is not known.
    let directory = replies.take()?.value.items().get(1).and_then(Value::text);
    Ok(Home { directory: directory.map(Into::into), ..info.home() })
}
