//! Changing an endpoint's role, and the pause around it.

use std::time::Duration;

use foretoken_protocol::{Dial, Refused};

use super::client::{Client, Pipeline, command, unexpected};
use super::value::Value;

/// Sends commands whose only good answer begins with `OK`.
async fn order(client: &mut Client, pipeline: &Pipeline) -> Result<(), Refused> {
    for reply in client.ask(pipeline).await? {
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
    if let Some(credentials) = client.credentials.clone() {
        let user = credentials.user.as_deref().unwrap_or_default();
        let link = command("CONFIG SET", &["masteruser", user])
            .command("CONFIG SET", &["masterauth", &credentials.password]);
        order(client, &link).await?;
    }
    order(client, &command("REPLICAOF", &[&of.host, &of.port.to_string()])).await
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
