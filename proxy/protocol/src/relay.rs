//! Connections over which the server speaks without being asked.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foretoken_types::{Epoch, Fault};

use crate::Batch;

/// What the server has sent, and how much of what it was asked that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// For the client.
    pub bytes: Bytes,
    /// How many of the oldest unanswered requests are answered with that.
    pub answered: u32,
    /// The answer to the next of them has begun, and its end is still to come.
    pub partly: bool,
    /// The server has let the oldest of the others go without having executed it: it is for another server.
    pub let_go: bool,
}

/// Follows what passes over one relayed connection ([`crate::Carriage::Relay`]), so that another one can take its place. Sans-IO.
pub trait Relay {
    /// A request, or the beginning of a long one, is on its way to the server. `true`: its answer may take longer than any hold,
    /// so that a drain must not wait for it.
    fn sent(&mut self, batch: &Batch) -> bool;

    /// Whether each request gets one answer, so that [`Passed::answered`] tells what is still under way. Otherwise nothing
    /// does, and the relay can't be renewed.
    fn is_matched(&self) -> bool;

    /// Takes what may be passed on off the front of what the server has sent. Whole frames, unless one is long.
    ///
    /// # Errors
    /// The bytes answer nothing that was asked, or refuse what [`Relay::renew`] asked for.
    fn received(&mut self, input: &mut BytesMut) -> Result<Passed, Fault>;

    /// The requests that bring a new connection into the state of the old one, which is gone: those that set the state, whose
    /// answers are not passed on, and behind them those that were not answered. The client may have missed what the server
    /// said in between; if it has asked for it, it is told so, with `epoch`. The oldest of them has been under way for `waited`: if
    /// it waits at the server, it does so for the rest of its time. `None`: there is something that can't be moved.
    fn renew(&mut self, epoch: Epoch, waited: Duration) -> Option<Bytes>;
}
