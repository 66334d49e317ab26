//! Who may do what: keys, their rates, and what each route needs.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use revela_base::checksum::Checksum;

use crate::config::{Access, Config, KeyConfig, MetricsAccess};
use crate::error::{ApiError, Code, ServeError};
use crate::metrics::lock;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing: everybody may.
    Open,
    /// What the configuration says of metrics.
    Metrics,
    /// A key, where there are keys.
    Read,
    /// A key that may write, and a server that was started writable.
    Write,
}

/// A new key; it is shown once and nowhere kept.
pub struct NewKey {
    /// What the client sends.
    pub key: String,
    /// What the configuration holds.
    pub blake3: Checksum,
}

impl NewKey {
    /// Draws 256 bits from the system.
    ///
    /// # Errors
    /// [`ServeError::System`] when it gives none.
    pub fn draw() -> Result<Self, ServeError> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(ServeError::system("draw a key"))?;
        let key = format!("rvl_{}", URL_SAFE_NO_PAD.encode(bytes));
        let blake3 = Checksum::of(key.as_bytes());
        Ok(Self { key, blake3 })
    }
}

/// Requests that a key may still send: refilled at its rate, never above its burst.
#[derive(Debug)]
struct Bucket {
    left: f64,
    filled: Instant,
}

#[derive(Debug)]
struct Key {
    config: KeyConfig,
    bucket: Mutex<Bucket>,
}

impl Key {
    fn new(config: &KeyConfig) -> Self {
        let bucket = Mutex::new(Bucket { left: burst(config), filled: Instant::now() });
        Self { config: config.clone(), bucket }
    }

    /// Takes one request off the bucket, or says how long until there is one.
    fn spend(&self, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.config.rate else { return Ok(()) };
        let mut bucket = lock(&self.bucket);
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.left = (bucket.left + since * rate).min(burst(&self.config));
        bucket.filled = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - bucket.left) / rate).unwrap_or(Duration::MAX))
    }
}

fn burst(config: &KeyConfig) -> f64 {
    let of_rate = (config.rate.unwrap_or(1.0) * 2.0).ceil().max(1.0);
    config.burst.map_or(of_rate, f64::from)
}

/// All keys of a server, and what else decides.
#[derive(Debug)]
pub(crate) struct Gate {
    keys: Vec<Key>,
    access: Access,
    metrics: MetricsAccess,
}

impl Gate {
    pub(crate) fn new(config: &Config) -> Self {
        let keys = config.keys.iter().map(Key::new).collect();
        Self { keys, access: config.access, metrics: config.metrics }
    }

    /// Lets a request through, with the name of its key, or says why not.
    pub(crate) fn check(
        &self,
        right: Right,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Option<&str>, ApiError> {
        let open = match right {
            Right::Open => true,
            Right::Metrics => match self.metrics {
                MetricsAccess::Open => true,
                MetricsAccess::Loopback => peer.ip().to_canonical().is_loopback(),
                MetricsAccess::Key => false,
            },
            Right::Read | Right::Write => self.keys.is_empty(),
        };
        let key = match open {
            true => None,
            false => Some(self.key(headers)?),
        };
        if right == Right::Write {
            self.check_write(key)?;
        }
        if let Some(key) = key
            && let Err(wait) = key.spend(Instant::now())
        {
            let message = "this key has sent too many requests; wait as long as Retry-After says";
            let retry_after = Some(crate::load::retry_after(wait));
            return Err(ApiError { retry_after, ..ApiError::new(Code::RateLimited, message) });
        }
        Ok(key.map(|key| key.config.name.as_str()))
    }

    fn check_write(&self, key: Option<&Key>) -> Result<(), ApiError> {
        if key.is_some_and(|key| key.config.access != Access::ReadWrite) {
            return Err(ApiError::new(
                Code::Forbidden,
                "this key may only read; use one with access read-write",
            ));
        }
        if self.access != Access::ReadWrite {
            let message = "this server only reads; start it with --writable to change collections";
            return Err(ApiError::new(Code::Forbidden, message));
        }
        Ok(())
    }

    fn key(&self, headers: &HeaderMap) -> Result<&Key, ApiError> {
        let refuse = |message: &str| ApiError::new(Code::Unauthorized, message);
        let value = headers.get(header::AUTHORIZATION);
        let value = value.ok_or_else(|| refuse("a key is needed; send it as Authorization: Bearer KEY"))?;
        let presented = value.to_str().ok().and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let Some(presented) = presented else {
            return Err(refuse("the key is not of the form Authorization: Bearer KEY"));
        };
        let checksum = Checksum::of(presented.as_bytes());
        // BLAKE3's comparison takes the same time for all values, and all keys are compared, so that time
        // tells nothing.
        let fits = |found: Option<_>, key| if key_is(key, checksum) { Some(key) } else { found };
        self.keys.iter().fold(None, fits).ok_or_else(|| refuse("this server does not know the key"))
    }
}

fn key_is(key: &Key, checksum: Checksum) -> bool {
    key.config.blake3 == checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, access: Access, rate: Option<f64>) -> KeyConfig {
        KeyConfig { name: name.into(), blake3: Checksum::of(name.as_bytes()), access, rate, burst: None }
    }

    fn gate(access: Access, keys: Vec<KeyConfig>) -> Gate {
        Gate::new(&Config { access, keys, ..Config::default() })
    }

    fn ask(gate: &Gate, right: Right, authorization: &str) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        let peer = "10.0.0.1:1".parse().unwrap();
        gate.check(right, &headers, peer).map(|name| name.map(str::to_owned)).map_err(|error| error.code)
    }

    #[test]
    fn keys_decide_where_there_are_keys() {
        let keys = vec![key("reader", Access::ReadOnly, None), key("writer", Access::ReadWrite, None)];
        let gate = gate(Access::ReadWrite, keys);
        assert_eq!(ask(&gate, Right::Open, ""), Ok(None));
        for wrong in ["", "Bearer nobody", "reader", "Basic reader", "Bearer "] {
            assert_eq!(ask(&gate, Right::Read, wrong), Err(Code::Unauthorized), "{wrong}");
        }
        assert_eq!(ask(&gate, Right::Read, "bearer  reader"), Ok(Some("reader".into())));
        assert_eq!(ask(&gate, Right::Write, "Bearer reader"), Err(Code::Forbidden));
        assert_eq!(ask(&gate, Right::Write, "Bearer writer"), Ok(Some("writer".into())));
        assert_eq!(ask(&gate, Right::Metrics, ""), Err(Code::Unauthorized));
        assert_eq!(ask(&gate, Right::Metrics, "Bearer reader"), Ok(Some("reader".into())));
    }

    #[test]
    fn a_server_that_reads_does_not_write() {
        assert_eq!(ask(&gate(Access::ReadOnly, vec![]), Right::Write, ""), Err(Code::Forbidden));
        assert_eq!(ask(&gate(Access::ReadWrite, vec![]), Right::Write, ""), Ok(None));
        let keys = vec![key("writer", Access::ReadWrite, None)];
        assert_eq!(ask(&gate(Access::ReadOnly, keys), Right::Write, "Bearer writer"), Err(Code::Forbidden));
    }

    #[test]
    fn metrics_are_open_to_this_machine() {
        let gate = gate(Access::ReadOnly, vec![]);
        for peer in ["127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert!(gate.check(Right::Metrics, &HeaderMap::new(), peer.parse().unwrap()).is_ok());
        }
        assert_eq!(ask(&gate, Right::Metrics, ""), Err(Code::Unauthorized));
    }

    #[test]
    fn a_bucket_refills_at_its_rate() {
        let key = Key::new(&key("k", Access::ReadOnly, Some(2.0)));
        let start = Instant::now();
        for _ in 0..4 {
            key.spend(start).unwrap();
        }
        let wait = key.spend(start).unwrap_err();
        assert!(wait <= Duration::from_millis(500) && wait > Duration::from_millis(400), "{wait:?}");
        let later = start + Duration::from_millis(501);
        key.spend(later).unwrap();
        key.spend(later).unwrap_err();
        let much_later = start + Duration::from_secs(100);
        assert_eq!((0..10).filter(|_| key.spend(much_later).is_ok()).count(), 4);
    }

    #[test]
    fn drawn_keys_differ_and_fit_their_checksum() {
        let (one, two) = (NewKey::draw().unwrap(), NewKey::draw().unwrap());
        assert_ne!(one.key, two.key);
        assert!(one.key.len() > 40 && one.blake3 == Checksum::of(one.key.as_bytes()));
    }
}
