//! Where something stands in the configuration tree: `routes[2].upstream`.

use std::fmt;

/// A place as the compiler walks the tree. Costs nothing until something is wrong there.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub fn key<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place::Key(self, name)
    }

    pub fn item(&self, index: usize) -> Place<'_> {
        Place::Item(self, index)
    }

    pub fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut here = self;
        loop {
            match here {
                Place::Root => break,
                Place::Key(parent, name) => {
                    steps.push(Step::Key((*name).to_owned()));
                    here = parent;
                }
                Place::Item(parent, index) => {
                    steps.push(Step::Item(*index));
                    here = parent;
                }
            }
        }
        steps.reverse();
        Path(steps)
    }
}

/// A place that outlives the walk.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    Key(String),
    Item(usize),
}

impl Path {
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path, with `rest` behind it.
    pub fn join(&self, rest: impl IntoIterator<Item = Step>) -> Path {
        let mut steps = self.0.clone();
        steps.extend(rest);
        Path(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if at == 0 => write!(f, "{}", Plain(name))?,
                Step::Key(name) => write!(f, ".{}", Plain(name))?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A key as written; in quotes when it could be mistaken for something else in a path.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = !self.0.is_empty()
            && self.0.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '$' | '<'));
        if is_plain { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_way_to_the_value() {
        let routes = Place::Root.key("routes").path();

        let path = routes.join([Step::Item(2), Step::Key("a.b".to_owned())]);

        assert_eq!(path.to_string(), "routes[2].\"a.b\"");
    }
}
