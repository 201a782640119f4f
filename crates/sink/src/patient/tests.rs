use std::sync::{Mutex, mpsc};

use super::*;

/// Takes nothing before it is told to.
struct Full(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.recv().map_err(gone)?;
        self.1.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_line_is_waited_for_until_its_writer_is_to_stop() {
    let (read, reads) = mpsc::channel();
    let taken = Arc::default();
    let full = Full(reads, Arc::clone(&taken));
    let is_stopping = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&is_stopping);
    let is_to_stop = move || stops.load(Ordering::Relaxed);
    let mut lines = PatientWriter::try_new(full, SHORT, is_to_stop).unwrap();
    let is_given_up = lines.is_given_up();
    // A reader that is slow is waited for.
    let reader = thread::spawn({
        let read = read.clone();
        move || {
            thread::sleep(Duration::from_millis(500));
            read.send(()).unwrap();
        }
    });
    lines.write_all(b"first\n").unwrap();
    reader.join().unwrap();
    assert_eq!(*taken.lock().unwrap(), b"first\n");
    // By one that is to stop, too, if it is not too slow.
    is_stopping.store(true, Ordering::Relaxed);
    read.send(()).unwrap();
    lines.write_all(b"second\n").unwrap();
    assert!(!is_given_up.load(Ordering::Relaxed));
    let start = Instant::now();
    let error = lines.write_all(b"third\n").unwrap_err();
    assert_eq!(error.to_string(), "nobody has read the last for 0.2 s");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= SHORT);
    assert!(is_given_up.load(Ordering::Relaxed));
    // What was not read then would be read before it.
    let error = lines.write_all(b"fourth\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(*taken.lock().unwrap(), b"first\nsecond\n");
}

#[test]
fn a_reader_that_is_gone_is_told() {
    let (read, reads) = mpsc::channel();
    drop(read);
    let full = Full(reads, Arc::default());
    let mut lines = PatientWriter::try_new(full, READER_PATIENCE, || false).unwrap();
    let is_given_up = lines.is_given_up();
    let error = lines.write_all(b"first\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(!is_given_up.load(Ordering::Relaxed));
}

#[test]
fn what_cannot_be_opened_is_told_and_what_nobody_reads_is_not_waited_for() {
    let absent = || Err::<Vec<u8>, _>(io::Error::from(io::ErrorKind::NotFound));
    let error = PatientWriter::try_open(absent, READER_PATIENCE, || false).err();
    assert_eq!(error.unwrap().kind(), io::ErrorKind::NotFound);
    let (reader, readers) = mpsc::channel::<()>();
    let open = move || {
        let _ = readers.recv();
        Ok(Vec::<u8>::new())
    };
    let error = PatientWriter::try_open(open, SHORT, || true).err().unwrap();
    let told = "nobody has opened it to read it for 0.2 s";
    assert_eq!(
        (error.kind(), &*error.to_string()),
        (io::ErrorKind::TimedOut, told)
    );
    drop(reader);
}
