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
    assert!(!format!("{secret:?}").contains("sesame"));
}

#[test]
fn a_file_that_others_may_read_or_that_is_empty_is_refused() {
    for (text, mode) in [(&b"secret\n"[..], 0o644), (b"\n", 0o600), (b"", 0o600)] {
        let (_dir, path) = file(text, mode);
        let error = Secret::read(&path).expect_err("refused");
        assert!(error.to_string().contains("secret"), "{error}");
    }
}
