//! Names the rooms for tests and benches; the product is the binary beside it.

pub use foretoken_app as app;
pub use foretoken_config as config;
#[cfg(feature = "demo")]
pub use foretoken_demo as demo;
