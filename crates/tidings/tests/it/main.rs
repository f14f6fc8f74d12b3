//! The toolkit's integration tests.

#[cfg(test)]
mod derive;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod outdated;
#[cfg(test)]
mod paused;
#[cfg(test)]
mod races;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod shared_behind;
#[cfg(test)]
mod shared_claims;
#[cfg(test)]
mod shared_faults;
#[cfg(test)]
mod shared_races;
#[cfg(test)]
mod shared_shown;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod views;
#[cfg(test)]
mod windows;
