//! How many streams one address may have (docs/security.md, row 8). With IPv6 the address of a customer is its /64.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The address that limits go by: an IPv4 address, also where it is written as IPv6, or the /64 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(u64);

impl Origin {
    /// The origin of a connection.
    pub fn of(address: IpAddr) -> Origin {
        match address.to_canonical() {
            // ::/64 is no customer's, so the two kinds do not meet.
            IpAddr::V4(v4) => Origin(u64::from(u32::from(v4))),
            IpAddr::V6(v6) => Origin((u128::from(v6) >> 64) as u64),
        }
    }
}

/// An address as logs may have it: without its last part, which tells one household from the next.
pub(crate) fn short(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

/// The streams that there are, by origin.
pub struct Places {
    streams_max: AtomicUsize,
    unauthenticated_max: AtomicUsize,
    taken: Mutex<HashMap<Origin, Taken>>,
}

#[derive(Default)]
struct Taken {
    streams: usize,
    unauthenticated: usize,
}

impl Places {
    /// Places for so many streams of one origin, so many of them before login.
    pub fn new(streams_max: usize, unauthenticated_max: usize) -> Arc<Places> {
        Arc::new(Places {
            streams_max: AtomicUsize::new(streams_max),
            unauthenticated_max: AtomicUsize::new(unauthenticated_max),
            taken: Mutex::default(),
        })
    }

    /// From now on so many. Whoever has a place keeps it.
    pub fn resize(&self, streams_max: usize, unauthenticated_max: usize) {
        self.streams_max.store(streams_max, Ordering::Relaxed);
        self.unauthenticated_max
            .store(unauthenticated_max, Ordering::Relaxed);
    }

    /// A place for a new stream, if there is one.
    pub fn take(self: &Arc<Places>, origin: Origin) -> Option<Place> {
        let mut taken = self.lock();
        let of_origin = taken.entry(origin).or_default();
        if of_origin.streams >= self.streams_max.load(Ordering::Relaxed)
            || of_origin.unauthenticated >= self.unauthenticated_max.load(Ordering::Relaxed)
        {
            return None;
        }
        of_origin.streams += 1;
        of_origin.unauthenticated += 1;
        Some(Place {
            places: self.clone(),
            origin,
            authenticated: false,
        })
    }

    /// A poisoned lock only means that another task panicked between two plain assignments.
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream; free again when dropped.
pub struct Place {
    places: Arc<Places>,
    origin: Origin,
    authenticated: bool,
}

impl Place {
    /// Whose it is.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The stream has logged in.
    pub fn authenticated(&mut self) {
        if !std::mem::replace(&mut self.authenticated, true)
            && let Some(taken) = self.places.lock().get_mut(&self.origin)
        {
            taken.unauthenticated = taken.unauthenticated.saturating_sub(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.lock();
        if let Some(taken) = all.get_mut(&self.origin) {
            taken.streams = taken.streams.saturating_sub(1);
            if !self.authenticated {
                taken.unauthenticated = taken.unauthenticated.saturating_sub(1);
            }
            if taken.streams == 0 {
                all.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_streams_and_fewer_before_login() {
        let places = Places::new(3, 2);
        let home = Origin::of("192.0.2.1".parse().unwrap());
        let mut first = places.take(home).unwrap();
        let second = places.take(home).unwrap();
        assert!(places.take(home).is_none(), "two before login");
        first.authenticated();
        first.authenticated();
        let third = places.take(home).unwrap();
        drop(second);
        let fourth = places.take(home);
        assert!(fourth.is_some());
        assert!(places.take(home).is_none(), "three in all");
        places.resize(4, 3);
        assert!(places.take(home).is_some());
        drop((first, third, fourth));
        assert!(places.lock().is_empty());
    }

    #[test]
    fn a_customer_is_a_64_and_mapped_addresses_are_ipv4() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
