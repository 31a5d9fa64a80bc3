//! Changing an endpoint's role, and the pause around it.

use std::time::Duration;

use foretoken_protocol::{Dial, Place, Refused};
use foretoken_types::Role;

use super::client::{Client, Pipeline, Replies, command, unexpected};
use super::probe::read_info;
use super::value::Value;

/// Sends commands whose only good answer begins with `OK`.
async fn order(client: &mut Client, pipeline: &Pipeline) -> Result<(), Refused> {
    obeyed(client.ask(pipeline).await?)
}

fn obeyed(replies: Replies) -> Result<(), Refused> {
    for reply in replies {
        let name = reply.name;
        match reply.ok()? {
            Value::Simple(text) if text.starts_with("OK") => {}
            _ => return Err(unexpected(name)),
        }
    }
    Ok(())
}

/// [`foretoken_protocol::Control::pause_writes`].
pub(super) async fn pause_writes(client: &mut Client, at_most: Duration) -> Result<(), Refused> {
    order(client, &command("CLIENT PAUSE", &[&at_most.as_millis().to_string(), "WRITE"])).await
}

/// [`foretoken_protocol::Control::resume_writes`].
pub(super) async fn resume_writes(client: &mut Client) -> Result<(), Refused> {
    order(client, &command("CLIENT UNPAUSE", &[])).await
}

/// [`foretoken_protocol::Control::demote`].
///
/// The credentials of the link go first and alone: were they refused while `REPLICAOF` is obeyed, there would be no
/// primary and no working mirror either.
pub(super) async fn demote(client: &mut Client, of: &Dial) -> Result<(), Refused> {
    prepare_link(client).await?;
    order(client, &replicate(of)).await
}

/// [`foretoken_protocol::Control::fence`].
///
/// Both commands go in one write, and a server carries out what it has read of one client without turning to another in
/// between: nothing is executed after the position that is told.
pub(super) async fn fence(client: &mut Client, of: &Dial) -> Result<Option<Place>, Refused> {
    prepare_link(client).await?;
    let pipeline = command("INFO", &["replication"]).command(REPLICATE, &[&of.host, &of.port.to_string()]);
    let mut replies = client.ask(&pipeline).await?;
    let info = read_info(&mut replies, 1)?;
    obeyed(replies)?;
    if info.role(&[])? != Role::Primary {
        return Ok(None);
    }
    Ok(Some(Place { history: info.history()?, position: info.position()? }))
}

const REPLICATE: &str = "REPLICAOF";

fn replicate(of: &Dial) -> Pipeline {
    command(REPLICATE, &[&of.host, &of.port.to_string()])
}

async fn prepare_link(client: &mut Client) -> Result<(), Refused> {
    if let Some(credentials) = client.credentials.clone() {
        let user = credentials.user.as_deref().unwrap_or_default();
        let link = command("CONFIG SET", &["masteruser", user])
            .command("CONFIG SET", &["masterauth", &credentials.password]);
        order(client, &link).await?;
    }
    Ok(())
}

/// [`foretoken_protocol::Control::promote`].
pub(super) async fn promote(client: &mut Client) -> Result<(), Refused> {
    order(client, &command("REPLICAOF", &["NO", "ONE"])).await
}

/// [`foretoken_protocol::Control::disconnect_clients`].
pub(super) async fn disconnect_clients(client: &mut Client) -> Result<u64, Refused> {
    const KILL: &str = "CLIENT KILL";
    let reply = client.ask(&command(KILL, &["TYPE", "normal", "SKIPME", "yes"])).await?.take()?.ok()?;
    reply.number().and_then(|count| u64::try_from(count).ok()).ok_or_else(|| unexpected(KILL))
}
