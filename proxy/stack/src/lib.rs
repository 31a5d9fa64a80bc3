//! tower layers that know nothing about Foretoken.
#![warn(missing_docs)]
