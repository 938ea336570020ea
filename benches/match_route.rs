//! How long it takes to find the route of a path, in a small table and in a large one.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use portcullis::config::policy::Assignment;
use portcullis::config::substitute::Surroundings;
use portcullis::pipeline::arrive::target;
use portcullis::server::load::load_text;

/// No variables, no files.
struct Nothing;

impl Surroundings for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("there are no files here".into())
    }

    fn locate(&self, path: &str) -> std::path::PathBuf {
        path.into()
    }
}

fn yaml(routes: usize) -> String {
    let mut yaml = String::from("version: 1\nupstreams: { a: { servers: [\"127.0.0.1:9000\"] } }\nroutes:\n");
    for number in 0..routes {
        yaml += &format!("  - {{ path: \"/service-{number}/{{id}}/{{*rest}}\", upstream: a }}\n");
    }
    yaml
}

fn match_route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match_route");
    for routes in [10, 10_000] {
        let policy = load_text("bench.yaml", &yaml(routes), &Nothing).expect("the file above is good").policy;
        let path = format!("/service-{}/7/notes/2026", routes / 2);
        group.bench_function(format!("{routes} routes"), |bencher| {
            bencher.iter(|| {
                let target = target::read(black_box(path.as_bytes())).expect("a plain path");
                let assignment = policy.routes.assign("localhost", &Method::GET, &target.path);
                assert!(matches!(assignment, Assignment::Route(..)));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, match_route);
criterion_main!(benches);
