//! The sections of the file.

mod block;
mod endpoint;
mod gate;
mod process;
mod service;
mod store;
mod timing;

pub use self::block::DataBlock;
pub use self::endpoint::{Endpoint, EndpointRole, EndpointTls};
pub use self::gate::{Gate, GateLimits, GateSidecar, GateTls};
pub use self::process::{Admin, AdminTls, Config, Data, Log, LogFormat, LogLevel};
pub use self::service::{Right, Service, ServiceGrant, Token};
pub use self::store::{Auth, Control, HeldWrites, ListenerTls, Login, Manage, Protocol, Reads, Store};
pub use self::timing::{Detect, LeaseTiming, Recording, Risk, RiskJudges, RiskPolicy, Switchover};
