//! Certificates of a CA of one's own.
#![allow(unreachable_pub, dead_code, reason = "several test binaries use a part each")]

use std::path::Path;

use foretoken_token::Fingerprint;
use foretoken_transport::Identity;

/// A CA in `dir` (`ca.pem`), and a certificate with its key for each of `names`.
pub fn certificates(dir: &Path, names: &[&str]) {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new([]).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // Not the name of those that it signs: OpenSSL would take them for signed by themselves.
    ca.distinguished_name.push(rcgen::DnType::CommonName, "a CA of a test");
    let ca_certificate = ca.self_signed(&ca_key).expect("signs itself");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let write =
        |name: String, text: String| std::fs::write(dir.join(name), text).expect("a directory of ours");
    write("ca.pem".to_owned(), ca_certificate.pem());
    for name in names {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
        write(format!("{name}.pem"), params.signed_by(&key, &issuer).expect("signs").pem());
        write(format!("{name}.key"), key.serialize_pem());
    }
}

/// SHA-256 of the certificate that was made for `name`.
pub fn fingerprint(dir: &Path, name: &str) -> Fingerprint {
    let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    let certificate = Identity { cert_file: &cert, key_file: &key }.certificate();
    Fingerprint::of(&certificate.expect("a file of ours"))
}
