//! The one configuration file: parsed, defaulted, validated.
//!
//! [`Config::load`] reads it and tells every fault in one go ([`Faults`]). One table of keys, declared in `model`, is the
//! structs, the reader, the writer, the reference file ([`reference()`]) and the JSON Schema ([`schema`]), so that they can't
//! drift apart. Secrets come as paths and are read by [`Secret::read`], which prints as `***`.
#![warn(missing_docs)]

mod fault;
mod load;
mod model;
mod read;
mod reference;
mod secret;
mod section;
mod suggest;
mod validate;
mod value;
mod write;

pub use fault::{Fault, Faults};
pub use load::{Changes, Quick};
pub use model::{
    Admin, AdminTls, Auth, Config, Control, Data, DataBlock, Detect, Endpoint, EndpointRole, EndpointTls,
    Gate, GateLimits, GateSidecar, GateTls, HeldWrites, LeaseTiming, ListenerTls, Log, LogFormat, LogLevel,
    Login, Manage, Protocol, Reads, Recording, Right, Risk, RiskJudges, RiskPolicy, Service, ServiceGrant,
    Store, Switchover, Token,
};
pub use reference::{gate_keys, reference, schema};
pub use secret::{Secret, SecretError};
pub use value::{ByteSize, CertificateHash, EndpointUrl, HttpUrl, KeyPrefix};

#[cfg(test)]
mod tests;
