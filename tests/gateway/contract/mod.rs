//! One behaviour suite per store trait, run against every implementation of it.
