pub mod load;
pub mod watch;
