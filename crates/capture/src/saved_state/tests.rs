use super::*;

#[test]
fn how_often_is_read_and_said_the_same_way() {
    let seconds = |n| SaveEvery::Elapsed(Duration::from_secs(n));
    let epochs = |n| SaveEvery::Epochs(NonZeroU32::new(n).unwrap());
    for (text, every) in [
        ("30s", seconds(30)),
        ("600s", seconds(600)),
        ("1epoch", epochs(1)),
        ("5epochs", epochs(5)),
        ("never", SaveEvery::Never),
    ] {
        assert_eq!(text.parse(), Ok(every));
        assert_eq!(every.to_string(), text);
    }
    assert_eq!("1epochs".parse(), Ok(epochs(1)));
    assert_eq!(SaveEvery::default().to_string(), "30s");
    for wrong in ["", "30", "s", "0s", "-1s", "0epochs", "1.5s", "always"] {
        let error = wrong.parse::<SaveEvery>().unwrap_err().to_string();
        assert!(error.contains("as 30s"), "{error}");
    }
}

#[test]
fn the_state_is_due_after_so_many_epochs() {
    let mut cadence = Cadence::new("3epochs".parse().unwrap());
    let due: Vec<i32> = (0..10).filter(|&n| cadence.is_due(Epoch(n))).collect();
    assert_eq!(due, [2, 5, 8]);
}

#[test]
fn the_state_is_due_after_so_much_time() {
    let hour = SaveEvery::Elapsed(Duration::from_secs(3600));
    assert!(!Cadence::new(hour).is_due(Epoch(0)));
    let mut cadence = Cadence::new(SaveEvery::Elapsed(Duration::ZERO));
    assert!(cadence.is_due(Epoch(0)) && cadence.is_due(Epoch(1)));
    assert!(!Cadence::new(SaveEvery::Never).is_due(Epoch(0)));
}
