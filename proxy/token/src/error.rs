//! What can go wrong with keys and with writing tokens. Why a token is refused is a [`crate::Refusal`].

use crate::{BadClaims, Form, UnixMillis};

/// The result of what is done with keys.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a key or a token could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What the token is to say is not possible.
    #[error("cannot sign claims that no verifier accepts")]
    Claims(#[from] BadClaims),
    /// The compact form of a token without a holder.
    #[error(
        "a compact token needs a holder: give the SHA-256 of its certificate or of the connection's nonce"
    )]
    NoHolder,
    /// A moment that RFC 3339 has no text for.
    #[error("{} ms is past the year 9999; set this machine's clock", .0.0)]
    NoDate(UnixMillis),
    /// A key of the one form was used for the other.
    #[error("this key signs {found} tokens only")]
    OtherForm {
        /// What the key is for.
        found: Form,
    },
    /// The signing library refused the key or the message.
    #[error("the key could not sign")]
    Signing,
    /// No key signs now.
    #[error("no key signs {form} tokens now; call ensure() after a start and after the clock was set back")]
    NoKey {
        /// The form that was to be signed.
        form: Form,
    },
    /// A rotation is under way: its key is published and does not sign yet.
    #[error("the next {form} key is published and signs from {} ms on; rotate again after that", from.0)]
    RotationPending {
        /// Which form's keys.
        form: Form,
        /// From when the pending key signs.
        from: UnixMillis,
    },
    /// As many keys as verifiers hold are still needed for tokens that live.
    #[error("all {most} places for {form} keys are taken by keys whose tokens live; rotate later")]
    KeysFull {
        /// Which form's keys.
        form: Form,
        /// How many there may be.
        most: usize,
    },
    /// 32 bytes that are no key: a public key off the curve or weak, or the secret of all zeros.
    #[error("these 32 bytes are no Ed25519 key")]
    BadKey,
    /// The bytes of a key file are not what was written.
    #[error("the key file is damaged ({0}); delete it: new keys are made, and tokens of the old ones end")]
    Damaged(&'static str),
    /// A newer build wrote the key file.
    #[error("the key file has format {found}, and this build knows {known}; run the newer foretoken again")]
    Newer {
        /// The format that was found.
        found: u8,
        /// The newest format that this build knows.
        known: u8,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}
