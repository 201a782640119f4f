use crossbeam_channel::bounded;
use trace::Part;

use crate::messages::{Event, Job};
use crate::shared::Shared;
use crate::testing::{capture_parts, create_run};
use crate::worker;

#[test]
fn a_panic_is_the_error_that_everybody_gets_and_the_worker_goes_on_taking_jobs_away() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let shared = Shared::new(run, 1 << 20, None);
    let (jobs, job_queue) = bounded(8);
    let (events, event_queue) = bounded(8);
    for (path, rows) in capture_parts(0) {
        let part = Part { path, rows };
        let (permit, _) = shared.budget().take(part.memory_bytes()).unwrap();
        jobs.send(Job {
            capture: 0,
            number: 0,
            num_parts: 1,
            part: Box::new(part),
            permit,
        })
        .unwrap();
    }
    drop(jobs);
    let worker = std::thread::Builder::new().name("sink-worker-7".to_owned());
    std::thread::scope(|scope| {
        worker
            .spawn_scoped(scope, || {
                worker::run(&job_queue, &events, &shared, |_| panic!("out of luck"));
            })
            .unwrap();
    });
    let error = shared.failure().unwrap().to_string();
    assert!(
        error.contains("sink-worker-7") && error.contains("out of luck"),
        "{error}"
    );
    assert!(matches!(
        event_queue.try_iter().collect::<Vec<_>>()[..],
        [Event::Failed]
    ));
    assert!(shared.budget().take(1).is_err());
}
