//! As whom clients are served, and by which servers.

use foretoken_types::Address;

use super::{Check, is_loopback};
use crate::model::{Auth, Config, Reads, Store};

impl Check<'_> {
    /// Who has not said who it is may be somebody only where no stranger comes.
    pub(super) fn login(&mut self, path: &str, store: &Store) {
        let [auth, login] = ["auth", "login"].map(|key| format!("{path}.{key}"));
        match (store.auth, &store.login) {
            (Auth::Stored, None) => self.broken(
                &[&auth, &login],
                "is \"stored\", and there is nothing stored",
                "add the table [store.login] with user and password_file",
            ),
            (Auth::Passthrough, Some(_)) => self.broken(
                &[&login, &auth],
                "is set, and auth is \"passthrough\": nobody would be that user",
                "set auth = \"stored\", or remove the table",
            ),
            (Auth::Passthrough, None) | (Auth::Stored, Some(_)) => {}
        }
        let known = store.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        let stranger =
            |address: &&Address| matches!(address, Address::Tcp { host, .. } if !is_loopback(host));
        if let (Auth::Stored, Some(open), false) = (store.auth, store.listen.iter().find(stranger), known) {
            self.broken(
                &[&auth, &format!("{path}.listen"), &format!("{path}.tls")],
                format!("is \"stored\", and {open} lets anybody in who can reach it"),
                "listen on 127.0.0.1 or a Unix socket, or set store.tls.client_ca_file",
            );
        }
    }

    /// Nothing is near to what stands nowhere.
    pub(super) fn regions(&mut self, path: &str, store: &Store, config: &Config) {
        let of_blocks = store
            .block
            .iter()
            .enumerate()
            .map(|(b, block)| (format!("{path}.block[{b}].reads"), block.reads));
        for (own, _) in std::iter::once((format!("{path}.reads"), Some(store.reads)))
            .chain(of_blocks)
            .filter(|(_, reads)| *reads == Some(Reads::Nearest) && config.region.is_none())
        {
            self.broken(
                &[&own, "region"],
                "is \"nearest\", and this sidecar stands nowhere",
                "set region, here and for each endpoint",
            );
        }
    }
}
