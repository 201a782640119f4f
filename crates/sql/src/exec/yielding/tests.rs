use std::thread;
use std::time::{Duration, Instant};

use fixtures::tiny;
use tokio::sync::oneshot;

use crate::{Run, SessionOptions};

/// A query, and another future on the same thread, which can be over only if the query lets go of it.
#[tokio::test]
async fn a_join_of_many_rows_lets_others_have_its_thread() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let numbers = |name: &str| format!("(SELECT unnest(range(0, 100000)) AS x) {name}");
    let both = format!("{}, {}", numbers("a"), numbers("b"));
    for (sql, operator) in [
        (
            format!("SELECT sum(a.x - b.x) FROM {both}"),
            "CrossJoinExec",
        ),
        (
            format!("SELECT count(*) FROM {both} WHERE a.x + b.x > 7"),
            "NestedLoopJoinExec",
        ),
        (
            format!("SELECT count(*) FROM {both} WHERE a.x % 2 = b.x % 2"),
            "HashJoinExec",
        ),
        // Each row of weights has 100,000 partners.
        (
            format!(
                "SELECT count(w.weights) FROM (SELECT x % 2 AS x FROM {}) a JOIN \
                 (SELECT neuron % 2 AS x, weights FROM weights, (SELECT unnest(range(0, 1000)) AS y)) w \
                 ON a.x = CAST(w.x AS BIGINT)",
                numbers("n")
            ),
            "LookupJoinExec",
        ),
    ] {
        // In one partition the side that is looked up in is not dealt out.
        let options = SessionOptions {
            target_partitions: (operator == "LookupJoinExec").then_some(1),
            ..SessionOptions::default()
        };
        let session = run.session(options).unwrap();
        let rows = session.sql(&sql).await.unwrap();
        let plan = rows.clone().create_physical_plan().await.unwrap();
        let plan = datafusion::physical_plan::displayable(plan.as_ref()).indent(false);
        assert!(plan.to_string().contains(operator), "{sql}");
        let (sender, given_up) = oneshot::channel();
        let waiting = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            sender.send(())
        });
        let began = Instant::now();
        tokio::select! {
            _ = rows.collect() => panic!("{sql} is over already: it proves nothing"),
            given_up = given_up => given_up.unwrap(),
        }
        let seconds = began.elapsed().as_secs();
        assert!(seconds < 10, "{sql} was given up after {seconds} s");
        waiting.join().unwrap().unwrap();
    }
}
