//! The proof that the checker can fail: with a safety rule switched off, which only this build can, it reports the break.
