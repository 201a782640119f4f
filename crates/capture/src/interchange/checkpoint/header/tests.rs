use tempfile::TempDir;

use super::*;

/// A file with such a header and so many bytes of data.
fn file(header: &str, num_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + num_bytes, 0);
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<Header, String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("m-1.safetensors");
    std::fs::write(&path, bytes).unwrap();
    read(&path).map_err(|error| error.to_string())
}

fn refused(bytes: &[u8]) -> String {
    read_bytes(bytes).unwrap_err()
}

const TENSOR: &str = r#""a.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#;

#[test]
fn metadata_is_whatever_it_is() {
    for metadata in [r#"{"epoch":3}"#, "null", r#"{"format":"pt"}"#, "[1, {}]"] {
        let header = format!(r#"{{"__metadata__":{metadata},{TENSOR}}}"#);
        let tensors = read_bytes(&file(&header, 16)).unwrap();
        let (tensor, start) = &tensors["a.weight"];
        assert_eq!((tensor.dtype, &tensor.shape[..]), (Dtype::F32, &[2, 2][..]));
        assert_eq!(*start, 8 + header.len() as u64);
    }
    // A header that was filled up with spaces.
    let padded = format!("{{{TENSOR}}}{}", " ".repeat(4096));
    assert_eq!(read_bytes(&file(&padded, 16)).unwrap().len(), 1);
}

#[test]
fn what_is_wrong_with_a_header_is_told_with_the_tensor() {
    let tensor = |name: &str, dtype: &str, shape: &str, start: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    for (tensors, num_bytes, problem) in [
        (
            vec![
                tensor("a.weight", "F32", "[2]", 0, 8),
                tensor("a.weight", "F32", "[2]", 8, 16),
            ],
            16,
            "its header names tensor a.weight twice",
        ),
        (
            vec![tensor("a", "F32", "[2]", 8, 16)],
            16,
            "tensor a begins at byte 8 of the data, and what is before it ends at 0",
        ),
        (
            vec![
                tensor("b", "F32", "[2]", 4, 12),
                tensor("a", "F32", "[2]", 0, 8),
            ],
            12,
            "tensor b begins at byte 4 of the data, and what is before it ends at 8",
        ),
        (
            vec![tensor("a", "F32", "[3]", 0, 16)],
            16,
            "tensor a has 16 bytes, and its type and shape say 12",
        ),
        (
            vec![tensor("a", "F32", "[4294967296,4294967296]", 0, 16)],
            16,
            "tensor a has more values than can be counted",
        ),
        (
            vec![tensor("a", "F32", "[4]", 0, 16)],
            20,
            "4 bytes follow its last tensor",
        ),
        (
            vec![tensor("a", "F32", "[-4]", 0, 16)],
            16,
            "its header cannot be read (invalid value: integer `-4`",
        ),
        (
            vec![tensor("a", "F32", "[4]", 0, 16)],
            15,
            "is cut off: it has",
        ),
    ] {
        let message = refused(&file(&format!("{{{}}}", tensors.join(",")), num_bytes));
        assert!(message.contains(problem), "{message}");
        assert!(message.ends_with("again"), "{message}");
    }
    let odd = format!("{{{}}}", tensor("a", "F99", "[4]", 0, 16));
    let message = refused(&file(&odd, 16));
    let problem =
        "tensor a is of type F99, which cannot be recorded: convert it to a type of floats";
    assert!(message.contains(problem), "{message}");
}

#[test]
fn what_is_something_else_is_named_with_what_to_do() {
    let text = |text: &str| text.as_bytes().to_vec();
    let long = |magic: &[u8]| [magic, &[7; 600][..]].concat();
    for (bytes, what, remedy) in [
        (
            text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 548105171\n"),
            "a Git LFS pointer",
            "git lfs pull",
        ),
        (
            text("<!DOCTYPE html><html>404</html>"),
            "an HTML page",
            "download it again",
        ),
        (text("\n <HTML><body>"), "an HTML page", "download it again"),
        (
            text("<?xml version=\"1.0\"?><Error>"),
            "an XML text",
            "download it again",
        ),
        (
            text(r#"{"error": "not found"}"#),
            "a JSON text",
            "name the *.safetensors file",
        ),
        (
            long(b"PK\x03\x04\x14\0\0\0"),
            "a zip file, as torch.save",
            "safetensors.torch.save_file",
        ),
        (
            long(b"\x80\x02\x8a\x0al\xfc"),
            "a pickle",
            "safetensors.torch.save_file",
        ),
        (
            long(b"\x89HDF\r\n\x1a\n"),
            "an HDF5 file",
            "save its tensors as safetensors",
        ),
        (
            long(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
            "compressed by gzip",
            "unpack it",
        ),
        (Vec::new(), "empty", "save or download it again"),
        (
            vec![0; 4096],
            "zeros where its header should be",
            "copy or download it again",
        ),
    ] {
        let message = refused(&bytes);
        assert!(
            message.contains(&format!("m-1.safetensors is {what}")),
            "{message}"
        );
        assert!(message.contains(remedy), "{message}");
    }
}

#[test]
fn a_header_is_not_taken_for_what_begins_alike() {
    // Headers of 0x0280 bytes, as a pickle begins, and of 123, as `{` does: both cut off.
    for length in [0x0280, 123] {
        let mut header = format!("{{{TENSOR}}}");
        header.extend(std::iter::repeat_n(' ', length - header.len()));
        assert_eq!(read_bytes(&file(&header, 16)).unwrap().len(), 1);
        let message = refused(&file(&header, 15));
        assert!(message.contains("is cut off"), "{message}");
        let message = refused(&file(&header, 16)[..100]);
        assert!(
            message.contains("is cut off: it has 100 bytes"),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_file_is_told() {
    let dir = TempDir::new().unwrap();
    let message = read(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("is a directory: name the checkpoints in it"),
        "{message}"
    );
    #[cfg(unix)]
    {
        let message = read(Path::new("/dev/null")).unwrap_err().to_string();
        assert_eq!(
            message,
            "/dev/null is no regular file: write it to one, it is read several times"
        );
    }
    let gone = read(&dir.path().join("gone")).unwrap_err();
    assert!(matches!(gone, CheckpointError::Io { .. }));
}
