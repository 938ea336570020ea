//! The configuration as an operator meets it: the shipped file, its documentation, and what is
//! said of files that are wrong.

mod certificates;
mod corpus;
mod documentation;
mod example;
mod files;
mod hostile;
mod included;
mod meaning;
mod problems;
mod schema;
mod secrets;
mod surroundings;
mod unchanged;
mod warnings;
