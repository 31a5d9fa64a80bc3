//! Tokens over the API of the whole program, in front of real servers, asked as a user would: with curl.

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/http.rs"]
mod http;

#[path = "../support/arrived.rs"]
mod arrived;
mod attacks;
mod docs;
mod full;
mod known;
mod outage;
mod refused;
mod reload;
mod support;
mod tiers;
mod who;
