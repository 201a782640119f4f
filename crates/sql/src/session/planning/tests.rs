use datafusion::prelude::SessionContext;

use super::*;

/// Asks on a thread with no more stack than threads have as a rule.
fn ask(sql: String) -> Result<i64> {
    let asked = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async {
                let context = SessionContext::new();
                let plan = plan(&context.state(), &sql, SQLOptions::new()).await?;
                let batches = context.execute_logical_plan(plan).await?.collect().await?;
                use arrow::array::AsArray;
                let count = batches[0]
                    .column(0)
                    .as_primitive::<arrow::datatypes::Int64Type>();
                Ok(count.value(0))
            })
        });
    asked.unwrap().join().unwrap()
}

/// Plans on such a thread.
fn planned(sql: String) -> Result<()> {
    let planned = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async {
                let context = SessionContext::new();
                let plan = plan(&context.state(), &sql, SQLOptions::new()).await?;
                context.execute_logical_plan(plan).await?.collect().await?;
                Ok(())
            })
        });
    planned.unwrap().join().unwrap()
}

/// `count(*)` of the numbers below 20,000 for which a condition holds.
fn count_where(condition: &str) -> String {
    format!("SELECT count(*) FROM generate_series(0, 19999) AS t (n) WHERE {condition}")
}

fn chain(num: usize, operator: &str, term: impl Fn(usize) -> String) -> String {
    let terms: Vec<String> = (0..num).map(term).collect();
    terms.join(operator)
}

#[test]
fn a_long_chain_of_or_is_answered() {
    for num in [3, 8_000] {
        let equal = chain(num, " OR ", |n| format!("n = {n}"));
        assert_eq!(ask(count_where(&equal)).unwrap(), num as i64);
        // Of these no list can be made: 0 to 4, 6 to 10 and so on.
        let ranges = chain(num / 3, " OR ", |n| {
            format!("n > {0} - 1 AND n < {0} + 5", 6 * n)
        });
        assert_eq!(ask(count_where(&ranges)).unwrap(), (num / 3 * 5) as i64);
    }
    let alternating = chain(1_000, " OR ", |n| format!("(n = {n} AND n % 2 = 0)"));
    assert_eq!(ask(count_where(&alternating)).unwrap(), 500);
}

/// The optimizer would chain these anew.
#[test]
fn a_long_chain_of_and_is_answered() {
    let differ = chain(8_000, " AND ", |n| format!("n <> {n}"));
    assert_eq!(ask(count_where(&differ)).unwrap(), 12_000);
    // One condition is null of all numbers: only where another is false is anything known.
    let unknown = chain(300, " AND ", |n| match n {
        7 => "n < nullif(100, 100)".to_owned(),
        n => format!("n <> {}", n + 10),
    });
    assert_eq!(ask(count_where(&unknown)).unwrap(), 0);
    // From 10 to 309 one is false, 17 aside.
    assert_eq!(ask(count_where(&format!("NOT ({unknown})"))).unwrap(), 299);
    let negated = chain(400, " OR ", |n| format!("n > {n} AND n < 5"));
    assert_eq!(
        ask(count_where(&format!("NOT ({negated})"))).unwrap(),
        19_996
    );
    let selected = chain(500, " AND ", |n| format!("n <> {n}"));
    let groups = format!(
        "SELECT c, count(*) AS num FROM (\
             SELECT {selected} AS c FROM generate_series(0, 1199) AS t (n)\
         ) AS chosen GROUP BY c"
    );
    let largest = format!("SELECT max(num) FROM ({groups}) AS counted");
    assert_eq!(ask(largest).unwrap(), 700);
    let explained = format!("EXPLAIN {}", count_where(&negated));
    assert!(planned(explained).is_ok());
}

/// What is not refused is planned, run and freed.
#[test]
fn what_is_nearly_too_deep_is_answered() {
    let differ = chain(240, " AND ", |n| format!("n <> {n}"));
    assert_eq!(ask(count_where(&differ)).unwrap(), 19_760);
    // Of these no list can be made, nor can they be worked out beforehand.
    let remainders = chain(240, " AND ", |n| format!("n % {} <> {n} + 1", n + 2));
    assert_eq!(
        ask(count_where(&remainders)).unwrap(),
        (0..20_000)
            .filter(|n| (2..242).all(|m| n % m != m - 1))
            .count() as i64
    );
    let sum = chain(240, " + ", |_| "n".to_owned());
    assert_eq!(ask(count_where(&format!("{sum} = 480"))).unwrap(), 1);
    let unions = chain(240, " UNION ALL ", |n| format!("SELECT {n} AS n"));
    assert_eq!(
        ask(format!(
            "SELECT count(*) FROM ({unions}) AS t WHERE n % 2 = 0"
        ))
        .unwrap(),
        120
    );
    let nested = format!("{}n{}", "abs(-".repeat(15), ")".repeat(15));
    assert_eq!(ask(count_where(&format!("{nested} = 7"))).unwrap(), 1);
}

#[test]
fn what_is_too_deep_is_told_what_to_do() {
    let too_deep = [
        count_where(&format!("n = {}", chain(300, " + ", |_| "1".to_owned()))),
        format!("SELECT {}", chain(30_000, "+", |_| "1".to_owned())),
        format!("SELECT {}", chain(200_000, "+", |_| "1".to_owned())),
        format!("SELECT 1{}", "::int".repeat(5_000)),
        chain(2_000, " UNION ALL ", |_| "SELECT 1".to_owned()),
        format!(
            "SELECT 1 WHERE 1 IN (SELECT * FROM ({}) AS t)",
            chain(2_000, " UNION ", |_| "SELECT 1".to_owned())
        ),
        format!(
            "SELECT 1 FROM {}",
            chain(2_000, ", ", |n| format!("(SELECT 1) AS t{n}"))
        ),
        format!(
            "EXPLAIN {}",
            chain(2_000, " UNION ", |_| "SELECT 1".to_owned())
        ),
    ];
    for sql in too_deep {
        let error = ask(sql.clone()).map(|_| ()).unwrap_err().to_string();
        let start: String = sql.chars().take(60).collect();
        assert!(error.contains("nests"), "{start}: {error}");
        assert!(error.contains("IN ("), "{start}: {error}");
    }
}

#[test]
fn what_nests_little_is_not_refused_for_its_length() {
    let list = chain(60_000, ", ", |n| format!("{n} + 1"));
    let branches = chain(60_000, " ", |n| format!("WHEN {n} THEN 1"));
    let rows = chain(60_000, ", ", |n| format!("({n} * 2, -{n})"));
    for sql in [
        format!("SELECT n IN ({list}) FROM t"),
        format!("SELECT CASE n {branches} END FROM t"),
        format!("VALUES {rows}"),
    ] {
        assert!(check_text(&sql).is_ok());
    }
    let rows = chain(2_000, ", ", |n| format!("({n} * 2, -{n})"));
    assert_eq!(
        ask(format!("SELECT count(*) FROM (VALUES {rows}) AS t")).unwrap(),
        2_000
    );
}

/// An answer does not depend on how conditions are put together.
#[test]
fn chains_mean_what_they_meant() {
    let mixed =
        "n < 3 OR n > 5 AND n < 9 OR NULL OR (n = 12 OR n = 13) AND n <> 13 AND NULL IS NULL";
    // 0, 1, 2, 6, 7, 8 and 12.
    assert_eq!(ask(count_where(mixed)).unwrap(), 7);
    assert_eq!(
        ask(count_where(&format!("({mixed}) IS NULL"))).unwrap(),
        19_993
    );
}
