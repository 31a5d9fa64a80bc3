use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    std::fs::write(&path, text).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets the mode");
    (dir, path)
}

#[test]
fn a_secret_is_the_line_in_its_file_and_never_prints() {
    let (_dir, path) = file(b"open sesame\n", 0o600);
    let secret = Secret::read(&path).expect("reads");
    assert_eq!(secret.expose(), "open sesame");
    assert_eq!((format!("{secret:?}"), secret.to_string()), ("***".to_owned(), "***".to_owned()));
    for (text, line) in [(&b"open"[..], "open"), (b"open\r\n", "open")] {
        let (_dir, path) = file(text, 0o640);
        assert_eq!(Secret::read(&path).expect("reads").expose(), line);
    }
}

#[test]
fn a_file_that_others_may_read_or_that_is_empty_is_refused() {
    for (text, mode) in [(&b"secret\n"[..], 0o644), (b"\n", 0o600), (b"", 0o600)] {
        let (_dir, path) = file(text, mode);
        let error = Secret::read(&path).expect_err("refused");
        assert!(error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn each_way_to_give_no_secret_has_its_own_error() {
    let read = |text: &[u8], mode: u32| {
        let (_dir, path) = file(text, mode);
        Secret::read(&path)
    };
    for mode in [0o604, 0o602, 0o601, 0o666] {
        let refused = read(b"secret", mode);
        assert!(matches!(refused, Err(SecretError::Loose { mode: told, .. }) if told == mode), "{mode:o}");
    }
    let longest = vec![b'x'; 4096];
    assert!(read(&longest, 0o600).is_ok());
    let too_long = vec![b'x'; 4097];
    for text in [&too_long[..], b"", b"\n", b"two\nlines", b"a\rb", b"a\0b", b"\xff"] {
        assert!(matches!(read(text, 0o600), Err(SecretError::Content { .. })), "{text:?}");
    }
    let (dir, path) = file(b"x", 0o600);
    assert!(matches!(Secret::read(dir.path()), Err(SecretError::Io { .. })), "a directory");
    std::fs::remove_file(&path).expect("it is there");
    assert!(matches!(Secret::read(&path), Err(SecretError::Io { .. })), "nothing");
}
