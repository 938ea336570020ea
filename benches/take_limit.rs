//! How long one decision of the in-process limiter takes, for one limit and for three.

use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::store::memory::LocalCounters;
use portcullis::store::{Charge, Price, Quota};

fn charge(name: &str) -> Charge {
    let plenty = NonZeroU32::new(1_000_000_000).expect("not zero");
    let quota = Quota::new(plenty, Duration::from_secs(1), plenty);
    let key = format!("{name}:user:01890a5d-ac96-774b-bcce-b302099a8057");
    Charge { key, quota, before_identity: false, price: Price::WHOLE }
}

fn take_limit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take_limit");
    for limits in [1, 3] {
        let counters = LocalCounters::default();
        let charges: Vec<Charge> = (0..limits).map(|number| charge(&format!("limit-{number}"))).collect();
        group.bench_function(format!("{limits} limits"), |bencher| {
            bencher.iter(|| {
                let verdicts = counters.take(&charges);
                assert!(verdicts.iter().all(|verdict| verdict.allowed));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, take_limit);
criterion_main!(benches);
