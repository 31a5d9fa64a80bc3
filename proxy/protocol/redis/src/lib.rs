//! Redis: wire, commands, sessions, upstreams, probes and roles.
#![warn(missing_docs)]

mod control;
mod data;
mod relay;
mod scripts;
mod session;
mod upstream;

pub use control::{ControlParams, Credentials, RedisControl};
pub use data::Redis;
pub use relay::RedisRelay;
pub use scripts::Scripts;
pub use session::{RedisSession, SessionKey};
pub use upstream::{Pending, RedisUpstream};
pub mod classify;
pub mod gate;
pub mod reply;
pub mod wire;
