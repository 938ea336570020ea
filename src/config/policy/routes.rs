//! The route table: host (optional), then path, then method. The most specific path wins,
//! whatever the order in the file (`matchit`); there is no falling through to a less specific one.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::pace;

use super::{AcceptedIssuers, Access, AuthEndpoint, CacheRule, Limit, Translation, Upstream};

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
    /// Whose tokens it takes.
    pub issuers: AcceptedIssuers,
    pub limits: Vec<Arc<Limit>>,
    pub cache: Option<CacheRule>,
    /// Lets `Upgrade: websocket` through.
    pub websocket: bool,
    /// Request bodies over this many bytes get `body_too_large`.
    pub max_body: u64,
    /// What clients send to the auth wing here, and get, where it isn't the usual.
    pub translation: Option<Arc<Translation>>,
    /// Whether sensitive actions need no more than the access token here.
    pub waives_reauthentication: bool,
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
            (Self::Only(own), Self::Only(others)) => {
                own.iter().any(|method| other.contains(method))
                    || others.iter().any(|method| self.contains(method))
            }
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
    /// The gateway's own routes by path, for every host: no route for one host may shadow them.
    /// They stand in `any_host` too.
    built_in: HashMap<String, Vec<Arc<Route>>>,
    any_host: PathTable,
    by_host: HashMap<String, PathTable>,
}

/// The routes with the same pattern stand together; they differ by method.
#[derive(Debug, Default)]
struct PathTable {
    patterns: matchit::Router<Group>,
    groups: Vec<Vec<Arc<Route>>>,
}

/// An index into the groups.
#[derive(Debug)]
struct Group(usize);

/// The only way to give way while `matchit` frees its tree.
impl Drop for Group {
    fn drop(&mut self) {
        pace::step();
    }
}

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
            let own = self.built_in.get(path).and_then(|routes| find(routes, method));
            if let Some(route) = own {
                return Assignment::Route(route.clone(), Params::new());
            }
            let assignment = table.assign(method, path);
            if !matches!(assignment, Assignment::NotFound) {
                return assignment;
            }
        }
        self.any_host.assign(method, path)
    }
}

/// Many routes take long to free.
impl Drop for RouteTable {
    fn drop(&mut self) {
        for table in self.by_host.values_mut().chain([&mut self.any_host]) {
            table.groups.drain(..).for_each(|_| pace::step());
        }
        self.routes.drain(..).for_each(|_| pace::step());
    }
}

impl PathTable {
    fn assign(&self, method: &Method, path: &str) -> Assignment {
        let Ok(found) = self.patterns.at(path) else {
            return Assignment::NotFound;
        };
        let group = &self.groups[found.value.0];
        match find(group, method) {
            Some(route) => {
                let params = found.params.iter().map(|(name, value)| (name.into(), value.into())).collect();
                Assignment::Route(route.clone(), params)
            }
            None => Assignment::WrongMethod(allow(group)),
        }
    }
}

fn find<'r>(routes: &'r [Arc<Route>], method: &Method) -> Option<&'r Arc<Route>> {
    routes.iter().find(|route| route.methods.contains(method))
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
    table: RouteTable,
    any_host: HashMap<String, usize>,
    by_host: HashMap<String, HashMap<String, usize>>,
}

impl RouteTableBuilder {
    /// For so many routes, most of which name no host. A map that grows is a long step.
    pub fn for_routes(count: usize) -> Self {
        let mut builder = Self { any_host: HashMap::with_capacity(count), ..Self::default() };
        builder.table.routes.reserve(count);
        builder
    }

    /// The index the next added route must carry.
    pub fn next_index(&self) -> usize {
        self.table.routes.len()
    }

    /// A route of the gateway itself: without host and parameters, and before all others.
    pub fn add_built_in(&mut self, route: Route) -> Result<(), RouteConflict> {
        let path = route.path.clone();
        let route = Arc::new(route);
        self.table.any_host.add(&route, &mut self.any_host)?;
        self.table.built_in.entry(path).or_default().push(route.clone());
        self.table.routes.push(route);
        Ok(())
    }

    pub fn add(&mut self, route: Route) -> Result<(), RouteConflict> {
        let own = self.table.built_in.get(&route.path).map(Vec::as_slice).unwrap_or_default();
        if let Some(clash) = own.iter().find(|own| own.methods.overlaps(&route.methods)) {
            return Err(RouteConflict::Duplicate(clash.index));
        }
        let route = Arc::new(route);
        match &route.host {
            None => self.table.any_host.add(&route, &mut self.any_host)?,
            Some(host) => {
                let table = self.table.by_host.entry(host.clone()).or_default();
                table.add(&route, self.by_host.entry(host.clone()).or_default())?;
            }
        }
        self.table.routes.push(route);
        Ok(())
    }

    pub fn build(self) -> RouteTable {
        self.table
    }
}

impl PathTable {
    /// `group_of` is the group of each pattern so far.
    fn add(
        &mut self,
        route: &Arc<Route>,
        group_of: &mut HashMap<String, usize>,
    ) -> Result<(), RouteConflict> {
        if let Some(&group) = group_of.get(&route.path) {
            let group = &mut self.groups[group];
            if let Some(clash) = group.iter().find(|other| other.methods.overlaps(&route.methods)) {
                return Err(RouteConflict::Duplicate(clash.index));
            }
            group.push(route.clone());
            return Ok(());
        }
        self.patterns.insert(route.path.as_str(), Group(self.groups.len())).map_err(|error| match error {
            matchit::InsertError::Conflict { with } => match group_of.get(&with) {
                Some(&group) => RouteConflict::Duplicate(self.groups[group][0].index),
                None => RouteConflict::Pattern(format!("conflicts with the path {with:?}")),
            },
            other => RouteConflict::Pattern(other.to_string()),
        })?;
        group_of.insert(route.path.clone(), self.groups.len());
        self.groups.push(vec![route.clone()]);
        Ok(())
    }
}
