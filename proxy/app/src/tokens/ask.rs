//! What a request means: which store, which block, for whom, to do what.

use foretoken_admin::model::TokenRequest;
use foretoken_admin::{Asker, TokenError};
use foretoken_token::{Access, Block, Caller, Denied, Fingerprint, Request};

use super::{Service, form};

/// What applications do, when they don't say what they want to do.
const USUAL: [Access; 3] = [Access::READ, Access::WRITE, Access::QUEUE];

/// A request that was understood.
pub(super) struct Asked {
    pub(super) store: usize,
    pub(super) block: String,
    pub(super) caller: Caller,
    pub(super) request: Request,
}

impl Service {
    pub(super) fn understand(&self, asker: &Asker, request: TokenRequest) -> Result<Asked, TokenError> {
        let holder = self.holder(asker, request.holder.as_deref())?;
        let caller = self.caller(asker, &request.service_id, holder)?;
        let (store, block) = self.block(&request.data_block_id, request.store.as_deref())?;
        let watched = &self.stores[store];
        let may = caller.may(&watched.id, &block);
        let access = match &request.access {
            Some(words) => rights(words)?,
            None => USUAL
                .into_iter()
                .filter(|right| may.contains(*right))
                .fold(Access::NONE, |all, right| all | right),
        };
        if access.is_empty() {
            return Err(Denied::NotPermitted { missing: Access::READ }.into());
        }
        let name = watched.name_of(&block);
        let request = Request { block, access, form: form(request.form) };
        Ok(Asked { store, block: name, caller, request })
    }

    /// Whoever will show the token: who asks with a certificate, or the one that the request names.
    pub(super) fn holder(
        &self,
        asker: &Asker,
        named: Option<&str>,
    ) -> Result<Option<Fingerprint>, TokenError> {
        let named = named
            .map(|text| text.replace(':', "").to_ascii_lowercase().parse::<Fingerprint>())
            .transpose()
            .map_err(|_| {
                TokenError::Malformed(
                    "holder is the SHA-256 of a certificate: 64 hexadecimal digits".to_owned(),
                )
            })?;
        match asker {
            Asker::Service { certificate: Some(own), .. } => {
                if named.is_some_and(|named| named != *own) {
                    return Err(TokenError::OtherService(
                        "you came with another certificate than the one that you name as holder".to_owned(),
                    ));
                }
                Ok(Some(*own))
            }
            _ => Ok(named),
        }
    }

    pub(super) fn caller(
        &self,
        asker: &Asker,
        service: &str,
        holder: Option<Fingerprint>,
    ) -> Result<Caller, TokenError> {
        match asker {
            Asker::Service { name, .. } if name != service => {
                return Err(TokenError::OtherService(format!(
                    "you are service {name}, and ask for {service:?}"
                )));
            }
            Asker::Reader => {
                return Err(TokenError::OtherService("who may only read gets no token".to_owned()));
            }
            Asker::Service { .. } | Asker::Operator => {}
        }
        let stores = self.stores.iter().map(|store| store.id.clone());
        self.state().services.caller(service, holder, stores).ok_or_else(|| {
            TokenError::OtherService(format!("there is no service {service:?} in the configuration"))
        })
    }

    pub(super) fn store_named(&self, name: &str) -> Result<usize, TokenError> {
        let found = self.stores.iter().position(|store| store.id.as_str() == name);
        found.ok_or_else(|| TokenError::UnknownStore(name.to_owned()))
    }

    /// `block`, `store/block`, `store` for all of it, or `*` where one store is meant.
    fn block(&self, id: &str, store: Option<&str>) -> Result<(usize, Block), TokenError> {
        let unknown = |words: String| Err(TokenError::UnknownBlock(words));
        let (store, block) = match (store, id.split_once('/')) {
            (Some(store), _) => (store, id),
            (None, Some((store, block))) => (store, block),
            (None, None) if self.stores.iter().any(|known| known.id.as_str() == id) => (id, "*"),
            (None, None) => {
                let having = self.stores.iter().enumerate();
                let mut having = having.filter_map(|(number, store)| Some((number, store.block(id)?)));
                return match (having.next(), having.next()) {
                    (Some(found), None) => Ok(found),
                    (None, _) => unknown(format!("no store has a block {id:?}; * is all of a store")),
                    _ => unknown(format!("several stores have a block {id:?}: write store/{id}")),
                };
            }
        };
        let number = self.store_named(store)?;
        match self.stores[number].block(block) {
            Some(block) => Ok((number, block)),
            None => unknown(format!("store {store} has no block {block:?}; * is all of it")),
        }
    }
}

fn rights(words: &[String]) -> Result<Access, TokenError> {
    words.iter().try_fold(Access::NONE, |all, word| {
        let right = Access::from_word(word);
        let unknown =
            || TokenError::Malformed(format!("{word:?} is no access: write read, write, queue or admin"));
        right.map(|right| all | right).ok_or_else(unknown)
    })
}
