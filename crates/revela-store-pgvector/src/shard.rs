//! One shard and its connections.

use std::sync::{Mutex, PoisonError};

use postgres::{Client, NoTls};
use revela_base::checksum::Checksum;

use crate::address::ShardAddress;
use crate::error::PgError;

/// Connections that are kept when nobody uses them.
const KEPT: usize = 16;

/// A database with connections that are open.
pub(crate) struct Shard {
    pub(crate) name: String,
    config: postgres::Config,
    free: Mutex<Vec<Client>>,
}

impl Shard {
    pub(crate) fn new(address: &ShardAddress) -> Self {
        Self { name: address.name.clone(), config: address.config.clone(), free: Mutex::default() }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something over a connection. One that was open and turns out to be dead is replaced once.
    pub(crate) fn with<T>(
        &self,
        operation: &'static str,
        mut work: impl FnMut(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, PgError> {
        while let Some(mut client) = self.take() {
            match work(&mut client) {
                Err(_) if client.is_closed() => {}
                done => {
                    self.give(client);
                    return done.map_err(|source| self.refused(operation, source));
                }
            }
        }
        let unreachable = |source| PgError::Unreachable { shard: self.name.clone(), source };
        let mut client = self.config.connect(NoTls).map_err(unreachable)?;
        match work(&mut client) {
            Err(source) if client.is_closed() => {
                Err(PgError::Unreachable { shard: self.name.clone(), source })
            }
            done => {
                self.give(client);
                done.map_err(|source| self.refused(operation, source))
            }
        }
    }

    fn take(&self) -> Option<Client> {
        self.free().pop()
    }

    fn give(&self, client: Client) {
        let mut free = self.free();
        if free.len() < KEPT && !client.is_closed() {
            free.push(client);
        }
    }

    fn refused(&self, operation: &'static str, source: postgres::Error) -> PgError {
        PgError::Refused { shard: self.name.clone(), operation, source }
    }

    pub(crate) fn wrong(&self, detail: impl Into<String>) -> PgError {
        PgError::Shard { shard: self.name.clone(), detail: detail.into() }
    }
}

/// On which of some shards a passage lies.
pub(crate) fn shard_of(id: &str, shards: usize) -> usize {
    let digest = u64::from_str_radix(&Checksum::of(id.as_bytes()).short(), 16).unwrap_or(0);
    (digest % shards.max(1) as u64) as usize
}
