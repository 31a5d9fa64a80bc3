//! Tokens over the API of the whole program, in front of real servers, asked as a user would: with curl.

mod docs;
mod support;
mod tiers;
mod who;
