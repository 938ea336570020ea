//! The route table: host (optional), then path, then method. The most specific path wins,
//! whatever the order in the file (`matchit`); there is no falling through to a less specific one.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::{Access, AuthEndpoint, CacheRule, Limit, Upstream};

#[derive(Debug)]
pub struct Route {
    /// The label in metrics and logs: `name:` of the file, or methods and path.
    pub name: String,
    /// Position in the table; resolves metrics without a look-up.
    pub index: usize,
    /// Lower case, without port. `None`: any host that no other route names for this path.
    pub host: Option<String>,
    /// A `matchit` pattern.
    pub path: String,
    pub methods: MethodSet,
    pub destination: Destination,
    pub access: Access,
    pub limits: Vec<Arc<Limit>>,
    pub cache: Option<CacheRule>,
    /// Lets `Upgrade: websocket` through.
    pub websocket: bool,
    /// Request bodies over this many bytes get `body_too_large`.
    pub max_body: u64,
}

/// Where a request goes after all checks.
#[derive(Debug, Clone)]
pub enum Destination {
    Upstream(Arc<Upstream>),
    /// Answered here, never forwarded.
    Auth(AuthEndpoint),
}

/// The methods a route takes. `HEAD` comes with `GET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodSet {
    /// Every method the gateway supports.
    Any,
    Only(Vec<Method>),
}

impl MethodSet {
    pub fn contains(&self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::Only(methods) => {
                methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
            }
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Only(own), Self::Only(others)) => own.iter().any(|method| others.contains(method)),
        }
    }
}

/// Path parameters by name, in the order of the pattern.
pub type Params = Vec<(Box<str>, Box<str>)>;

/// What the table says about a request.
#[derive(Debug, Clone)]
pub enum Assignment {
    Route(Arc<Route>, Params),
    /// The path exists, this method doesn't; the value of `Allow`.
    WrongMethod(String),
    NotFound,
}

#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    any_host: PathTable,
    by_host: HashMap<String, PathTable>,
}

/// The routes with the same pattern stand together; they differ by method.
#[derive(Debug, Default)]
struct PathTable(matchit::Router<Vec<Arc<Route>>>);

/// Two routes that nothing tells apart, or a path that isn't a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteConflict {
    /// The index of the earlier route with the same host, path shape and a method in common.
    Duplicate(usize),
    /// What `matchit` says about the pattern.
    Pattern(String),
}

impl RouteTable {
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// `host` in lower case without port; `path` normalised.
    pub fn assign(&self, host: &str, method: &Method, path: &str) -> Assignment {
        if !self.by_host.is_empty()
            && let Some(table) = self.by_host.get(host)
        {
            let assignment = table.assign(method, path);
            if !matches!(assignment, Assignment::NotFound) {
                return assignment;
            }
        }
        self.any_host.assign(method, path)
    }
}

impl PathTable {
    fn assign(&self, method: &Method, path: &str) -> Assignment {
        let Ok(found) = self.0.at(path) else {
            return Assignment::NotFound;
        };
        match found.value.iter().find(|route| route.methods.contains(method)) {
            Some(route) => {
                let params = found.params.iter().map(|(name, value)| (name.into(), value.into())).collect();
                Assignment::Route(route.clone(), params)
            }
            None => Assignment::WrongMethod(allow(found.value)),
        }
    }
}

/// The `Allow` of a path: the methods of all its routes.
fn allow(routes: &[Arc<Route>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for route in routes {
        if let MethodSet::Only(methods) = &route.methods {
            for method in methods {
                names.push(method.as_str());
                if method == Method::GET {
                    names.push("HEAD");
                }
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Builds a table and says which route is in whose way.
#[derive(Debug, Default)]
pub struct RouteTableBuilder {
    routes: Vec<Arc<Route>>,
    /// (host, pattern) → indices; in order of first appearance.
    groups: Vec<(Option<String>, String, Vec<usize>)>,
    /// Patterns alone, to find conflicts of shape as they are added.
    shapes: HashMap<Option<String>, matchit::Router<usize>>,
}

impl RouteTableBuilder {
    /// The index the next added route must carry.
    pub fn next_index(&self) -> usize {
        self.routes.len()
    }

    pub fn add(&mut self, route: Route) -> Result<(), RouteConflict> {
        let same = self.groups.iter().position(|(host, path, _)| *host == route.host && *path == route.path);
        match same {
            Some(group) => {
                let clash =
                    self.groups[group].2.iter().find(|&&at| self.routes[at].methods.overlaps(&route.methods));
                if let Some(&at) = clash {
                    return Err(RouteConflict::Duplicate(at));
                }
                self.groups[group].2.push(self.routes.len());
            }
            None => {
                let shapes = self.shapes.entry(route.host.clone()).or_default();
                shapes.insert(route.path.as_str(), self.groups.len()).map_err(|error| match error {
                    matchit::InsertError::Conflict { with } => self
                        .groups
                        .iter()
                        .find(|(host, path, _)| *host == route.host && *path == with)
                        .map_or(RouteConflict::Pattern(with), |(_, _, routes)| {
                            RouteConflict::Duplicate(routes[0])
                        }),
                    other => RouteConflict::Pattern(other.to_string()),
                })?;
                self.groups.push((route.host.clone(), route.path.clone(), vec![self.routes.len()]));
            }
        }
        self.routes.push(Arc::new(route));
        Ok(())
    }

    pub fn build(self) -> RouteTable {
        let mut table = RouteTable::default();
        for (host, path, indices) in self.groups {
            let routes = indices.iter().map(|&at| self.routes[at].clone()).collect();
            let paths = match host {
                None => &mut table.any_host,
                Some(host) => table.by_host.entry(host).or_default(),
            };
            paths.0.insert(path, routes).expect("the same patterns went into `shapes` without a conflict");
        }
        table.routes = self.routes;
        table
    }
}
