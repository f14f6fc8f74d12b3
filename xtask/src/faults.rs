//! The fault campaign.
mod owner;
mod proxy;
