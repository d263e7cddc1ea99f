//! From the host of a URL to the addresses that may be called: a cache over the system's resolver,
//! and the operator's lists. Never connects.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::limits::{RESOLVED_MS_MAX, RESOLVED_NAMES_MAX, UNRESOLVED_MS_MAX};
use crate::settings::IpNet;
use crate::worker::failure::Failure;

/// Which addresses may be called (`callback_allow`, `callback_deny`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guard {
    /// If there are any, only these.
    pub allow: Vec<IpNet>,
    /// Never these, allowed or not.
    pub deny: Vec<IpNet>,
}

impl Guard {
    /// Whether a connection to the address may be opened.
    pub fn allows(&self, address: IpAddr) -> bool {
        // To connect to the unspecified address is to connect to this machine.
        let address = match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            address => address,
        };
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(address));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

/// Asks the system only for names that it was not asked for in the last seconds, and then on a thread
/// of its own, for that may take longer than the call has time. Every address passes the guard, also
/// one that is cached or that stands in the URL.
#[derive(Debug, Default)]
pub struct CachingResolver {
    guard: Guard,
    system: DefaultResolver,
    names: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    /// Empty where the name was not found.
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl CachingResolver {
    /// A resolver that knows no name yet.
    pub fn new(guard: Guard) -> Self {
        CachingResolver {
            guard,
            ..Self::default()
        }
    }

    fn addresses(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<Vec<IpAddr>, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        if let Some(addresses) = self.known(host, Instant::now()) {
            return match addresses.is_empty() {
                true => Err(Failure::NameNotFound.into()),
                false => Ok(addresses),
            };
        }
        let found = self.system.resolve(uri, config, timeout);
        let addresses: Vec<IpAddr> = match found {
            Ok(found) => found.iter().map(SocketAddr::ip).collect(),
            // The name may exist: there was no time to find out.
            Err(error @ ureq::Error::Timeout(_)) => return Err(error),
            Err(_) => Vec::new(),
        };
        self.remember(host, &addresses, Instant::now());
        match addresses.is_empty() {
            true => Err(Failure::NameNotFound.into()),
            false => Ok(addresses),
        }
    }

    fn known(&self, host: &str, now: Instant) -> Option<Vec<IpAddr>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.get(host).filter(|known| now < known.until)?;
        Some(known.addresses.clone())
    }

    fn remember(&self, host: &str, addresses: &[IpAddr], now: Instant) {
        let ms = match addresses.is_empty() {
            true => UNRESOLVED_MS_MAX,
            false => RESOLVED_MS_MAX,
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= RESOLVED_NAMES_MAX {
            names.retain(|_, known| now < known.until);
        }
        if names.len() >= RESOLVED_NAMES_MAX {
            names.clear();
        }
        let known = Known {
            addresses: addresses.to_vec(),
            until: now + Duration::from_millis(ms),
        };
        names.insert(host.to_owned(), known);
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.addresses(uri, config, timeout)?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let mut allowed = self.empty();
        // It holds no more than the system's resolver gives.
        for address in addresses
            .iter()
            .filter(|ip| self.guard.allows(**ip))
            .take(16)
        {
            allowed.push(SocketAddr::new(*address, port));
        }
        match (allowed.is_empty(), addresses.first()) {
            (false, _) => Ok(allowed),
            (true, Some(address)) => Err(Failure::NotAllowed(*address).into()),
            (true, None) => Err(Failure::NameNotFound.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::unversioned::transport::time;

    fn guard(allow: &[&str], deny: &[&str]) -> Guard {
        let nets = |list: &[&str]| {
            list.iter()
                .map(|net| net.parse().expect("a network"))
                .collect()
        };
        Guard {
            allow: nets(allow),
            deny: nets(deny),
        }
    }

    #[track_caller]
    fn check(guard: &Guard, address: &str, allowed: bool) {
        let parsed = address.parse().expect("an address");
        assert_eq!(guard.allows(parsed), allowed, "{guard:?} {address}");
    }

    #[test]
    fn deny_wins_over_allow() {
        check(&guard(&[], &[]), "127.0.0.1", true);
        let private = guard(&[], &["127.0.0.0/8", "10.0.0.0/8", "::1"]);
        for address in [
            "127.1.2.3",
            "::ffff:10.1.1.1",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:0.0.0.0",
        ] {
            check(&private, address, false);
        }
        check(&private, "192.0.2.1", true);
        check(&private, "2001:db8::1", true);
        let both = guard(&["10.0.0.0/8"], &["10.1.0.0/16"]);
        check(&both, "10.2.0.1", true);
        check(&both, "10.1.0.1", false);
        check(&both, "192.0.2.1", false);
    }

    fn resolve(resolver: &CachingResolver, url: &str) -> Result<Vec<SocketAddr>, String> {
        let timeout = NextTimeout {
            after: time::Duration::from_secs(60),
            ..NextTimeout::default()
        };
        let found = resolver.resolve(
            &url.parse().expect("a URL"),
            &ureq::Agent::config_builder().build(),
            timeout,
        );
        match found {
            Ok(found) => Ok(found.to_vec()),
            Err(error) => Err(Failure::from(error).to_string()),
        }
    }

    #[test]
    fn addresses_in_urls_need_no_lookup_but_pass_the_guard() {
        let resolver = CachingResolver::new(guard(&[], &["127.0.0.0/8"]));
        assert_eq!(
            resolve(&resolver, "https://[::1]/"),
            Ok(vec!["[::1]:443".parse().expect("an address")])
        );
        assert_eq!(
            resolve(&resolver, "http://192.0.2.1:81/"),
            Ok(vec!["192.0.2.1:81".parse().expect("an address")])
        );
        for url in [
            "http://127.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
        ] {
            let error = resolve(&resolver, url).expect_err("denied");
            assert!(error.contains("is not allowed"), "{error}");
        }
        assert!(resolver.names.lock().expect("no panic").is_empty());
    }

    #[test]
    fn names_are_asked_for_once_and_pass_the_guard_too() {
        let resolver = CachingResolver::new(Guard::default());
        assert!(resolve(&resolver, "http://localhost:5/").is_ok_and(|found| !found.is_empty()));
        let now = Instant::now();
        assert!(resolver.known("localhost", now).is_some());
        let later = now + Duration::from_millis(RESOLVED_MS_MAX);
        assert!(resolver.known("localhost", later).is_none());
        resolver.remember("a.invalid", &["10.9.8.7".parse().expect("an address")], now);
        assert_eq!(
            resolve(&resolver, "http://a.invalid:5/"),
            Ok(vec!["10.9.8.7:5".parse().expect("an address")])
        );
        resolver.remember("a.invalid", &[], now);
        assert_eq!(
            resolve(&resolver, "http://a.invalid/"),
            Err("name not found".to_owned())
        );
        let guarded = CachingResolver::new(guard(&[], &["127.0.0.0/8", "::1"]));
        let error = resolve(&guarded, "http://localhost/").expect_err("denied");
        assert!(error.contains("is not allowed"), "{error}");
    }

    #[test]
    fn the_cache_is_bounded() {
        let resolver = CachingResolver::default();
        let now = Instant::now();
        for n in 0..RESOLVED_NAMES_MAX + 10 {
            resolver.remember(&format!("h{n}"), &[], now);
        }
        assert_eq!(resolver.names.lock().expect("no panic").len(), 10);
    }
}
