//! Why a request did not end well, sorted once: who, what, and whether it may be sent again.

use std::fmt;

use crate::Epoch;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The application's connection.
    Downstream,
    /// The store.
    Upstream,
    /// This sidecar, by its own rules or bounds.
    Us,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No connection to the endpoint could be made.
    Connect,
    /// No connection could be made, because too many files are open here.
    OpenFiles,
    /// The connection was lost with the request outstanding.
    Reset,
    /// The epoch moved, or the lease was revoked, while the request was outstanding.
    EpochMoved,
    /// The lease ended before the reply came.
    LeaseEnded,
    /// The request waited for as long as a request may wait.
    HoldExpired,
    /// The memory for waiting requests is full.
    HoldFull,
    /// Its data is such that writes don't wait.
    HoldRefused,
    /// The store answered that it is in no state or role to execute the request.
    NotServing,
    /// This sidecar is shutting down.
    Draining,
    /// The session held state on a connection that is gone and which can't be moved to another.
    Pinned,
    /// The reply was not one that the protocol allows.
    Malformed,
    /// The primary has executed the write, and no mirror has confirmed it in time.
    NotDurable,
}

impl FaultKind {
    /// Every kind, in the order of their labels in metrics.
    pub const ALL: [Self; 13] = [
        Self::Connect,
        Self::OpenFiles,
        Self::Reset,
        Self::EpochMoved,
        Self::LeaseEnded,
        Self::HoldExpired,
        Self::HoldFull,
        Self::HoldRefused,
        Self::NotServing,
        Self::Draining,
        Self::Pinned,
        Self::Malformed,
        Self::NotDurable,
    ];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::OpenFiles => "open_files",
            Self::Reset => "reset",
            Self::EpochMoved => "epoch_moved",
            Self::LeaseEnded => "lease_ended",
            Self::HoldExpired => "hold_expired",
            Self::HoldFull => "hold_full",
            Self::HoldRefused => "hold_refused",
            Self::NotServing => "not_serving",
            Self::Draining => "draining",
            Self::Pinned => "pinned",
            Self::Malformed => "malformed",
            Self::NotDurable => "not_durable",
        }
    }

    /// Who is at fault.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Connect | Self::Reset | Self::NotServing | Self::Malformed | Self::NotDurable => {
                Side::Upstream
            }
            Self::OpenFiles
            | Self::EpochMoved
            | Self::LeaseEnded
            | Self::HoldExpired
            | Self::HoldFull
            | Self::HoldRefused
            | Self::Draining
            | Self::Pinned => Side::Us,
        }
    }
}

/// Whether a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resend {
    /// It is certain that it was not executed, or that it had no effect.
    Safe,
    /// It was sent and nobody knows: only reads may go again.
    Unknown,
}

/// A request that did not end as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Whether the request may be sent again.
    pub resend: Resend,
    /// The epoch under which it was sent to the primary, where somebody who knows has said so.
    pub epoch: Option<Epoch>,
}

impl Fault {
    /// A fault of a request that certainly had no effect.
    #[must_use]
    pub const fn safe(kind: FaultKind) -> Self {
        Self { kind, resend: Resend::Safe, epoch: None }
    }

    /// A fault of a request that may have been executed.
    #[must_use]
    pub const fn unknown(kind: FaultKind) -> Self {
        Self { kind, resend: Resend::Unknown, epoch: None }
    }

    /// The same, of a request that was sent under `epoch`.
    #[must_use]
    pub const fn under(self, epoch: Option<Epoch>) -> Self {
        Self { epoch, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.as_str())
    }
}
