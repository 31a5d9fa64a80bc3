//! The sections of the file.

mod endpoint;
mod process;
mod store;
mod timing;

pub use self::endpoint::{Endpoint, EndpointRole, EndpointTls};
pub use self::process::{Admin, Config, Data, Log, LogFormat, LogLevel};
pub use self::store::{Auth, Control, ListenerTls, Manage, Protocol, Reads, Store};
pub use self::timing::{Detect, LeaseTiming, Risk, RiskPolicy, Switchover};
