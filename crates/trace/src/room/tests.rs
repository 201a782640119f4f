use super::*;

#[test]
fn an_error_about_room_says_what_is_needed_and_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    // What is not there yet would lie on the file system of what is.
    let path = dir.path().join("weights/epoch=0/part");
    let room = Room::at(&path).unwrap();
    assert!(room.bytes > 0, "{room:?}");
    assert_eq!(
        Room::at(dir.path()).unwrap().files.is_some(),
        room.files.is_some()
    );
    let full = || io::Error::from_raw_os_error(28);
    let told = with_room(full(), &path, Some(1234));
    assert_eq!(told.kind(), io::ErrorKind::StorageFull);
    assert!(is_no_room(&told));
    let words = told.to_string();
    let beginning = "No space left on device (os error 28): up to 1234 bytes are needed, ";
    assert!(words.starts_with(beginning), "{words}");
    assert!(words.ends_with(" are free on its file system"), "{words}");
    // It is told once, by who knows most.
    assert_eq!(with_room(told, &path, None).to_string(), words);
    let words = with_room(full(), &path, None).to_string();
    assert!(
        words.starts_with("No space left on device (os error 28): "),
        "{words}"
    );
    assert!(!words.contains("needed"), "{words}");
}

#[test]
fn an_error_about_something_else_is_left_as_it_is() {
    let broken = io::Error::from_raw_os_error(5);
    let words = broken.to_string();
    let told = with_room(broken, Path::new("."), Some(1));
    assert_eq!(told.to_string(), words);
    assert_eq!(told.raw_os_error(), Some(5));
    assert!(!is_no_room(&told));
}
