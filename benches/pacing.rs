//! Pacing arithmetic: placing recorded times on the timeline, and saying when each is due.
//! How exactly events leave is no question of arithmetic; a replay reports it itself.

use std::hint::black_box;

use changetape_benches::{Error, recorded};
use changetape_core::ChangeEvent;
use changetape_replayer::clock::Instant;
use changetape_replayer::{Pacer, Speed, Timeline, Times};
use criterion::{Criterion, Throughput};

fn main() -> Result<(), Error> {
    let events = recorded()?;
    let times: Vec<Times> = events
        .iter()
        .map(|raw| {
            let event = ChangeEvent::from(raw.as_ref());
            let (wall, cluster) = (event.wall_time()?, event.cluster_time()?);
            Ok(Times { wall, cluster, ..Times::default() })
        })
        .collect::<Result<_, Error>>()?;
    let mut criterion = Criterion::default().configure_from_args();

    let mut group = criterion.benchmark_group("pacing");
    group.throughput(Throughput::Elements(times.len() as u64));
    group.bench_function("place", |bencher| {
        bencher.iter(|| {
            let mut timeline = Timeline::default();
            for &times in &times {
                black_box(timeline.place(times));
            }
        });
    });
    let mut timeline = Timeline::default();
    let placed: Vec<_> = times.iter().map(|&times| timeline.place(times)).collect();
    group.bench_function("due", |bencher| {
        let start = placed.first().map(|placed| placed.offset).unwrap_or_default();
        let pacer = Pacer::new(Speed::Factor(7.3), Instant::from_nanos(0), start);
        bencher.iter(|| {
            for placed in &placed {
                black_box(pacer.due(placed.offset));
            }
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
