//! Where a store is.

use std::str::FromStr;

use postgres::Config;
use postgres::config::{Host, SslMode};

use crate::error::PgError;

/// The table of a store that names none.
const TABLE: &str = "revela";

/// The databases that are a store's shards, and the name of its tables there.
#[derive(Debug, Clone)]
pub struct Address {
    pub(crate) shards: Vec<ShardAddress>,
    pub(crate) table: String,
}

/// One database.
#[derive(Debug, Clone)]
pub(crate) struct ShardAddress {
    /// Host, port and database, as errors name it.
    pub(crate) name: String,
    pub(crate) config: Config,
}

impl Address {
    /// Reads `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, several of them joined by commas for several shards,
    /// and after them `#TABLE` (`revela` where it is left out). The order of the shards is part of the store.
    ///
    /// # Errors
    /// [`PgError::Address`].
    pub fn parse(text: &str) -> Result<Self, PgError> {
        let (text, table) = text.rsplit_once('#').unwrap_or((text, TABLE));
        let fine = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
        if table.is_empty()
            || table.len() > 40
            || !table.chars().all(fine)
            || table.starts_with(|c: char| c.is_ascii_digit())
        {
            let detail = "a table's name is 1 to 40 small letters, digits and underscores".to_owned();
            return Err(PgError::Address { address: table.to_owned(), detail });
        }
        let shards = apart(text).map(ShardAddress::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { shards, table: table.to_owned() })
    }

    /// The address without users and passwords.
    pub fn location(&self) -> String {
        let shards: Vec<&str> = self.shards.iter().map(|shard| shard.name.as_str()).collect();
        format!("{}#{}", shards.join(","), self.table)
    }
}

/// The addresses of a list; a comma within one, as between hosts that stand for each other, belongs to it.
fn apart(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices(",postgres").map(|(at, _)| at + 1);
    let mut bounds: Vec<usize> = std::iter::once(0).chain(starts).collect();
    bounds.push(text.len() + 1);
    let piece = |pair: (usize, usize)| text.get(pair.0..pair.1 - 1).unwrap_or_default();
    let pairs: Vec<(usize, usize)> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().map(piece)
}

impl ShardAddress {
    fn parse(text: &str) -> Result<Self, PgError> {
        // What is before the @ may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest).to_owned();
        let wrong = |detail: String| PgError::Address { address: shown.clone(), detail };
        if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
            return Err(wrong("it must begin with postgresql://".to_owned()));
        }
        let mut config = Config::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if config.get_ssl_mode() == SslMode::Require {
            let detail = "encrypted connections are not supported; use a tunnel, and leave sslmode out";
            return Err(wrong(detail.to_owned()));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(std::time::Duration::from_secs(10));
        }
        config.application_name("revela");
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => return Err(wrong("it names no host".to_owned())),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
        Ok(Self { name: format!("postgresql://{host}:{port}/{database}"), config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_shards_and_a_table() {
        let one = Address::parse("postgresql://u:secret@h:5433/db").unwrap();
        assert_eq!(one.location(), "postgresql://h:5433/db#revela");
        let two = "postgresql://u@a:1/x,postgresql://u@b:2/y#wiki_2";
        let two = Address::parse(two).unwrap();
        assert_eq!(two.location(), "postgresql://a:1/x,postgresql://b:2/y#wiki_2");
        // Hosts that stand for each other are one shard.
        assert_eq!(Address::parse("postgresql://a:1,b:2/x").unwrap().shards.len(), 1);
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for wrong in [
            "mysql://u:secret@h/db",
            "postgresql://u:secret@h/db?sslmode=require",
            "postgresql://u:secret@h/db?x=1",
        ] {
            let error = Address::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        for wrong in
            ["postgresql://h/db#", "postgresql://h/db#a;b", "postgresql://h/db#1a", "postgresql://h/db#A"]
        {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
