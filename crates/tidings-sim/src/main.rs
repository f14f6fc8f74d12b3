//! `cargo xtask sim`.

fn main() {}
